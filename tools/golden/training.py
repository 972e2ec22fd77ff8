#!/usr/bin/env python3
"""Makes tests/golden/training.json: five steps of torch.optim's SGD and Adam in float64.

Needs python3-torch. Two parameters; parameters and gradients are the numbers of `formula`, and the learning rate changes
from step to step.
"""
import json
import math
import pathlib

import torch

SHAPES = [(2, 3), (4,)]
RATES = [0.1, 0.05, 0.2, 0.01, 0.1]


def formula(shape, k, amplitude):
    values = [amplitude * math.sin(12.9898 * i + 78.233 * k + 1) for i in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def run(make):
    """The parameters after each step, flattened one after the other."""
    parameters = [formula(shape, k, 1).requires_grad_() for k, shape in enumerate(SHAPES)]
    optimiser = make(parameters)
    steps = []
    for number, rate in enumerate(RATES):
        optimiser.param_groups[0]["lr"] = rate
        for k, parameter in enumerate(parameters):
            parameter.grad = formula(parameter.shape, 10 * number + k + 2, 2)
        optimiser.step()
        steps.append([value for parameter in parameters for value in parameter.detach().flatten().tolist()])
    return steps


SETTINGS = [
    {"optimiser": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    {"optimiser": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    {"optimiser": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
    {"optimiser": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"optimiser": "adam", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
    {"optimiser": "adam", "momentum": 0.9, "nesterov": False, "weight_decay": 0.1},
]


def make(settings):
    if settings["optimiser"] == "adam":
        return lambda parameters: torch.optim.Adam(parameters, weight_decay=settings["weight_decay"])
    keys = ("momentum", "nesterov", "weight_decay")
    return lambda parameters: torch.optim.SGD(parameters, lr=1, **{key: settings[key] for key in keys})


cases = [{"settings": settings, "steps": run(make(settings))} for settings in SETTINGS]
document = {
    "made_by": f"tools/golden/training.py with PyTorch {torch.__version__}",
    "shapes": SHAPES,
    "rates": RATES,
    "cases": cases,
}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/training.json"
path.write_text(json.dumps(document, separators=(",", ":")).replace('{"settings"', '\n{"settings"') + "\n")
