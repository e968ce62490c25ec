"""The law of an isolated peak, and exact counts for anything else."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, signal
from torch.nn.functional import conv2d, max_pool2d

from shiftproof._figures import image_bytes
from shiftproof.article import (
    Filter,
    draw_letter_c,
    edge_filters,
    letter_figure,
    matched_filter,
    pooling_law,
    random_filters,
)
from shiftproof.errors import OptionError, ShapeError

Integers = npt.NDArray[np.int64]
LETTER: Integers = draw_letter_c()[0, 0].numpy().astype(np.int64)
GLYPH = LETTER[10:17, 10:16]
FILTERS = (*edge_filters(), matched_filter(LETTER), matched_filter(LETTER, alone=True), *random_filters(2))


@pytest.mark.parametrize("n_pools", [1, 2, 3, 4])
def test_an_isolated_peak_follows_the_law_for_every_move(n_pools: int) -> None:
    """1 − d / 2^k along an axis, the product of both along the diagonal, nothing from 2^k on."""
    law = pooling_law(n_pools)
    stride = 2**n_pools
    assert law.follows_law
    assert set(law.by_offset) == {
        (d * a, d * b) for d in range(stride + 1) for a, b in ((1, 0), (0, 1), (1, 1))
    }
    for (dy, dx), move in law.by_offset.items():
        share = (1 - Fraction(dy, stride)) * (1 - Fraction(dx, stride))
        assert Fraction(move.n_same, move.n_positions) == share
        assert move.n_moved == move.n_positions == stride**2


@given(st.integers(1, 3), st.integers(2, 5), st.integers(2, 3), st.integers(1, 9))
def test_a_peak_in_any_pools_follows_the_count(
    n_pools: int, window_px: int, stride_px: int, level: int
) -> None:
    if window_px < stride_px or stride_px**n_pools > 16:
        return
    assert pooling_law(n_pools, [[level]], window_px=window_px, stride_px=stride_px).follows_law


@pytest.mark.parametrize("n_pools", [1, 2, 3])
def test_overlapping_windows_hide_one_pixel_less(n_pools: int) -> None:
    stride = 2**n_pools
    law = pooling_law(n_pools, window_px=3)
    for d in range(1, stride):
        move = law.by_offset[d, 0]
        assert Fraction(move.n_same, move.n_positions) == 1 - Fraction(d + 1, stride)


def test_where_the_law_fails() -> None:
    """Two values in neighbouring rows leave no position; equal ends that cross together are as one peak."""
    two = pooling_law(1, [[2], [1]])
    assert [two.by_offset[1, 0].n_same, two.by_offset[1, 0].n_expected] == [0, 2]
    assert two.by_offset[0, 1].n_same == 2
    alike = pooling_law(2, [[1], [0], [0], [1]])
    assert alike.by_offset[0, 1].n_same == alike.by_offset[0, 1].n_expected
    assert alike.by_offset[1, 0].n_same < alike.by_offset[1, 0].n_expected
    # The ends of a bar of 3 px cross at the same positions, those of one of 2 px at different ones.
    assert [pooling_law(1, [[1]] * n).by_offset[1, 0].n_same for n in (1, 2, 3, 4)] == [2, 0, 2, 0]
    assert not pooling_law(3, GLYPH).follows_law
    # With overlapping windows a peak crosses twice as often, and the ends of a bar of 2 px cross together.
    assert pooling_law(1, [[1]], window_px=3).by_offset[1, 0].n_same == 0
    assert pooling_law(1, [[1]] * 2, window_px=3).by_offset[1, 0].n_same == 2


@given(st.data())
def test_the_law_is_a_bound_for_every_map_but_an_empty_one(data: st.DataObject) -> None:
    n_pools = data.draw(st.integers(1, 3))
    image = data.draw(st.lists(st.lists(st.integers(0, 2), min_size=5, max_size=5), min_size=4, max_size=4))
    each = data.draw(st.sampled_from((*FILTERS[:6], *random_filters(6, size_px=3))))
    law = pooling_law(n_pools, image, [each])
    if law.fires:
        assert all(move.n_same <= move.n_expected for move in law.moves)


def test_an_empty_map_hides_every_move() -> None:
    nothing = pooling_law(1, np.zeros((3, 3), np.int64), [edge_filters()[0]])
    assert not nothing.fires
    assert all(move.n_same == move.n_positions for move in nothing.moves)
    assert nothing.by_offset[2, 2].n_expected == 0


def brute_force(
    image: Integers, each: Filter, n_pools: int, offset: tuple[int, int], *, blocks: bool = False
) -> tuple[int, int]:
    """The same with torch in float64, where integers are exact, on one large canvas and without any reuse."""
    stride = 2**n_pools
    height, width = image.shape
    weights = torch.from_numpy(each.weights).double()[None, None]

    def pooled(y: int, x: int) -> torch.Tensor:
        canvas = torch.zeros(1, 1, 160, 160, dtype=torch.float64)
        canvas[0, 0, 64 + y : 64 + y + height, 64 + x : 64 + x + width] = torch.from_numpy(image)
        maps = torch.relu(conv2d(canvas, weights) - each.threshold)
        for level in range(n_pools):
            if blocks and level:
                maps = torch.relu(conv2d(maps, weights) - each.threshold)
            maps = max_pool2d(maps, 2)
        return maps[0, 0]

    same = moved = 0
    for y, x in product(range(stride), repeat=2):
        one, other = pooled(y, x), pooled(y + offset[0], x + offset[1])
        same += int(torch.equal(one, other))
        shifts = [torch.roll(one, s, (0, 1)) for s in product((0, 1, 2), repeat=2)]
        moved += int(any(torch.equal(shifted, other) for shifted in shifts))
    return same, moved


@pytest.mark.parametrize("each", FILTERS, ids=lambda each: each.name)
@pytest.mark.parametrize("blocks", [False, True], ids=["once", "blocks"])
def test_counts_are_those_of_torch_without_reuse(each: Filter, blocks: bool) -> None:
    law = pooling_law(2, GLYPH, [each], blocks=blocks)
    for offset in ((1, 0), (0, 1), (2, 2)):
        move = law.by_offset[offset]
        assert (move.n_same, move.n_moved) == brute_force(GLYPH, each, 2, offset, blocks=blocks)


@given(st.data())
def test_counts_of_random_images_are_those_of_a_maximum_filter(data: st.DataObject) -> None:
    """Pools in a row are one maximum over windows of 2^k, read every 2^k: scipy's, at every position."""
    n_pools = data.draw(st.integers(1, 2))
    levels = data.draw(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=3, max_size=3))
    image = np.array(levels)
    if not image.any():
        return
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    stride = 2**n_pools
    law = pooling_law(n_pools, image)
    canvas = np.zeros((40, 40), np.int64)
    canvas[16 : 16 + image.shape[0], 16 : 16 + image.shape[1]] = image
    largest = ndimage.maximum_filter(canvas, stride, origin=-(stride // 2), mode="constant")
    read = {
        (y, x): np.roll(largest, (y, x), (0, 1))[::stride, ::stride]
        for y, x in product(range(2 * stride), repeat=2)
    }
    for (dy, dx), move in law.by_offset.items():
        same = sum(
            np.array_equal(read[y, x], read[y + dy, x + dx]) for y, x in product(range(stride), repeat=2)
        )
        assert move.n_same == same


@given(st.integers(0, len(FILTERS) - 1), st.booleans())
def test_what_is_hidden_stays_hidden_deeper(number: int, blocks: bool) -> None:
    """A further layer cannot tell apart what it gets alike; one stride more positions, none lost."""
    one, two = (pooling_law(n, GLYPH, [FILTERS[number]], blocks=blocks) for n in (1, 2))
    for offset in ((1, 0), (0, 1), (1, 1)):
        assert two.by_offset[offset].share >= one.by_offset[offset].share


def test_several_channels_have_to_stay_the_same_together() -> None:
    alone = [pooling_law(3, GLYPH, [each]).by_offset[1, 0].same for each in FILTERS[:3]]
    together = pooling_law(3, GLYPH, FILTERS[:3]).by_offset[1, 0].same
    assert np.array_equal(together, alone[0] & alone[1] & alone[2])
    assert together.sum() < max(same.sum() for same in alone)


def test_a_detector_of_the_letter_makes_an_isolated_peak() -> None:
    """Claim 4 as the article draws it: from half of all positions, and not from the other half."""
    law = pooling_law(1, LETTER, [matched_filter(LETTER, alone=True)])
    assert law.follows_law
    assert law.by_offset[1, 0].same.tolist() == [[True, True], [False, False]]
    assert [law.by_offset[d].n_same for d in ((0, 0), (1, 0), (1, 1), (2, 0))] == [4, 2, 1, 0]


def test_empty_margins_do_not_count() -> None:
    ours, wide = pooling_law(2, GLYPH, FILTERS[:1]), pooling_law(2, np.pad(GLYPH, 5), FILTERS[:1])
    assert ours.record() == wide.record()


@pytest.mark.parametrize("each", FILTERS, ids=lambda each: each.name)
def test_convention_responses_are_scipys_correlation_without_padding(each: Filter) -> None:
    expected = signal.correlate2d(LETTER, each.weights, mode="valid") - each.threshold
    assert np.array_equal(each.respond(LETTER), np.maximum(expected, 0))


def test_the_detector_fires_once_and_where_the_letter_is() -> None:
    response = matched_filter(LETTER, alone=True).respond(LETTER)
    assert np.argwhere(response).tolist() == [[10, 10]]


def test_the_first_random_filters_do_not_depend_on_how_many() -> None:
    few, many = random_filters(2, seed=3), random_filters(5, seed=3)
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(few, many, strict=False))
    assert not np.array_equal(few[0].weights, few[1].weights)
    assert set(np.unique([each.weights for each in many])) == set(range(-3, 4))
    assert not np.array_equal(few[0].weights, random_filters(1, seed=4)[0].weights)


def test_the_figure_shows_a_position_of_each_outcome() -> None:
    detector = matched_filter(LETTER, alone=True)
    for offset, expected in (((1, 0), [True, False]), ((2, 0), [False]), ((0, 0), [True])):
        figure = letter_figure(LETTER, detector, offset_px=offset)
        assert [pair.same for pair in figure.pairs] == expected
        assert figure.n_same == pooling_law(1, GLYPH, [detector]).by_offset[offset].n_same
        for pair in figure.pairs:
            y, x = pair.position_px
            moved = np.roll(pair.before.image, offset, (0, 1))
            assert np.array_equal(pair.after.image, moved)
            assert np.array_equal(pair.before.image[y : y + 7, x : x + 6], GLYPH)
            assert np.array_equal(pair.before.features, detector.respond(pair.before.image))


def test_figures_are_drawn_and_are_the_same_every_time() -> None:
    pytest.importorskip("matplotlib")
    figure = letter_figure(LETTER, edge_filters()[0], n_pools=2)
    drawn = [image_bytes(figure.plot()[0]) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert b"4 of 16 positions" in drawn[0]
    _, axes = pooling_law(2).plot()
    law, counts = axes.lines[0], axes.lines[1]
    assert law.get_ydata() == pytest.approx([100, 75, 50, 25, 0])
    assert counts.get_ydata() == pytest.approx([100, 75, 50, 25, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_pools": 0}, "at least 1 pool"),
        ({"n_pools": 1, "window_px": 1}, "window of at least the stride"),
        ({"n_pools": 6}, "product is at most 32 px, got 64 px"),
        ({"n_pools": 1, "image": [[0.5]]}, "whole numbers of at least 0"),
        ({"n_pools": 1, "image": [[-1]]}, "whole numbers of at least 0, got int64 from -1"),
        ({"n_pools": 1, "blocks": True}, "filters to convolve with"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        pooling_law(**arguments)


def test_errors_of_shapes_and_filters() -> None:
    with pytest.raises(ShapeError, match=r"shape \(H, W\)"):
        pooling_law(1, np.zeros((1, 2, 2), np.int64))
    with pytest.raises(ShapeError, match=r"weights of shape \(h, w\)"):
        Filter("flat", np.ones(3, np.int64))
    with pytest.raises(OptionError, match="weights that are whole numbers"):
        Filter("half", np.full((1, 1), 0.5))
    with pytest.raises(OptionError, match="threshold of at least 0"):
        Filter("bias", np.ones((1, 1), np.int64), -1)
    with pytest.raises(OptionError, match="something in it"):
        matched_filter(np.zeros((3, 3), np.int64))
    with pytest.raises(OptionError, match="down or to the right"):
        letter_figure(LETTER, edge_filters()[0], offset_px=(-1, 0))
