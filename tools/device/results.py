#!/usr/bin/env python3
"""What device-check draws and sums up.

    results.py draw N                   N test images of CIFAR-10 or MNIST, by number
    results.py devices FOLDER FILE      FOLDER/NAME-cpu.json and NAME-cuda.json, of one attack on both devices
    results.py attacks FOLDER FILE      FOLDER/NET/MODEL-ATTACK-IMAGE.json, of attacks on two models of a network
"""
import json
import pathlib
import random
import statistics
import sys

IMAGES = 10_000  # of either test set


def read(path):
    return json.loads(path.read_text())


def mean(values):
    """Mean, 95 % interval (normal) and n."""
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": statistics.mean(values), "half": half, "n": len(values)}


def devices(folder):
    rows = []
    for path in sorted(folder.glob("*-cpu.json")):
        cpu, cuda = read(path), read(path.with_name(path.name.replace("-cpu", "-cuda")))
        rows.append({"name": path.name[:-len("-cpu.json")], "methods": [cpu["method"], cuda["method"]],
                     "psnr": [cpu["images"][0]["psnr"], cuda["images"][0]["psnr"]],
                     "losses": [cpu["matching_loss"], cuda["matching_loss"]]})
    return {"difference": mean([row["psnr"][1] - row["psnr"][0] for row in rows]), "rows": rows}


def attacks(folder):
    result = {}
    for path in sorted(folder.glob("*/*.json")):
        model, attack, image = path.stem.split("-")
        found = read(path)
        scores = {key: found["images"][0].get(key) for key in ("psnr", "ssim", "mse", "fmse_logits", "fmse_features")}
        row = {"image": int(image), "method": found["method"], "status": found["status"],
               "matching_loss": found["matching_loss"], "gradient_norm": found["gradient_norm"], **scores}
        result.setdefault(path.parent.name, {}).setdefault(attack, {}).setdefault(model, []).append(row)
    for of_net in result.values():
        for models in of_net.values():
            psnr = {model: {row["image"]: row["psnr"] for row in rows} for model, rows in models.items()}
            both = sorted(set(psnr.get("standard", {})) & set(psnr.get("adversarial", {})))
            models["psnr"] = {model: mean(list(of_image.values())) for model, of_image in psnr.items()}
            if both:
                models["psnr"]["difference"] = mean([psnr["adversarial"][i] - psnr["standard"][i] for i in both])
    return result


def main():
    command, *arguments = sys.argv[1:]
    if command == "draw":
        print(*random.Random(16).sample(range(IMAGES), int(arguments[0])), sep="\n")
        return
    folder, file = map(pathlib.Path, arguments)
    result = {"devices": devices, "attacks": attacks}[command](folder)
    file.write_text(json.dumps(result, indent=1) + "\n")
    if command == "devices":
        print(json.dumps(result["difference"]))
    else:
        for net, of_net in result.items():
            for attack, models in of_net.items():
                print(net, attack, json.dumps(models["psnr"]))


main()
