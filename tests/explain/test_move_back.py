"""Maps moved back by offset / stride, against sines that are known between positions, and NaN outside."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from shiftproof.errors import OptionError
from shiftproof.explain._move_back import move_around, move_back
from shiftproof.explain._space import Space
from shiftproof.explain._views import N_WHOLE, View, choose_views, moved
from shiftproof.shifts import Border, translate

SIZE = (24, 20)


def space(stride: int = 1, *, first: int = 0, last: int = 0, size_px: tuple[int, int] = SIZE) -> Space:
    step = Fraction(stride)
    return Space(
        "nchw", 1, (size_px[0] // stride, size_px[1] // stride), (step, step),
        (Fraction(first),) * 2, (Fraction(last),) * 2,
    )  # fmt: skip


def wave(
    size_px: tuple[int, int] = SIZE,
    offset_px: tuple[float, float] = (0, 0),
    *,
    period_px: tuple[int, int] = (8, 10),
) -> Tensor:
    """A sine in both directions, sampled wherever it is asked for."""
    y = torch.arange(size_px[0], dtype=torch.float64)[:, None] - offset_px[0]
    x = torch.arange(size_px[1], dtype=torch.float64) - offset_px[1]
    return (torch.sin(2 * math.pi * y / period_px[0]) + torch.cos(2 * math.pi * x / period_px[1]))[None, None]


offsets = st.tuples(st.integers(-6, 6), st.integers(-6, 6))


@given(offsets)
def test_whole_offsets_are_exact(offset: tuple[int, int]) -> None:
    maps = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    shifted = translate(maps, offset, border="zeros")
    back = move_back(space(), View(offset), SIZE, inside=True)
    assert back is not None
    assert back.squared_difference(maps, shifted).tolist() == [0, 0]
    around = move_around(space(), View(offset))
    assert around.squared_difference(maps, translate(maps, offset, border="circular")).tolist() == [0, 0]


@given(offsets, st.integers(0, 3))
def test_inside_nothing_from_outside_is_read(offset: tuple[int, int], reach: int) -> None:
    """A layer that sees `reach` pixels on each side, of an image on a border of NaN."""
    image = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(1))
    moved_image = translate(image, offset, border="edge")
    came_in = translate(torch.ones_like(image), offset, border="zeros") == 0
    moved_image[came_in] = torch.nan

    def layer(pixels: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(pixels, (reach,) * 4, value=torch.nan)
        return torch.nn.functional.avg_pool2d(padded, 2 * reach + 1, 1)

    back = move_back(space(first=-reach, last=reach), View(offset), SIZE, inside=True)
    assert back is not None
    assert_close(
        back.squared_difference(layer(image), layer(moved_image)), torch.zeros(1, dtype=torch.float64)
    )
    n_rows = SIZE[0] - abs(offset[0]) - 2 * reach
    assert back.rows.stop - back.rows.start == n_rows, "and not a position less than there is"


@pytest.mark.parametrize("offset", [(1.5, 0.0), (-0.5, 2.5), (0.25, -3.75)])
def test_between_positions_a_wave_is_read_where_it_is(offset: tuple[float, float]) -> None:
    size = (48, 40)
    back = move_back(space(size_px=size), View(offset), size, inside=True)
    assert back is not None
    difference = back.squared_difference(wave(size), wave(size, offset))
    assert float(difference) < 1e-4
    wrong = back.squared_difference(wave(size), wave(size, (offset[0] + 1, offset[1])))
    assert float(wrong) > 0.02


@pytest.mark.parametrize("offset", [(0.5, 0.0), (-2.5, 7.25)])
def test_on_a_circle_fractions_are_exact(offset: tuple[float, float]) -> None:
    size = (24, 30)
    shifted = wave(size, offset)
    assert (
        float(move_around(space(size_px=size), View(offset)).squared_difference(wave(size), shifted)) < 1e-20
    )


def test_maps_move_by_offset_over_stride() -> None:
    image = wave((48, 48), period_px=(24, 16))
    for offset in ((4.0, -8.0), (1.0, 2.0)):
        maps, later = image[:, :, ::4, ::4], wave((48, 48), offset, period_px=(24, 16))[:, :, ::4, ::4]
        around = move_around(space(4, size_px=(48, 48)), View(offset))
        assert float(around.squared_difference(maps, later)) < (1e-20 if offset[0] == 4 else 1e-2)


def test_maps_that_move_by_whole_positions_alone_count_as_well() -> None:
    maps = torch.rand(1, 4, 12, 10, generator=torch.Generator().manual_seed(0))
    stays, moves = maps, translate(maps, (1, 0), border="circular")
    around = move_around(space(2), View((1, 0)))
    for answer in (stays, moves):
        assert float(around.squared_difference(maps, answer)) == 0
    assert float(around.squared_difference(maps, translate(maps, (2, 0), border="circular"))) > 0.05


def test_no_room_is_none() -> None:
    assert move_back(space(first=-30, last=30), View((1, 0)), SIZE, inside=True) is None
    assert move_back(space(), View((24, 0)), SIZE, inside=True) is None
    assert move_back(space().blind, View((1, 0)), SIZE, inside=True) is None
    assert move_back(space().blind, View((1, 0)), SIZE, inside=False) is not None


def test_views_are_of_every_kind_and_always_the_same() -> None:
    strides = [(Fraction(1), Fraction(1)), (Fraction(2), Fraction(2)), (Fraction(4), Fraction(1))]
    views = choose_views((28, 28), strides)
    assert views == choose_views((28, 28), reversed(strides))
    drawn = [view for view in views if view.drawn and view.is_whole]
    assert len(drawn) == N_WHOLE
    assert any(view.is_multiple_of(strides[1]) for view in drawn) or len(views) > 2 * N_WHOLE
    assert not all(view.is_multiple_of(strides[1]) for view in drawn)
    assert sum(not view.is_whole for view in views) >= N_WHOLE // 2
    assert all(max(map(abs, view.offset_px)) <= 4 for view in views)
    for stride in strides[1:]:
        assert sum(view.is_multiple_of(stride) for view in views if not view.drawn) >= 3
    assert (0, 0) not in [view.offset_px for view in views]


@pytest.mark.parametrize("longest", [0, 28, -1])
def test_a_longest_shift_that_leaves_no_image_is_refused(longest: int) -> None:
    with pytest.raises(OptionError, match="a longest shift from 1 to 27 px"):
        choose_views((28, 40), [], max_shift_px=longest)


@pytest.mark.parametrize("border", ["zeros", "edge", "reflect", "circular"])
def test_convention_views_move_content_down_and_right(border: Border) -> None:
    size = (40, 40)
    images = wave(size, period_px=(10, 10))
    whole = moved(images, View((3, -2)), border)
    assert torch.equal(whole, translate(images, (3, -2), border=border))
    half = moved(images, View((2.5, 0.0)), border)
    inner = (slice(None), slice(None), slice(12, 28), slice(12, 28))
    assert_close(half[inner], wave(size, (2.5, 0), period_px=(10, 10))[inner], atol=0.05, rtol=0)
