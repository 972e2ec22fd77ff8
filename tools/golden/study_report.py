#!/usr/bin/env python3
"""Makes tests/report/study_fixture/result.json: a small study of made-up numbers, of the shape that `pellucid study`
writes.

Standard library only; the same bytes at each run.
"""
import base64
import hashlib
import json
import math
import pathlib
import random
import statistics
import struct
import zlib

MAIN = ["psnr", "gain", "ssim", "mse", "fmse_logits", "fmse_features"]
COLUMNS = [("label", "Label"), ("p_true", "p(true)"), ("guess_psnr", "PSNR of the mean image"), ("restart", "Restart"),
           ("restarts", "Restarts")]
METRICS = [("psnr", "PSNR", "dB", "higher"), ("gain", "Gain", "dB", "higher"), ("ssim", "SSIM", "", "higher"),
           ("mse", "MSE", "", "lower"), ("fmse_logits", "FMSE, logits", "", "lower"),
           ("fmse_features", "FMSE, features", "", "lower"), ("matching_loss", "Matching loss", "", ""),
           ("margin", "Margin", "", ""), ("gradient_norm", "Gradient norm", "", ""),
           ("oracle_psnr", "Oracle PSNR", "dB", "higher")]
MODES, EPSILONS, ATTACKS = ["standard", "adversarial"], ["0.1", "0.2", "0.3"], ["residual", "ig"]
SEEDS, IMAGES = [0, 1], [5, 12, 31, 40, 77]
rng = random.Random(20241124)


def png(pixel, size=12):
    """A grey PNG, base64, of pixel(row, column) in [0, 1]."""
    rows = b"".join(b"\0" + bytes(round(255 * min(1, max(0, pixel(r, c)))) for c in range(size)) for r in range(size))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


def digit(image):
    return lambda r, c: 1.0 if abs(math.hypot(r - 5.5, c - 5.5) - 2 - image % 3) < 1 else 0.0


def noisy(image, psnr):
    return lambda r, c: round(4 * (digit(image)(r, c) + rng.gauss(0, 10 ** (-psnr / 20)))) / 4


def short(value):
    return float(f"{value:.4g}")


def estimate(values, statistic=statistics.mean):
    if not values:
        return None
    half = 1.96 * (statistics.stdev(values) if len(values) > 1 else 0) / math.sqrt(len(values))
    return {"value": short(statistic(values)), "low": short(statistic(values) - half),
            "high": short(statistic(values) + half)}


def accuracy(value):
    return {"value": round(value, 4), "low": round(value - 0.012, 4), "high": round(value + 0.01, 4), "n": 2000}


def name_of(*determinants):
    return hashlib.sha256(repr(determinants).encode()).hexdigest()[:16]


def natural(mode, epsilon):
    return 0.985 - (0.12 * float(epsilon) if mode == "adversarial" else 0.002)


def robust(mode, epsilon):
    return 0.95 - 0.55 * float(epsilon) if mode == "adversarial" else 0.04


def cell(group, levels, seed, image):
    adversarial = levels["mode"] == "adversarial"
    failed = levels["attack"] == "ig" and image == 77 and not adversarial
    margin = rng.gauss(6 if adversarial else 15, 2)
    by_training = 8 - 12 * float(levels["epsilon"]) if adversarial else 0
    psnr = (14 if levels["attack"] == "ig" else 26) - by_training + rng.gauss(0, 2.2) - 0.2 * margin
    scores = {"psnr": psnr, "gain": psnr - 9.6, "guess_psnr": 9.6, "ssim": min(0.99, max(0.02, psnr / 32)),
              "mse": 10 ** (-psnr / 10), "fmse_logits": 40 * 10 ** (-psnr / 12),
              "fmse_features": 9 * 10 ** (-psnr / 14), "oracle_psnr": psnr + abs(rng.gauss(0, 0.4)),
              "matching_loss": 10 ** rng.uniform(-7, -3)}
    known = {"margin": margin, "p_true": 1 / (1 + math.exp(-margin)), "gradient_norm": 3 * math.exp(-margin)}
    scores = {key: None if failed else short(value) for key, value in scores.items()}
    known = {key: short(value) for key, value in known.items()}
    return {"cell": name_of(levels, seed, image), "group": group, "seed": seed, "image": image, "label": image % 10,
            "status": "diverged" if failed else "ok", "reason": "the matching loss is not finite" if failed else "",
            **scores, **known, "restart": None if failed else 0, "restarts": 2,
            "diagnoses": ["gradient_near_zero"] if margin > 17 else []}


def training(mode, epsilon, seed):
    epochs = [1, 2, 3, 4]
    adversarial = mode == "adversarial"
    curve = {"epoch": epochs, "train_loss": [short(1.4 / e + 0.1 * adversarial) for e in epochs],
             "natural": [round(natural(mode, epsilon) - 0.25 / e ** 2 + 0.02 * seed / e, 4) for e in epochs],
             "robust": [round(max(0.0, robust(mode, epsilon) - 0.3 / e), 4) for e in epochs]}
    return {"id": name_of(mode, epsilon, seed), "label": f"{mode}, epsilon {epsilon}, seed {seed}",
            "levels": {"mode": mode, "epsilon": epsilon}, "seed": seed, "status": "ok", "reason": "",
            "description": f"{mode} training: SGD, 4 epochs, epsilon {epsilon}", "architecture": "small_cnn",
            "parameters": 312202, "kept_epoch": 4, "natural": accuracy(curve["natural"][-1]),
            "robust": accuracy(curve["robust"][-1]), "robust_attack": f"PGD-40, 2 restarts, epsilon {epsilon}",
            "curve": curve}


def study():
    groups, cells, contrasts = [], [], []
    for mode in MODES:
        for epsilon in EPSILONS:
            for attack in ATTACKS:
                levels = {"mode": mode, "epsilon": epsilon, "attack": attack}
                number = len(groups)
                own = [cell(number, levels, seed, image) for seed in SEEDS for image in IMAGES]
                cells += own
                scored = {key: [c[key] for c in own if c[key] is not None] for key, *_ in METRICS}
                groups.append({"id": number, "label": f"{mode}, epsilon {epsilon}, {attack}", "levels": levels,
                               "images": len(IMAGES), "seeds": len(SEEDS),
                               "psnr_of_mean_error": estimate([c["psnr"] for c in own if c["psnr"] is not None]),
                               "cells": len(own), "failed": sum(c["status"] != "ok" for c in own),
                               "metrics": {key: {"mean": estimate(v), "median": estimate(v, statistics.median),
                                                 "min": min(v), "max": max(v)}
                                           for key, v in scored.items()},
                               "natural": accuracy(natural(mode, epsilon)), "robust": accuracy(robust(mode, epsilon))})
    for reference in range(len(groups) // 2):
        group = reference + len(groups) // 2
        pairs = zip((c for c in cells if c["group"] == group), (c for c in cells if c["group"] == reference))
        both = [(a, b) for a, b in pairs if a["psnr"] is not None and b["psnr"] is not None]
        difference = estimate([a["psnr"] - b["psnr"] for a, b in both])
        significant = difference["low"] > 0 or difference["high"] < 0
        overlap = 34 if reference == 0 else 4
        at = {"pairs": 40, "overlap": overlap, "note": ""}
        left_out = {"value": None, "low": None, "high": None, **at,
                    "note": "left out: 4 of 40 pairs have margins whose sizes are within 1 of each other"}
        note = "extrapolated: 4 of 40 pairs have matching losses within a factor of 2 of each other"
        extrapolated = {**at, "note": "" if overlap == 34 else note}
        contrasts.append({"group": group, "reference": reference,
                          "label": f"adversarial minus standard: {groups[group]['label'][13:]}", "metric": "psnr",
                          "difference": difference, "p_value": 0.002 if significant else 0.31,
                          "p_holm": 0.012 if significant else 0.62, "effect": -0.87 if significant else -0.21,
                          "significant": significant, "images": 5, "seeds": 2,
                          "test": "Wilcoxon signed-rank, two-sided, images paired",
                          "needed": None if significant else 42,
                          "of_mean_error": estimate([10 * math.log10(b["mse"] / a["mse"]) for a, b in both]),
                          "ssim": estimate([a["ssim"] - b["ssim"] for a, b in both]),
                          "loss_ratio": estimate([a["matching_loss"] / b["matching_loss"] for a, b in both]),
                          "at_equal_loss": {**estimate([1.4, 2.1, 0.7, 1.9]), **extrapolated},
                          "at_equal_margin": {**estimate([0.4, 1.1, -0.3, 0.9]), **at} if reference == 0 else left_out})
    gallery = []
    for place, image in enumerate([31, 5, 12]):
        readings = [{"group": c["group"], "cell": c["cell"], "psnr": c["psnr"], "ssim": c["ssim"],
                     "status": c["status"], "png": None if c["psnr"] is None else png(noisy(image, c["psnr"]))}
                    for c in cells if c["image"] == image and c["seed"] == 0]
        gallery.append({"image": image, "class": str(image % 10), "original": png(digit(image)), "readings": readings})
    axes = [{"name": "mode", "title": "Training", "levels": [{"label": mode, "x": None} for mode in MODES]},
            {"name": "epsilon", "title": "Training epsilon", "levels": [{"label": e, "x": float(e)} for e in EPSILONS]},
            {"name": "attack", "title": "Attack", "levels": [{"label": attack, "x": None} for attack in ATTACKS]}]
    return {
        "schema": "pellucid.study/2", "name": "epsilon", "scale": "smoke", "title": "Does the training epsilon matter?",
        "question": "Does a larger training epsilon make images easier to read back?",
        "headline": "adversarial minus standard: epsilon 0.2, residual: -6.0 dB [-8.5, -3.5] within 2 x 300 iterations "
                    "(5 images x 2 trainings).",
        "summary": ["At equal matching loss the difference is +1.5 dB [+0.9, +2.1].",
                    "The difference closes as epsilon grows."],
        "warnings": ["These numbers are made up: they show the page, not the method.",
                     "10 cells a group: intervals are wide."],
        "environment": {"pellucid": "0.1.0", "commit": "0000000", "date": "2024-11-24T00:00:00Z", "cores": 2,
                        "libtorch": "1.13.0"},
        "config": {"seed": 0, "images": 5, "seeds": 2, "residual": {"iterations": 300, "restarts": 2},
                   "training": {"epochs": 4, "batch": 64}},
        "data": {"name": "patterns", "source": "made by the generator", "train_images": 6000, "test_images": 1000,
                 "note": "not real"},
        "axes": axes, "x": "epsilon", "compare": "mode",
        "words": {"item": "image", "repetition": "training"},
        "metrics": [{"key": key, "label": label, "unit": unit,
                     "digits": 1 if unit == "dB" else 2 if key == "ssim" else -1, "better": better,
                     "main": key in MAIN, "oracle": key == "oracle_psnr"}
                    for key, label, unit, better in METRICS],
        "columns": [{"key": key, "label": label} for key, label in COLUMNS],
        "published": {"source": "Talk on gradient inversion of robust models, slide 12",
                      "note": "One image, another network.",
                      "rows": [{"levels": {"mode": "standard", "attack": "ig"}, "label": "standard model",
                                "values": {"psnr": 4.83, "mse": 0.328}},
                               {"levels": {"mode": "adversarial", "attack": "ig", "epsilon": "0.3"},
                                "label": "robust model", "values": {"psnr": 17.4}}]},
        "trainings": [training(mode, epsilon, seed) for mode in MODES for epsilon in EPSILONS for seed in SEEDS],
        "groups": groups, "main_contrast": 2, "contrasts": contrasts,
        "controls": [
            {"kind": "positive", "attack": "residual", "value": 33.1, "threshold": 30, "passed": True,
             "sentence": "From an untrained network residual reads the images back at 33.1 dB."},
            {"kind": "network", "attack": "residual, 2 x 300 iterations", "value": 17.2, "threshold": 30,
             "passed": False, "n": 4, "sentence": "Positive control at this budget: 17.2 dB on the untrained "
                                                  "small_cnn, where 30 dB are asked for; failed."},
            {"kind": "null", "attack": "ig", "value": 14.2, "threshold": 12, "passed": False,
             "sentence": "Given the gradient of another image, ig still scores 14.2 dB."},
            {"kind": "guess", "attack": "", "value": 9.6, "threshold": None, "passed": None,
             "sentence": "The mean training image, a guess without any gradient, scores 9.6 dB."}],
        "diagnoses": [{"code": "gradient_near_zero", "cells": sum(bool(c["diagnoses"]) for c in cells),
                       "sentence": "The network was so sure that almost no gradient was left to match."}],
        "cells": cells, "gallery": gallery,
        "conventions": ["PSNR: 10 log10(1 / MSE) for pixels in [0, 1].", "Intervals: 95 %, bootstrap over images, BCa.",
                        "The reading with the lowest matching loss is kept."]}


def main():
    target = pathlib.Path(__file__).resolve().parents[2] / "tests/report/study_fixture/result.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    parts = []
    for key, value in study().items():  # a line for each entry of a list: small, and a change shows where it is
        lines = ",\n".join("  " + json.dumps(entry) for entry in value) if isinstance(value, list) and value else None
        parts.append(f" {json.dumps(key)}: " + (f"[\n{lines}\n ]" if lines else json.dumps(value)))
    target.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    main()
