#!/usr/bin/env python3
"""Plain PyTorch beside Pellucid on a CUDA device: `baseline.py invert` and `baseline.py train`, one JSON object a line.

invert: gradient matching by double backward as it is published, one restart: the squared distance of the gradients,
total variation, Adam on the gradient's sign, pixels clamped. train: PGD-10 of one batch in evaluation mode, then a step
of SGD.
"""
import json
import pathlib
import sys
import time

import torch
from torch.nn import functional

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "golden"))
import nets  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = DEVICE == "cpu"


def synchronise():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def measure(step, calls, blocks=5):
    """Median, least and most seconds of a call over blocks of calls, after a warm-up."""
    for _ in range(3):
        step()
    times = []
    for _ in range(blocks):
        synchronise()
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        synchronise()
        times.append((time.perf_counter() - begin) / calls)
    times.sort()
    return times[len(times) // 2], times[0], times[-1]


def allow_tf32(products, convolutions):
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions


def network(name):
    torch.manual_seed(0)
    net = {"small_cnn": nets.SmallCnn, "preact_resnet18": nets.PreActResNet18}[name]().to(DEVICE).eval()
    return net, (1, 28, 28) if name == "small_cnn" else (3, 32, 32)


def invert(name, tf32):
    allow_tf32(False, tf32)  # tf32: PyTorch's default
    net, shape = network(name)
    parameters = list(net.parameters())
    label = torch.tensor([3], device=DEVICE)
    truth = torch.rand((1, *shape), device=DEVICE)
    observed = torch.autograd.grad(functional.cross_entropy(net(truth), label), parameters)
    norm = sum(g.square().sum() for g in observed).sqrt()
    observed = [g / norm for g in observed]
    image = torch.rand((1, *shape), device=DEVICE, requires_grad=True)
    adam = torch.optim.Adam([image], lr=0.1)

    def step():
        adam.zero_grad()
        gradients = torch.autograd.grad(functional.cross_entropy(net(image), label) / norm, parameters,
                                        create_graph=True)
        distance = sum((a - b).square().sum() for a, b in zip(gradients, observed))
        variation = image.diff(dim=3).abs().mean() + image.diff(dim=2).abs().mean()
        (distance + 1e-2 * variation).backward(inputs=[image])
        image.grad.sign_()
        adam.step()
        with torch.no_grad():
            image.clamp_(0, 1)

    calls = 2 if SMALL else 20
    median, least, most = measure(step, calls)
    return {"what": "python double backward, eager", "net": name, "convolutions": "tf32" if tf32 else "float32",
            "restarts": 1, "n": 5, "iterations": calls, "ms_per_iteration": 1e3 * median, "ms_least": 1e3 * least,
            "ms_most": 1e3 * most, "trial_iterations_per_s": 1 / median}


def train(name, brain_floats, fast, batch=128, iterations=10):
    allow_tf32(False, True)
    torch.backends.cudnn.benchmark = fast
    net, shape = network(name)
    if fast:
        net = net.to(memory_format=torch.channels_last)
    batch = 8 if SMALL else batch
    images = torch.rand((batch, *shape), device=DEVICE)
    labels = torch.arange(batch, device=DEVICE) % 10
    sgd = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    epsilon, size = 8 / 255, 2 / 255

    def loss(x):
        if fast:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(DEVICE, torch.bfloat16, enabled=brain_floats):
            return functional.cross_entropy(net(x).float(), labels)

    def step():
        net.eval()
        x = (images + torch.empty_like(images).uniform_(-epsilon, epsilon)).clamp(0, 1)
        for _ in range(iterations):
            x = x.detach().requires_grad_(True)
            gradient, = torch.autograd.grad(loss(x), x)
            x = (x + size * gradient.sign()).detach()
            x = torch.min(torch.max(x, images - epsilon), images + epsilon).clamp(0, 1)
        net.train()
        sgd.zero_grad()
        loss(x).backward()
        sgd.step()

    calls = 1 if SMALL else 8
    median, least, most = measure(step, calls)
    return {"what": "python PGD-10 training, eager", "net": name,
            "precision": "bfloat16" if brain_floats else "float32 (TF32 convolutions)",
            "layout": "channels last, cudnn.benchmark" if fast else "as published", "batch": batch, "n": 5,
            "steps": calls, "ms_per_step": 1e3 * median, "ms_least": 1e3 * least, "ms_most": 1e3 * most,
            "images_per_s": batch / median}


def main():
    rows = []
    if sys.argv[1] == "invert":
        rows = [(invert, name, tf32) for name in ("small_cnn", "preact_resnet18") for tf32 in (True, False)]
    if sys.argv[1] == "train":
        rows = [(train, "preact_resnet18", brain_floats, fast)
                for brain_floats, fast in ((False, False), (True, False), (True, True))]
    for function, *arguments in rows:
        try:
            row = function(*arguments)
        except RuntimeError as error:
            row = {"what": function.__name__, "arguments": arguments, "failed": str(error)[:300]}
        print(json.dumps(row), flush=True)


main()
