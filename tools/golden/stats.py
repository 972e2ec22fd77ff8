#!/usr/bin/env python3
"""Makes tests/golden/stats.json: distributions, intervals and tests as SciPy computes them.

Needs python3-numpy and python3-scipy.
"""
import json
import pathlib

import numpy
import scipy
from scipy import special, stats

random = numpy.random.default_rng(20240502)


def sample(values):
    return [round(float(x), 6) for x in values]


def paired(name, a, b, method):
    a, b = sample(a), sample(b)
    test = stats.wilcoxon(a, b, zero_method="wilcox", correction=True, method=method)
    return {"name": name, "a": a, "b": b, "exact": method == "exact", "p_value": test.pvalue}


def bootstrap(name, values, statistic):
    values = sample(values)
    interval = stats.bootstrap(
        (values,), statistic, n_resamples=500_000, batch=10_000, method="BCa", random_state=random
    )
    low, high = interval.confidence_interval
    return {
        "name": name,
        "statistic": statistic.__name__,
        "sample": values,
        "value": float(statistic(values)),
        "low": low,
        "high": high,
        "standard_error": interval.standard_error,
    }


def proportion(k, n, level):
    interval = stats.binomtest(k, n).proportion_ci(level, method="exact")
    return {"k": k, "n": n, "level": level, "low": interval.low, "high": interval.high}


def normal(n, shift=0.0):
    return random.normal(shift, 1, n)


whole = random.integers(0, 6, (2, 25)).astype(float)
document = {
    "made_by": f"tools/golden/stats.py with SciPy {scipy.__version__}",
    "normal_quantile": [{"p": p, "z": special.ndtri(p)} for p in (1e-12, 0.001, 0.025, 0.2, 0.5, 0.84, 0.975, 0.9999)],
    "beta_cdf": [
        {"x": x, "a": a, "b": b, "p": special.betainc(a, b, x)}
        for a, b in [(1, 1), (0.5, 3), (2, 40), (500, 300), (9000, 41000)]
        for x in [0.01, 0.18, 0.625, 0.99]
    ],
    "proportion": [
        proportion(*case)
        for case in [
            (0, 10, 0.95), (10, 10, 0.95), (1, 1, 0.95), (3, 10, 0.95), (3, 10, 0.99), (7, 12, 0.5),
            (50, 100, 0.95), (1, 1000, 0.95), (9999, 10000, 0.95), (31234, 50000, 0.95),
        ]
    ],
    "paired": [
        paired("two pairs", [2.0, 3.0], [1.0, 1.5], "exact"),
        paired("no effect", normal(9), normal(9), "exact"),
        paired("effect", normal(12, 1.0), normal(12), "exact"),
        paired("all positive", numpy.arange(1, 8) ** 2, numpy.zeros(7), "exact"),
        paired("largest exact", normal(30, 0.4), normal(30), "exact"),
        paired("many pairs", normal(31, 0.4), normal(31), "approx"),
        paired("more pairs", normal(80, 0.3), normal(80), "approx"),
        paired("ties and zeros", whole[0], whole[1], "approx"),
        paired("balanced", [1.0, -1.0, 2.0, -2.0, 3.0, -3.0], numpy.zeros(6), "approx"),
    ],
    "bootstrap": [
        bootstrap("normal", normal(30), numpy.mean),
        bootstrap("skewed", random.exponential(1, 25), numpy.mean),
        bootstrap("offset", 15 + normal(20), numpy.mean),
        bootstrap("odd", normal(15), numpy.median),
        bootstrap("skewed and odd", random.exponential(1, 21), numpy.median),
    ],
}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/stats.json"
path.write_text(json.dumps(document, indent=1) + "\n")
