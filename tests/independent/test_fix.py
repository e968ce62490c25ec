"""`fix` without training: what it reports of the original and of two edits, by loops over images and shifts.

Shares no code with the product: images are moved by slices, the average is nine answers, and the blur of
the max pools is a convolution with the binomial kernel, written down.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.independent.conftest import Command
from tests.independent.plain import (
    Floats,
    Weights,
    batch_of,
    cnn2,
    dense_layers,
    digits,
    limited,
    moved,
    packaged,
    seed_for,
)
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

pytestmark = pytest.mark.slow

N, RADIUS = 60, 2
KERNEL = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)


def averaged(weights: Weights, images: Floats) -> Tensor:
    """The mean over the nine shifts of up to 1 px; what comes in is the nearest pixel."""
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    views = [wide[:, y : y + 28, x : x + 28] for y, x in product(range(3), repeat=2)]
    return torch.stack([cnn2(weights, 255 * batch_of(view)) for view in views]).mean(0)


def blurred(weights: Weights, images: Floats) -> Tensor:
    """Maxima at every position, then the binomial blur of stride 2, mirrored at the border."""

    def pool(maps: Tensor) -> Tensor:
        dense = pad(max_pool2d(maps, 2, 1), (1, 1, 1, 1), mode="reflect")
        kernel = (torch.outer(KERNEL, KERNEL) / 16).expand(maps.shape[1], 1, 3, 3)
        return conv2d(dense, kernel, None, 2, groups=maps.shape[1])

    maps = pool(conv2d(255 * batch_of(images), weights["conv1.weight"], weights["conv1.bias"]).relu())
    maps = pool(conv2d(maps, weights["conv2.weight"], weights["conv2.bias"]).relu())
    return dense_layers(weights, maps.flatten(1))


def plain(weights: Weights, images: Floats) -> Tensor:
    return cnn2(weights, 255 * batch_of(images))


MODELS: dict[str, Callable[[Weights, Floats], Tensor]] = {
    "original": plain,
    "average-logits": averaged,
    "max-blur-pool": blurred,
}


def test_the_table(command: Command, tmp_path: Path) -> None:
    words = ["--edits", "average-logits,max-blur-pool", "--protocol", f"grid:{RADIUS}", "--limit", str(N)]
    words += ["--no-onnx", "--quiet", "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    record = command("fix", "zoo:cnn2", "demo:mnist", *words)

    rows = limited(10_000, N)
    generator = torch.Generator().manual_seed(seed_for(0, "parts"))
    _, reporting = torch.randperm(N, generator=generator).tensor_split(2)
    images, labels = (part[rows][sorted(reporting.tolist())] for part in digits("test"))
    weights = packaged("cnn2")
    shifts = list(product(range(-RADIUS, RADIUS + 1), repeat=2))
    by_name = {row["name"]: row for row in record["rows"]}
    expected = {}
    for name, model in MODELS.items():
        answers = {
            shift: model(weights, np.stack([moved(each / 255, *shift) for each in images])).argmax(1).numpy()
            for shift in shifts
        }
        still = answers[0, 0]
        others = np.stack([answers[shift] for shift in shifts if shift != (0, 0)])
        expected[name] = {
            "clean-accuracy": (still == labels).mean(),
            "accuracy": np.stack([answers[shift] == labels for shift in shifts]).mean(),
            "agreement": (others == still).mean(),
            "worst-case-accuracy": ((others == labels).all(0) & (still == labels)).mean(),
        }
        for metric, value in expected[name].items():
            found = by_name[name]["estimates"][metric]
            assert found["value"] == pytest.approx(value), (name, metric)
            assert found["n_images"] == N // 2
            difference = by_name[name]["differences"][metric]["value"]
            assert difference == pytest.approx(value - expected["original"][metric]), (name, metric)
    assert expected["average-logits"]["accuracy"] != expected["original"]["accuracy"]
    assert record["chosen"] in expected
