"""Images that are rolled to where their own content says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.errors import ShapeError
from shiftproof.layers import PolyphaseAnchor2d, rolled_to


@given(st.integers(0, 11), st.integers(0, 11), st.integers(0, 10**6))
def test_a_shift_is_left_as_one_of_whole_patches(dy: int, dx: int, seed: int) -> None:
    # Few levels, so that phases are equally strong now and then.
    maps = torch.rand(1, 2, 12, 12, generator=torch.Generator().manual_seed(seed)).mul(2).floor()
    anchor = PolyphaseAnchor2d(4)
    expected, found = anchor(maps), anchor(torch.roll(maps, (dy, dx), (2, 3)))
    rolls = [torch.roll(expected, (y, x), (2, 3)) for y in (0, 4, 8) for x in (0, 4, 8)]
    assert any(torch.equal(found, roll) for roll in rolls)


def test_convention_the_strongest_phase_comes_first() -> None:
    maps = torch.zeros(2, 1, 4, 4)
    maps[0, 0, 1, 0], maps[1, 0, 2, 3] = 5, 7
    found = PolyphaseAnchor2d(2)(maps)
    assert found[0, 0].nonzero().tolist() == [[0, 0]]
    assert found[1, 0].nonzero().tolist() == [[2, 2]]


def test_rolled_to_is_a_roll_of_each_map() -> None:
    maps = torch.rand(2, 3, 4, 5)
    found = rolled_to(maps, torch.tensor([1, 3]), torch.tensor([4, 0]))
    assert torch.equal(found[0], torch.roll(maps[0], (-1, -4), (1, 2)))
    assert torch.equal(found[1], torch.roll(maps[1], (-3, 0), (1, 2)))


def test_a_patch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ShapeError, match="that the stride"):
        PolyphaseAnchor2d(3)(torch.zeros(1, 1, 8, 9))
