#!/usr/bin/env python3
"""Makes tests/golden/metrics.json: image metrics as scikit-image computes them.

Needs python3-numpy and python3-skimage. Pixels are whole numbers; divided by 255 they are the images.
"""
import json
import pathlib

import numpy
import skimage
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

random = numpy.random.default_rng(20240501)


def smooth(shape):
    """Waves that differ by channel: an image with structure."""
    c, y, x = numpy.indices(shape)
    return 127.5 + 100 * numpy.sin(0.5 * x + c) * numpy.cos(0.3 * y - 0.4 * c)


def case(name, original, reconstruction):
    original, reconstruction = (numpy.clip(numpy.rint(image), 0, 255) for image in (original, reconstruction))
    a, b = original / 255, reconstruction / 255
    similarity = structural_similarity(
        b, a, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=0
    )
    return {
        "name": name,
        "shape": original.shape,
        "original": original.astype(int).ravel().tolist(),
        "reconstruction": reconstruction.astype(int).ravel().tolist(),
        "mse": mean_squared_error(a, b),
        "psnr": peak_signal_noise_ratio(a, b, data_range=1),
        "ssim": similarity,
    }


cases = [
    case("noisy", smooth((3, 16, 20)), smooth((3, 16, 20)) + random.normal(0, 25, (3, 16, 20))),
    case("shifted", smooth((1, 28, 28)), numpy.roll(smooth((1, 28, 28)), 2, axis=2)),
    case("unrelated", random.uniform(0, 255, (3, 12, 12)), random.uniform(0, 255, (3, 12, 12))),
    case("negative", smooth((1, 14, 14)), 255 - smooth((1, 14, 14))),
    case("one window", smooth((2, 11, 11)), smooth((2, 11, 11)) * 0.5 + 40),
]
document = {"made_by": f"tools/golden/metrics.py with scikit-image {skimage.__version__}", "cases": cases}
path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/metrics.json"
path.write_text(json.dumps(document, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
