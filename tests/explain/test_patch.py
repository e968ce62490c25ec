"""Moved maps, against rolls, slices and waves that were moved by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from shiftproof.anatomy import Place
from shiftproof.explain._patch import moved_inside, moved_maps

SIZE_PX = (24, 16)


def place_of(stride: int, border: int = 0) -> Place:
    height, width = SIZE_PX[0] // stride, SIZE_PX[1] // stride
    content = ((border, border + height), (border, border + width))
    size = (height + 2 * border, width + 2 * border)
    return Place((2, 3), size, (Fraction(stride), Fraction(stride)), content)


@given(st.sampled_from([1, 2, 4]), st.integers(-6, 6), st.integers(-6, 6))
def test_whole_positions_on_a_circle_are_a_roll(stride: int, down: int, right: int) -> None:
    place = place_of(stride)
    maps = torch.rand(2, 3, *place.size)
    offsets: list[tuple[float, float]] = [(stride * down, stride * right), (0, 0)]
    moved = moved_maps(maps, place, offsets, SIZE_PX)
    assert torch.equal(moved[0], maps[0].roll((down, right), (1, 2)))
    assert torch.equal(moved[1], maps[1])


def test_a_circular_border_is_moved_with_the_circle() -> None:
    core = torch.rand(1, 2, *SIZE_PX)
    padded = torch.nn.functional.pad(core, (3, 3, 3, 3), mode="circular")
    expected = torch.nn.functional.pad(core.roll((5, -2), (2, 3)), (3, 3, 3, 3), mode="circular")
    place = place_of(1, border=3)
    assert torch.equal(moved_maps(padded, place, [(5, -2)], SIZE_PX), expected)


def wave(down_px: float, right_px: float, stride: int) -> Tensor:
    y, x = (torch.arange(0, n, stride, dtype=torch.float64) for n in SIZE_PX)
    height, width = SIZE_PX
    return torch.cos(2 * torch.pi * ((y[:, None] - down_px) / height + 2 * (x - right_px) / width))[
        None, None
    ]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("offset", [(0.5, 0.0), (3.5, -1.5), (-2.0, 1.0)])
def test_between_positions_of_a_circle_waves_move_exactly(offset: tuple[float, float], stride: int) -> None:
    moved = moved_maps(wave(0, 0, stride), place_of(stride), [offset], SIZE_PX)
    assert_close(moved, wave(*offset, stride), atol=1e-12, rtol=0)


def test_with_a_border_what_comes_in_is_what_was_computed() -> None:
    maps, below = torch.rand(1, 1, *SIZE_PX), torch.rand(1, 1, *SIZE_PX)
    moved = moved_inside(maps, place_of(1), [(3, -2)], below)
    assert torch.equal(moved[..., 3:, :-2], maps[..., :-3, 2:])
    assert torch.equal(moved[..., :3, :], below[..., :3, :])
    assert torch.equal(moved[..., -2:], below[..., -2:])


def test_a_border_that_was_added_does_not_move() -> None:
    place = place_of(1, border=2)
    maps, below = torch.ones(1, 1, *place.size), torch.zeros(1, 1, *place.size)
    moved = moved_inside(maps, place, [(4, 0)], below)[0, 0]
    assert (moved[2 + 4 : -2, 2:-2] == 1).all()
    assert moved.sum() == (SIZE_PX[0] - 4) * SIZE_PX[1]


def test_fractions_with_a_border_are_those_of_a_slow_wave_far_inside() -> None:
    moved = moved_inside(wave(0, 0, 1), place_of(1), [(0.5, 0.5)], torch.zeros(1, 1, *SIZE_PX))
    inside = (slice(8, -8), slice(7, -7))
    assert_close(moved[0, 0][inside], wave(0.5, 0.5, 1)[0, 0][inside], atol=0.02, rtol=0)


def test_beyond_the_maps_everything_is_what_was_computed() -> None:
    maps, below = torch.ones(1, 1, *SIZE_PX), torch.zeros(1, 1, *SIZE_PX)
    assert not moved_inside(maps, place_of(1), [(24, 0)], below).any()


def test_tokens_without_a_place_stay_and_what_layers_choose_moves_by_whole_positions() -> None:
    tokens = torch.rand(1, 1 + 24 * 16, 2)
    place = Place((1, 1), SIZE_PX, n_extra=1)
    moved = moved_maps(tokens, place, [(1, 0)], SIZE_PX)
    assert torch.equal(moved[:, 0], tokens[:, 0])
    assert torch.equal(moved[:, 1 + 16 :], tokens[:, 1:-16])
    maps = torch.rand(1, 1, 12, 8)
    chosen = Place((2, 3), (12, 8), (Fraction(2), Fraction(2)), chosen=True)
    assert torch.equal(moved_maps(maps, chosen, [(2.5, 0)], SIZE_PX), maps.roll(1, 2))


def test_numbers_that_are_no_measure_are_copied() -> None:
    choice = torch.randint(0, 4, (1, 1, 24, 16))
    assert torch.equal(moved_maps(choice, place_of(1), [(1.25, 0.0)], SIZE_PX), choice.roll(1, 2))
