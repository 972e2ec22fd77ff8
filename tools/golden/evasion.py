#!/usr/bin/env python3
"""Makes tests/golden/evasion.json: FGSM, PGD, MI-FGSM, DLR and APGD on a small network, from the published formulas in
plain PyTorch.

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


def gradient(objective, x):
    """The logits, the values of the objective for each image, and its gradient, at x."""
    leaf = x.clone().requires_grad_()
    logits = network(leaf)
    values = objective(logits)
    values.sum().backward()
    return logits.detach(), values.detach(), leaf.grad


def cross_entropy(logits):
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def dlr(logits):
    """Equation 6 of Croce and Hein 2020, image by image."""
    values = []
    for z, y in zip(logits, labels):
        down = z.sort(descending=True).values
        other = max(z[i] for i in range(len(z)) if i != y)
        values.append(-(z[y] - other) / (down[0] - down[2] + 1e-12))
    return torch.stack(values)


def dlr_towards(targets):
    """Equation 7."""

    def objective(logits):
        values = []
        for z, y, t in zip(logits, labels, targets):
            down = z.sort(descending=True).values
            values.append(-(z[y] - z[t]) / (down[0] - (down[2] + down[3]) / 2 + 1e-12))
        return torch.stack(values)

    return objective


def mi_fgsm(epsilon, iterations, decay):
    """Algorithm 1 of Dong et al. 2018."""
    x, momentum = images.clone(), torch.zeros_like(images)
    for _ in range(iterations):
        _, _, g = gradient(cross_entropy, x)
        momentum = decay * momentum + g / g.abs().sum(dim=(1, 2, 3), keepdim=True)
        x = x + epsilon / iterations * momentum.sign()
        x = torch.clamp(images + torch.clamp(x - images, -epsilon, epsilon), 0, 1)
    return x


def checkpoints(iterations):
    """Section 3 of Croce and Hein 2020, in hundredths: p_0 = 0, p_1 = 0.22,
    p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06)."""
    p = [0, 22]
    while p[-1] <= 100:
        p.append(p[-1] + max(p[-1] - p[-2] - 3, 6))
    return [math.ceil(x * iterations / 100) for x in p[1:] if x <= 100]


def apgd(objective, start, epsilon, norm, iterations=100, alpha=0.75, rho=0.75):
    """Algorithm 1 of Croce and Hein 2020 for one image at a time; returns the step sizes, the best value and the best
    point."""

    def project(point, x0):
        delta = point - x0
        if norm == "linf":
            delta = delta.clamp(-epsilon, epsilon)
        else:
            delta = delta * min(1, epsilon / max(float(delta.norm()), 1e-12))
        return (x0 + delta).clamp(0, 1)

    def up(g):
        return g.sign() if norm == "linf" else g / g.norm()

    def value_and_gradient(x, k):
        whole = images.clone()
        whole[k] = x
        _, values, g = gradient(objective, whole)
        return float(values[k]), g[k]

    marks = checkpoints(iterations)
    runs = []
    for k in range(len(images)):
        x0, x, before = images[k], start[k], start[k]
        eta, etas = 2 * epsilon, []
        f, g = value_and_gradient(x, k)
        fs, best = [f], (f, x, g)
        last = (0, None, None)  # the checkpoint before: its iteration, its step size, its best value
        for i in range(iterations):
            etas.append(eta)
            z = project(x + eta * up(g), x0)
            new = z if i == 0 else project(x + alpha * (z - x) + (1 - alpha) * (x - before), x0)
            before, x = x, new
            f, g = value_and_gradient(x, k)
            fs.append(f)
            if f > best[0]:
                best = (f, x, g)
            if i + 1 in marks:
                rises = sum(fs[j + 1] > fs[j] for j in range(last[0], i + 1))
                halve = rises < rho * (i + 1 - last[0]) or (last[1] == eta and last[2] == best[0])
                last = (i + 1, eta, best[0])
                if halve:
                    eta, (fs[-1], x, g) = eta / 2, best
        runs.append({"step_sizes": etas, "best": best[0]})
    return runs


def flat(x):
    return [round(v, 15) for v in x.flatten().tolist()]


cases = [
    {"epsilon": epsilon, "step": step, "random_start": random_start,
     "iterates": [flat(x) for x in iterates(float(epsilon), float(step), random_start)]}
    for epsilon, step, random_start in [("0.3", "0.1", True), ("0.0314", "0.0078", False), ("0.05", "0.2", True)]
]
_, _, g = gradient(cross_entropy, images)
logits = formula((5, 6), 30, 2)
dlr_labels = torch.tensor([0, 1, 2, 3, 4])
dlr_targets = torch.tensor([5, 0, 1, 2, 3])


def with_labels(values, objective):
    """An objective's values at logits of its own labels."""
    global labels
    kept, labels = labels, dlr_labels
    result = flat(objective(values))
    labels = kept
    return result


targets = torch.tensor([1, 2, 0])
starts = {"linf": torch.clamp(images + 0.3 * noise / noise.abs().amax(dim=(1, 2, 3), keepdim=True), 0, 1),
          "l2": torch.clamp(images + 1.5 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1), 0, 1)}
document = {
    "made_by": f"tools/golden/evasion.py with PyTorch {torch.__version__}",
    "cases": cases,
    "fgsm": flat((images + 0.1 * g.sign()).clamp(0, 1)),
    "mi_fgsm": flat(mi_fgsm(0.2, 5, 0.9)),
    "dlr": with_labels(logits, dlr),
    "dlr_towards": with_labels(logits, dlr_towards(dlr_targets)),
    "checkpoints": checkpoints(100),
    "apgd": [
        {"norm": norm, "epsilon": epsilon, "objective": name,
         "runs": apgd(objective, starts[norm], float(epsilon), norm)}
        for norm, epsilon in [("linf", "0.3"), ("l2", "1.5")]
        for name, objective in [("cross_entropy", cross_entropy), ("dlr_towards", dlr_towards(targets))]
    ],
}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/evasion.json"
text = json.dumps(document, separators=(",", ":"))
for mark in ['{"epsilon"', '{"norm"', '"fgsm"', '"mi_fgsm"', '"dlr"', '"checkpoints"', '"apgd"']:
    text = text.replace(mark, "\n" + mark)
path.write_text(text + "\n")
