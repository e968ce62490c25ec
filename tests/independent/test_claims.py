"""`claims`: weight sharing, the letter C and the pooling law, counted again.

Shares no code with the product: parameters, multiply-adds and memory follow from the sizes of the layers,
written as sums; the letter is drawn in characters, moved by hand, filtered by SciPy and pooled by slices.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import correlate2d

pytestmark = pytest.mark.slow

Integers = npt.NDArray[np.int64]

LETTER = np.array([[int(c == "#") for c in row] for row in (
    ".#####",
    "#.....",
    "#.....",
    "#.....",
    "#.....",
    "#.....",
    ".#####",
)])  # fmt: skip
EDGES = {
    "edge, brighter below": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "edge, brighter right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "bright spot": [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
}


def checks_of(record: Any, claim: int) -> dict[str, Any]:
    (found,) = (each for each in record["claims"] if each["number"] == claim)
    return {check["says"]: check for check in found["checks"]}


def test_what_weight_sharing_saves(claimed: Any) -> None:
    """Claim 1: parameters, multiply-adds, and the bytes of a training step with Adam."""
    n, pixels = 32, 28 * 28  # images in a step
    weights = {
        "dense-nn without dropout": pixels * 100 + 100 * 100 + 100 * 10,
        "cnn1": 5 * 5 * 20 + 12 * 12 * 20 * 100 + 100 * 10,
        "cnn2": 5 * 5 * 20 + 5 * 5 * 20 * 40 + 4 * 4 * 40 * 100 + 100 * 10,
    }
    biases = {"dense-nn without dropout": 210, "cnn1": 130, "cnn2": 170}
    multiply_adds = {
        "dense-nn without dropout": weights["dense-nn without dropout"],
        "cnn1": 24 * 24 * 500 + 288_000 + 1000,
        "cnn2": 24 * 24 * 500 + 8 * 8 * 20_000 + 64_000 + 1000,
    }
    # Numbers of 4 bytes of each image that the backward pass reads: what each layer was given, and logits;
    # of each cell that a pool keeps, 8 bytes say which one it was; of each image, 8 bytes are its label.
    read = {
        "dense-nn without dropout": pixels + 100 + 100 + 10,
        "cnn1": pixels + 24 * 24 * 20 + 12 * 12 * 20 + 100 + 10,
        "cnn2": pixels + 24 * 24 * 20 + 12 * 12 * 20 + 8 * 8 * 40 + 4 * 4 * 40 + 100 + 10,
    }
    cells = {"dense-nn without dropout": 0, "cnn1": 12 * 12 * 20, "cnn2": 12 * 12 * 20 + 4 * 4 * 40}
    n_tensors = {"dense-nn without dropout": 6, "cnn1": 6, "cnn2": 8}
    totals = {}
    for name, found in claimed["experiments"]["sharing"]["networks"].items():
        if name not in weights:
            continue
        n_parameters = weights[name] + biases[name]
        kept = n * (4 * read[name] + 8 * cells[name] + 8) + 4  # and the sum of the labels' weights
        totals[name] = 16 * n_parameters + 4 * n_tensors[name] + kept
        assert found["n_parameters"] == n_parameters
        assert found["multiply_adds"] == multiply_adds[name]
        assert found["memory_bytes"]["kept"] == kept
        assert found["memory_bytes"]["total"] == totals[name]
    assert totals.keys() == weights.keys()

    first, dense = checks_of(claimed, 1), "dense-nn without dropout"
    for name in ("cnn1", "cnn2"):
        fewer = first[f"{name} has fewer parameters than {dense}."]
        assert fewer["holds"] == (weights[name] + biases[name] < weights[dense] + biases[dense])
        less = first[f"A training step of {name} takes less memory than one of {dense}."]
        assert less["holds"] == (totals[name] < totals[dense])
        assert f"{totals[name] / 1e6:.1f} MB against {totals[dense] / 1e6:.1f} MB" in less["found"]


def canvas(at_y: int, at_x: int, content: Integers = LETTER) -> Integers:
    """Content on 64 × 64 empty pixels, far from every border."""
    image = np.zeros((64, 64), np.int64)
    image[at_y : at_y + content.shape[0], at_x : at_x + content.shape[1]] = content
    return image


def pooled(maps: Integers, n_pools: int) -> Integers:
    """2 × 2 max pools, one after the other."""
    for _ in range(n_pools):
        maps = np.maximum.reduce([maps[y::2, x::2] for y in (0, 1) for x in (0, 1)])
    return maps


def fired(image: Integers, weights: Integers, threshold: int) -> Integers:
    """A convolution of the same size, with a bias of minus the threshold, and ReLU."""
    return np.maximum(correlate2d(image, weights, mode="same") - threshold, 0)


def positions_with_the_same_map(
    offset_px: list[int], n_pools: int, weights: Integers, threshold: int, content: Integers = LETTER
) -> int:
    """From how many positions, of a square as wide as one cell, a move leaves the pooled map as it was."""
    stride = 2**n_pools
    same = 0
    for y in range(24, 24 + stride):
        for x in range(24, 24 + stride):
            before, after = (
                pooled(fired(canvas(y + dy, x + dx, content), weights, threshold), n_pools)
                for dy, dx in ((0, 0), offset_px)
            )
            same += np.array_equal(before, after)
    return same


def test_the_letter_after_convolution_and_pooling(claimed: Any) -> None:
    """Claims 4 and 5: a filter that fires at the letter alone, and filters for edges and spots."""
    matched = np.where(LETTER > 0, 1, -1)
    alone = int(np.sort(correlate2d(canvas(24, 24), matched, mode="same"), axis=None)[-2])
    counted = claimed["experiments"]["letter"]
    for n_pools in (1, 2):
        for move in counted["detector"][n_pools - 1]["moves"]:
            expected = positions_with_the_same_map(move["offset_px"], n_pools, matched, alone)
            assert move["n_same"] == expected, move["offset_px"]
    for name, weights in EDGES.items():
        for move in counted["in_a_row"][name][0]["moves"]:
            expected = positions_with_the_same_map(move["offset_px"], 1, np.array(weights), 0)
            assert move["n_same"] == expected, (name, move["offset_px"])

    one, two = (positions_with_the_same_map([d, 0], 1, matched, alone) for d in (1, 2))
    says = (
        "Where a filter fires at the letter alone, the pooled map stays the same under a move down by 1 px "
    )
    some = checks_of(claimed, 4)[says + "from some position."]
    assert (some["holds"], some["found"]) == (one > 0, f"From {one} of 4 positions.")
    (other,) = (check for says, check in checks_of(claimed, 5).items() if "fires at the letter alone" in says)
    assert other["holds"] == (two == 0)


@pytest.mark.parametrize("n_pools", [1, 2, 3])
def test_the_pooling_law(n_pools: int, claimed: Any) -> None:
    """Claim 6: an isolated peak, at every position, moved by hand; and the law, written out."""
    stride, peak = 2**n_pools, np.ones((1, 1), np.int64)
    law = claimed["experiments"]["letter"]["peak"][n_pools - 1]
    assert law["n_pools"] == n_pools
    for move in law["moves"]:
        dy, dx = move["offset_px"]
        counted = positions_with_the_same_map([dy, dx], n_pools, peak, 0, content=peak)
        assert move["n_same"] == counted
        assert move["n_expected"] == counted == max(0, stride - abs(dy)) * max(0, stride - abs(dx))
    assert len(law["moves"]) == 3 * stride + 1
