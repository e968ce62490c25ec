"""`study alternatives`: one row, cnn2 with blurred pools, beside its base.

Shares no code with the product: the blur is three taps of a binomial, written as slices; the worst case and
the consistency are loops over shifts; the network comes from the weights in its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import shift
from tests.independent.conftest import Trained
from tests.independent.plain import (
    SETS,
    Floats,
    Integers,
    Weights,
    batch_of,
    cnn2,
    dense_layers,
    digits,
    moved,
    uniform,
    weights_in,
)
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, pad

pytestmark = pytest.mark.slow

N = 120
Network = Callable[[Weights, Tensor], Tensor]


def blurred_pool(maps: Tensor) -> Tensor:
    """The maximum of 2 × 2 at every position, (1, 2, 1) / 4 along each axis, every second position."""
    maps = pad(max_pool2d(maps, 2, stride=1), (1, 1, 1, 1), mode="reflect")
    maps = (maps[:, :, :-2] + 2 * maps[:, :, 1:-1] + maps[:, :, 2:]) / 4
    maps = (maps[..., :-2] + 2 * maps[..., 1:-1] + maps[..., 2:]) / 4
    return maps[:, :, ::2, ::2]


def cnn2_blur(weights: Weights, images: Tensor) -> Tensor:
    for layer in ("conv1", "conv2"):
        maps = conv2d(images, weights[f"{layer}.weight"], weights[f"{layer}.bias"]).relu()
        images = blurred_pool(maps)
    return dense_layers(weights, images.flatten(1))


def scores_of(network: Network, weights: Weights) -> dict[tuple[str, str], Floats]:
    """For each column of the study one number per image, not a number where the image does not count."""
    images, labels = (part[:N] for part in digits("test"))
    pixels = images / 255

    def answers(shown: list[Floats]) -> Integers:
        return np.asarray(network(weights, batch_of(np.stack(shown))).argmax(1).numpy())

    found = {}
    for protocol, reach_px in SETS.items():
        offsets_px = (2 * uniform(protocol, N, 1)[:, 0] - 1) * reach_px
        shown = [
            shift(image, offset, order=1, mode="grid-constant", prefilter=False)
            for image, offset in zip(pixels, offsets_px, strict=True)
        ]
        found[protocol, "accuracy"] = np.asarray(answers(shown) == labels, float)

    always = np.ones(N, bool)
    for offset_px in product(range(-4, 5), repeat=2):
        always &= answers([moved(image, *offset_px) for image in pixels]) == labels
    found["grid:4", "worst-case-accuracy"] = np.asarray(always, float)

    # Two circular shifts an image, each from −3 to 3 px; equal ones say nothing.
    drawn = np.floor(7 * uniform("circular:3", N, 2)).astype(int) - 3
    first, second = (
        answers(
            [np.roll(image, (dy, dx), (0, 1)) for image, (dy, dx) in zip(pixels, drawn[:, i], strict=True)]
        )
        for i in (0, 1)
    )
    different = (drawn[:, 0] != drawn[:, 1]).any(1)
    found["circular:3", "pairwise-consistency"] = np.where(different, first == second, np.nan)
    return found


def test_one_row(alternatives: Trained) -> None:
    rows = {row["name"]: row for row in alternatives.printed["rows"]}
    base, remedy = (
        scores_of(network, weights_in(alternatives.network(name)))
        for name, network in (("cnn2", cnn2), ("cnn2-blur", cnn2_blur))
    )
    for name, scores in (("cnn2", base), ("cnn2-blur", remedy)):
        cells = {cell["protocol"]: cell["metrics"] for cell in rows[name]["cells"]}
        for (protocol, metric), values in scores.items():
            estimate = cells[protocol][metric]
            assert estimate["value"] == pytest.approx(np.nanmean(values), abs=1e-9), (name, protocol)
            assert estimate["n_images"] == np.isfinite(values).sum()
    assert remedy["article-none", "accuracy"].mean() > 0.2, "something was learned"

    assert rows["cnn2-blur"]["against"]["base"] == "cnn2"
    columns = alternatives.printed["columns"]
    differences = rows["cnn2-blur"]["against"]["differences"]
    assert len(differences) == 3
    for difference in differences:
        column = columns[difference["column"]]
        key = column["protocol"], column["metric"]
        change = np.nanmean(remedy[key]) - np.nanmean(base[key])
        assert difference["found"]["value"] == pytest.approx(change, abs=1e-9), key

    # Maps of 24 × 24 and 8 × 8, and the dense layers; blurs of 9 taps, at 12 × 12 and 4 × 4 places.
    multiply_adds = 24 * 24 * 20 * 25 + 8 * 8 * 40 * 500 + 640 * 100 + 100 * 10
    assert rows["cnn2"]["costs"]["multiply_adds"] == multiply_adds
    assert rows["cnn2-blur"]["costs"]["multiply_adds"] == multiply_adds + 9 * (12 * 12 * 20 + 4 * 4 * 40)
