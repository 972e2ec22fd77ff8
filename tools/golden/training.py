#!/usr/bin/env python3
"""Makes tests/golden/training.json: five steps of torch.optim's SGD and Adam, and the losses of TRADES and MART, in
float64.

Needs python3-torch. Two parameters; parameters and gradients are the numbers of `formula`, and the learning rate
changes from step to step. The losses are computed with PyTorch's own functions from the formulas of the papers.
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

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


def losses():
    """TRADES' and MART's loss of six images and four classes, and their gradients by both logits."""
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    rows = {}
    for name in ("trades", "mart"):
        clean, moved = (formula((6, 4), k, 3).requires_grad_() for k in (1, 2))
        p_clean = F.softmax(clean, dim=1)
        if name == "trades":
            moves = F.kl_div(F.log_softmax(moved, dim=1), p_clean, reduction="none").sum(dim=1)
            loss = F.cross_entropy(clean, labels, reduction="none") + 6 * moves
        else:
            p_moved = F.softmax(moved, dim=1)
            moves = F.kl_div(torch.log(p_moved + 1e-12), p_clean, reduction="none").sum(dim=1)
            wrong = torch.stack([torch.cat([p[:y], p[y + 1:]]).max() for p, y in zip(p_moved, labels)])
            boosted = F.cross_entropy(moved, labels, reduction="none") - torch.log(1.0001 - wrong + 1e-12)
            loss = boosted + 6 * moves * (1.0000001 - p_clean.gather(1, labels[:, None])[:, 0])
        gradients = torch.autograd.grad(loss.sum(), (clean, moved))
        rows[name] = {"loss": loss.tolist(), "gradients": [g.flatten().tolist() for g in gradients]}
    return rows


cases = [{"settings": settings, "steps": run(make(settings))} for settings in SETTINGS]
document = {
    "made_by": f"tools/golden/training.py with PyTorch {torch.__version__}",
    "shapes": SHAPES,
    "rates": RATES,
    "cases": cases,
    "losses": losses(),
}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/training.json"
text = json.dumps(document, separators=(",", ":"))
path.write_text(text.replace('{"settings"', '\n{"settings"').replace('"losses"', '\n"losses"') + "\n")
