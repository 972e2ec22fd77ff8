#!/usr/bin/env python3
"""Makes tests/golden/evasion.json: the iterates of PGD on a small network, computed with plain PyTorch.

Needs python3-torch. The network is lenet for 1x8x8 images and 4 classes, its weights the numbers of `formula`; all
arithmetic is float64.
"""
import json
import math
import pathlib

import torch
from torch import nn


def formula(shape, k, amplitude):
    values = [amplitude * math.sin(12.9898 * i + 78.233 * k + 1) for i in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


network = nn.Sequential(
    nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.Sigmoid(),
    nn.Conv2d(12, 12, 5, stride=2, padding=2), nn.Sigmoid(),
    nn.Conv2d(12, 12, 5, padding=2), nn.Sigmoid(),
    nn.Flatten(), nn.Linear(48, 4),
).double()
with torch.no_grad():
    for k, parameter in enumerate(network.parameters()):
        parameter.copy_(formula(parameter.shape, k, 0.5))

images = (formula((3, 1, 8, 8), 20, 0.6) + 0.5).clamp(0, 1)
labels = torch.tensor([0, 1, 3])
noise = formula(images.shape, 21, 1)


def iterates(epsilon, step, random_start):
    """x0, x1, ..., x4 by torch.nn.functional.cross_entropy and the formula of Madry et al. 2018."""
    x = images.clone()
    if random_start:
        x = torch.clamp(x + epsilon * noise, 0, 1)
    trace = [x]
    for _ in range(4):
        leaf = x.clone().requires_grad_()
        nn.functional.cross_entropy(network(leaf), labels, reduction="sum").backward()
        x = x + step * leaf.grad.sign()
        x = torch.clamp(images + torch.clamp(x - images, -epsilon, epsilon), 0, 1)
        trace.append(x)
    return trace


cases = [
    {"epsilon": epsilon, "step": step, "random_start": random_start,
     "iterates": [[round(v, 15) for v in x.flatten().tolist()] for x in iterates(float(epsilon), float(step), random_start)]}
    for epsilon, step, random_start in [("0.3", "0.1", True), ("0.0314", "0.0078", False), ("0.05", "0.2", True)]
]
document = {"made_by": f"tools/golden/evasion.py with PyTorch {torch.__version__}", "cases": cases}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/evasion.json"
path.write_text(json.dumps(document, separators=(",", ":")).replace('{"epsilon"', '\n{"epsilon"') + "\n")
