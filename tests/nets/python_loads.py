#!/usr/bin/env python3
"""Loads weight files into PyTorch modules, strictly and unchanged, and compares the logits. Takes the program that
writes them (write_networks). Exits 77 where python3-torch is missing."""
import json
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/golden"))
try:
    import torch
    import nets
except ImportError as error:
    print(f"skipped: {error}: needs python3-torch and python3-numpy")
    sys.exit(77)

TYPES = {"F32": torch.float32, "I64": torch.int64}


def read_safetensors(path):
    """What safetensors.torch.load_file does; that package is not in the distribution."""
    content = path.read_bytes()
    data = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, entry in json.loads(content[8:data]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(bytearray(content[data + begin : data + end]), dtype=TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def check(folder, net, shape):
    model = nets.NETS[net]()
    model.load_state_dict(read_safetensors(folder / f"{net}.safetensors"), strict=True)
    with torch.no_grad():
        got = model.eval()(nets.formula_images(shape, 1))[0]
    expected = torch.tensor(json.loads((folder / f"{net}.json").read_text()))
    difference = ((got - expected).abs().max() / expected.abs().max()).item()
    print(f"{net}: largest difference of the logits {difference:.1e}")
    return difference < 1e-5


with tempfile.TemporaryDirectory() as name:
    subprocess.run([sys.argv[1], name], check=True)
    found = [check(pathlib.Path(name), *one) for one in (("small_cnn", nets.GREY), ("preact_resnet18", nets.COLOUR))]
sys.exit(0 if all(found) else 1)
