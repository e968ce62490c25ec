"""`fix` without training: what it reports of the original and of two edits, by loops over images and shifts.

Shares no code with the product: images are moved by slices, the average is nine answers, and the blur of
the max pools is a convolution with the binomial kernel, written down. Intervals of paired differences are
computed again from the definitions, and what all layers lose from the answers of both networks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm, t
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
    choosing, reporting = torch.randperm(N, generator=generator).tensor_split(2)
    images, labels = (part[rows][sorted(reporting.tolist())] for part in digits("test"))
    weights = packaged("cnn2")
    shifts = list(product(range(-RADIUS, RADIUS + 1), repeat=2))
    check_choice(record, weights, [rows[place] for place in sorted(choosing.tolist())])
    by_name = {row["name"]: row for row in record["rows"]}
    expected, right = {}, {}
    for name, model in MODELS.items():
        answers = {
            shift: model(weights, np.stack([moved(each / 255, *shift) for each in images])).argmax(1).numpy()
            for shift in shifts
        }
        still = answers[0, 0]
        others = np.stack([answers[shift] for shift in shifts if shift != (0, 0)])
        right[name] = np.stack([still, *(answers[shift] for shift in shifts)]) == labels
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
    still_right = {name: each[0].astype(float) for name, each in right.items()}
    moved_right = {name: each[1:].mean(0) for name, each in right.items()}
    for name in ("average-logits", "max-blur-pool"):
        differences = by_name[name]["differences"]
        check_one_bit(differences["clean-accuracy"], still_right[name] - still_right["original"])
        check_mean(differences["accuracy"], moved_right[name] - moved_right["original"])


def check_choice(record: Any, weights: Weights, rows: list[int]) -> None:
    """What each edit was worth on the images to choose by, and that none is half a point better."""
    images, labels = (part[rows] for part in digits("test"))
    shifts = list(product(range(-RADIUS, RADIUS + 1), repeat=2))
    tried = {each["name"]: each for each in record["tried"]}
    clean, shifted = {}, {}
    for name, model in MODELS.items():
        views = {shift: np.stack([moved(each / 255, *shift) for each in images]) for shift in shifts}
        right = {shift: model(weights, view).argmax(1).numpy() == labels for shift, view in views.items()}
        clean[name], shifted[name] = right[0, 0].mean(), np.stack(list(right.values())).mean()
        assert tried[name]["estimates"]["clean-accuracy"]["value"] == pytest.approx(clean[name]), name
        assert tried[name]["estimates"]["accuracy"]["value"] == pytest.approx(shifted[name]), name
        assert tried[name]["n_images"] == len(images) == N // 2
    able = [name for name in MODELS if clean[name] > clean["original"] - 1.5 / len(images)]
    assert record["chosen"] in able
    assert shifted[record["chosen"]] >= max(shifted[name] for name in able) - 0.005
    assert tried[record["chosen"]]["fate"] == "chosen"


def check_one_bit(found: Any, change: Floats) -> None:
    """The interval of a difference of shares, paired: Bonett and Price 2012, one image more in each cell."""
    n = len(change)
    p, q = ((change > 0).sum() + 1) / (n + 2), ((change < 0).sum() + 1) / (n + 2)
    half = norm.ppf(0.975) * np.sqrt((p + q - (p - q) ** 2) / (n + 2))
    assert (found["low"], found["high"]) == pytest.approx((p - q - half, p - q + half), abs=1e-9)


def check_mean(found: Any, change: Floats) -> None:
    """The interval of a mean of differences: a Bayesian bootstrap, by drawing its weights.

    Half an image is added at each end of what the differences reach; Student's quantile is that of the tails.
    """
    n, reach = len(change), np.abs(change).max()
    assert np.ptp(change) > 0
    values = np.array([-reach, *change, reach])
    parts = np.array([0.5, *np.ones(n), 0.5])
    weights = np.random.default_rng(0).gamma(parts, size=(100_000, n + 2))
    means = (weights * values).sum(1) / weights.sum(1)
    tail = norm.cdf(t.ppf(0.025, n - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_what_layers_lose_before_and_after(command: Command, tmp_path: Path) -> None:
    """The change of the answer of both networks, and the losses of the layers as `explain` prints them."""
    words = ["--limit", str(N), "--edits", "max-blur-pool", "--clean-margin", "1", "--protocol", "box:4,4,4"]
    words += ["--no-onnx", "--quiet", "--threads", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    record = command("fix", "zoo:cnn2", "demo:mnist", *words)
    assert record["chosen"] == "max-blur-pool"
    before, after = record["losses"]

    generator = torch.Generator().manual_seed(seed_for(0, "parts"))
    _, reporting = torch.randperm(N, generator=generator).tensor_split(2)
    images, labels = (part[limited(10_000, N)][sorted(reporting.tolist())][:16] for part in digits("test"))
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    explained = command(
        "explain", "zoo:cnn2", str(tmp_path / "x.npz"), "--remedies", "0", "--device", "cpu", "--quiet"
    )
    offsets_px = np.array(explained["offsets_px"]["with-border"], dtype=int)

    weights, found = packaged("cnn2"), []
    for model in (plain, blurred):
        still = model(weights, images / 255)
        others = (still - still.roll(-1, 0)).square().sum(1).mean()
        changes = []
        for shift in range(offsets_px.shape[1]):
            pairs = zip(images / 255, offsets_px[:, shift], strict=True)
            shown = np.stack([moved(image, int(dy), int(dx)) for image, (dy, dx) in pairs])
            changes.append((model(weights, shown) - still).square().sum(1) / others)
        found.append(float(torch.stack(changes).mean()))
    assert before["change"]["value"] == pytest.approx(found[0], rel=1e-3)
    assert after["change"]["value"] == pytest.approx(found[1], rel=1e-3)
    assert after["change"]["value"] < before["change"]["value"]
    rows = {row["layer"]: row["loss"]["logits"]["value"] for row in explained["rows"]}
    for layer in before["layers"]:
        assert layer["loss"]["value"] == pytest.approx(rows[layer["layer"]], rel=1e-3, abs=1e-6)
