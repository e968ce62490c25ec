"""The map in characters: the right cell in the right place, with levels that the legend states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.records import Offset, PointRecord
from shiftproof.report._audit_map import SHADES, STEPS, draw_bars, draw_map, levels_for


def points(shares: dict[Offset, float]) -> list[PointRecord[Offset]]:
    return [
        PointRecord[Offset](at=at, value=share, low=share, high=share, n_images=1)
        for at, share in shares.items()
    ]


def grid(radius: int) -> dict[Offset, float]:
    axis = range(-radius, radius + 1)
    return {(float(dy), float(dx)): 1.0 for dy in axis for dx in axis if dy or dx}


def test_convention_rows_are_dy_from_the_top() -> None:
    """Content moved up (dy < 0) is the first row, moved right (dx > 0) the last column."""
    shares = grid(1) | {(-1.0, 1.0): 0.5, (1.0, 0.0): 0.0}
    assert draw_map(points(shares), width=80) == [
        "      -1  1",
        "   -1 ····▒▒",
        "    0 ··()··",
        "    1 ··██··",
        "·· 80 to 100 %   ▒▒ 40 to 60 %   ██ 0 to 20 %   () unshifted",
    ]


def test_offsets_need_not_be_whole_nor_everywhere() -> None:
    lines = draw_map(
        points({(-1.5, -1.5): 1.0, (-1.5, 1.5): 1.0, (1.5, -1.5): 1.0, (0.0, 1.5): 1.0}), width=80
    )
    assert lines[1:4] == [" -1.5 ··  ··", "    0   ()··", "  1.5 ··"]


@pytest.mark.parametrize("offsets", [[(0.0, 1.0)], [(-1.0, -1.0), (1.0, 1.0)], [(0.0, -1.0), (0.0, 1.0)], []])
def test_a_line_is_no_map(offsets: list[Offset]) -> None:
    assert draw_map(points(dict.fromkeys(offsets, 1.0)), width=80) == []


@pytest.mark.parametrize(("radius", "width", "every"), [(16, 80, 1), (17, 80, 3), (60, 80, 5), (8, 30, 3)])
def test_large_maps_are_thinned_around_the_centre(radius: int, width: int, every: int) -> None:
    *lines, last = draw_map(points(grid(radius)), width=width)
    assert any("()" in line for line in lines)
    assert all(len(line) <= width for line in lines[: 2 * (radius // every) + 1])
    assert len([line for line in lines if "··" in line[:12]]) >= 2 * (radius // every) + 1
    assert ("one in" in last) == (every > 1)
    assert f"one in {every}" in last or every == 1


def test_thinning_does_not_hide_aliasing() -> None:
    """Whole strides of 2 keep the answer, others do not: both are still there."""
    shares = {(dy, dx): 1.0 if dy % 2 == dx % 2 == 0 else 0.5 for dy, dx in grid(20)}
    lines = draw_map(points(shares), width=80)
    assert "one in 3" in lines[-1]
    assert all(shade in "".join(lines[1:-2]) for shade in ("··", "██"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_levels_contain_their_shares(shares: list[float]) -> None:
    levels = levels_for(shares)
    for share in shares:
        level = levels.of(share)
        low, high = (levels.top - (level + down) * levels.step for down in (1, 0))
        assert low - 1e-6 <= 100 * share <= high + 1e-6
    assert levels.step in STEPS
    assert levels.top <= 100
    assert len({levels.text(level) for level in range(len(SHADES))}) == len(SHADES)


def test_bars_are_thinned() -> None:
    assert draw_bars([1.0] * 100, width=30) == "█" * 25
    assert draw_bars([0.0, 0.126, 0.999, 1.0], width=30) == "▁▂██"
