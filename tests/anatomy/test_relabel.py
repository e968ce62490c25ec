"""Where positions go: every reshape, permutation and cut, followed by marking positions."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftproof.anatomy import PositionGrid
from shiftproof.anatomy._relabel import cut, permuted, reshaped


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    before = (2, *draw(st.lists(st.integers(1, 4), min_size=3, max_size=3)))
    rest, after = math.prod(before) // 2, [2]
    while rest > 1 and len(after) < 5:
        factor = draw(st.sampled_from([n for n in range(1, rest + 1) if rest % n == 0]))
        after.append(factor)
        rest //= factor
    return before, (*after, rest)


@settings(max_examples=300)
@given(reshapes())
def test_a_grid_after_a_reshape_is_where_the_positions_are(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    before, after = shapes
    grid = PositionGrid((before[2], before[3]), (2, 3))
    found = reshaped(before, after, grid)
    # Every number says at which row and column it was.
    rows = torch.arange(before[2])[:, None].expand(before).reshape(after)
    columns = torch.arange(before[3]).expand(before).reshape(after)
    if found is None:
        return
    if found.is_joint:
        line = found.axes[0]
        assert line is not None
        shape = [1] * len(after)
        shape[line] = -1
        places = torch.arange(after[line]).reshape(shape)
        assert torch.equal(rows, (places // before[3]).expand(after))
        assert torch.equal(columns, (places % before[3]).expand(after))
        return
    for axis, values, size in zip(found.axes, (rows, columns), found.size, strict=True):
        shape = [1] * len(after)
        if axis is not None:
            shape[axis] = size
        assert torch.equal(
            values, torch.arange(size).reshape(shape if axis is not None else [1] * len(after)).expand(after)
        )


def test_flatten_and_back_are_followed() -> None:
    grid = PositionGrid((4, 5), (2, 3))
    line = reshaped((2, 3, 4, 5), (2, 3, 20), grid)
    assert line == PositionGrid((4, 5), (2, 2))
    assert reshaped((2, 3, 20), (2, 3, 4, 5), line) == grid
    assert reshaped((2, 3, 4, 5), (6, 4, 5), grid) is None
    assert reshaped((2, 3, 4, 5), (2, 60), grid) is None
    assert reshaped((2, 3, 1, 1), (2, 3), PositionGrid((1, 1), (2, 3))) is None


def test_permutations_are_followed() -> None:
    shape = (2, 3, 4, 5)
    for order in permutations(range(4)):
        found = permuted(order, PositionGrid((4, 5), (2, 3)))
        assert found is not None
        assert order[found.images] == 0
        moved = torch.zeros(shape).permute(order).shape
        assert (moved[found.axes[0] or 0], moved[found.axes[1] or 0]) == (4, 5)


CUTS: tuple[tuple[Any, ...], ...] = (
    (..., slice(1, None)),
    (slice(None), slice(0, 2), slice(None, -1), slice(2, 7, 3)),
    (slice(None), 1),
    (..., None, slice(None, None, 2)),
    (slice(None), slice(None), slice(5)),
)
PICKS: tuple[tuple[Any, ...], ...] = (
    (slice(None), slice(None), 2),
    (0,),
    ([0, 1],),
    (True,),
    (slice(None), slice(None), slice(3, 3)),
)


def test_cuts_are_windows() -> None:
    shape, grid = (2, 3, 6, 7), PositionGrid((6, 7), (2, 3))
    rows, columns = torch.arange(6)[:, None].expand(shape), torch.arange(7).expand(shape)
    for index in CUTS:
        found = cut(index, shape, grid)
        assert found is not None
        slide, after = found
        for axis, numbers, length in ((0, rows, 6), (1, columns, 7)):
            place = after.axes[axis]
            assert place is not None
            first = numbers[index].movedim(place, 0).flatten(1)[:, 0].tolist()
            windows = range(after.size[axis])
            seen = [[n] for n in range(length)] if slide is None else [
                sorted(slide.reads(axis, length, window)) for window in windows  # type: ignore[arg-type]
            ]  # fmt: skip
            assert [[n] for n in first] == seen
    for index in PICKS:
        assert cut(index, shape, grid) is None
