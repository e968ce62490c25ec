"""`translate` against OpenCV, SciPy and closed forms; its conventions; its properties."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor
from torch.testing import assert_close

from shiftproof.errors import OptionError, ShapeError, UnknownNameError
from shiftproof.shifts import BORDERS, Border, translate

CV_BORDERS: dict[Border, int] = {
    "zeros": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
}
NUMPY_PADS: dict[Border, str] = {
    "zeros": "constant",
    "edge": "edge",
    "reflect": "reflect",
    "circular": "wrap",
}


def images(n: int = 3, channels: int = 2, height: int = 7, width: int = 9, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, height, width, generator=generator)


# --- oracles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", CV_BORDERS)
@pytest.mark.parametrize(
    ("dy", "dx"), [(0.3, -0.7), (-2.25, 3.5), (1.0, 0.125), (6.9, -8.1), (-0.999, 0.001)]
)
def test_bilinear_equals_opencv(border: Border, dy: float, dx: float) -> None:
    image = images(n=1, channels=1, height=17, width=13)
    matrix = np.array([[1, 0, dx], [0, 1, dy]])
    expected = cv2.warpAffine(
        image[0, 0].numpy(), matrix, (13, 17), flags=cv2.INTER_LINEAR, borderMode=CV_BORDERS[border]
    )
    moved = translate(image, (dy, dx), border=border)
    assert_close(moved[0, 0], torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("border", "mode"),
    [("zeros", "grid-constant"), ("edge", "nearest"), ("reflect", "mirror"), ("circular", "grid-wrap")],
)
def test_bilinear_equals_scipy(border: Border, mode: str) -> None:
    image = images(n=1, channels=1).double()
    for offset in [(0.4, -1.3), (-5.5, 2.25), (20.75, -33.5)]:
        expected = ndimage.shift(image[0, 0].numpy(), np.array(offset), order=1, mode=mode)  # type: ignore[call-overload]
        moved = translate(image, offset, border=border)
        assert_close(moved[0, 0], torch.from_numpy(expected), atol=1e-12, rtol=0)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("offset", [(0, 0), (2, -3), (-6, 8), (7, 9), (-30, 41)])
def test_whole_offsets_copy_bits(border: Border, offset: tuple[int, int]) -> None:
    """NumPy pads the image far enough and cuts a window: no arithmetic at all."""
    source = images(height=7, width=9)
    reach = 50
    padded = np.pad(source.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), NUMPY_PADS[border])  # type: ignore[call-overload]
    top, left = reach - offset[0], reach - offset[1]
    expected = padded[:, :, top : top + 7, left : left + 9]
    assert np.array_equal(translate(source, offset, border=border).numpy(), expected)


def test_fourier_moves_a_wave_by_its_phase() -> None:
    y, x = torch.meshgrid(torch.arange(8).double(), torch.arange(12).double(), indexing="ij")

    def wave(dy: float, dx: float) -> Tensor:
        return torch.cos(2 * torch.pi * (3 * (y - dy) / 8 - 2 * (x - dx) / 12) + 0.4)[None, None]

    moved = translate(wave(0, 0), (0.37, -2.6), border="circular", interpolation="fourier")
    assert_close(moved, wave(0.37, -2.6), atol=1e-12, rtol=0)


def test_fourier_equals_scipy_on_odd_sizes() -> None:
    image = images(n=1, channels=1, height=7, width=9).double()
    spectrum = ndimage.fourier_shift(np.fft.fft2(image[0, 0].numpy()), (1.3, -0.6))
    moved = translate(image, (1.3, -0.6), border="circular", interpolation="fourier")
    assert_close(moved[0, 0], torch.from_numpy(np.fft.ifft2(spectrum).real), atol=1e-12, rtol=0)


# --- conventions -----------------------------------------------------------------------------------


def test_convention_positive_moves_content_down_and_right() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 1, 1] = 1
    moved = translate(image, (2, 1), border="zeros")
    assert moved.nonzero().tolist() == [[0, 0, 3, 2]]


def test_convention_one_offset_per_image() -> None:
    image = torch.zeros(2, 1, 3, 3)
    image[:, 0, 1, 1] = 1
    moved = translate(image, torch.tensor([[-1, 0], [0, 1]]), border="zeros")
    assert moved.nonzero().tolist() == [[0, 0, 0, 1], [1, 0, 1, 2]]


def test_convention_reflect_does_not_repeat_the_edge() -> None:
    row = torch.tensor([1.0, 2, 3, 4])[None, None, None]
    assert translate(row, (0, 2), border="reflect").flatten().tolist() == [3, 2, 1, 2]


def test_convention_half_a_pixel_is_the_mean_of_two() -> None:
    row = torch.tensor([0.0, 4, 8, 0])[None, None, None]
    assert translate(row, (0, 0.5), border="zeros").flatten().tolist() == [0, 2, 6, 4]


def test_convention_uint8_rounds_to_the_nearest_level() -> None:
    row = torch.tensor([0, 3, 255], dtype=torch.uint8)[None, None, None]
    moved = translate(row, (0, 0.25), border="edge")
    assert moved.dtype == torch.uint8
    assert moved.flatten().tolist() == [0, 2, 192]


# --- properties ------------------------------------------------------------------------------------

offsets = st.floats(-40, 40, allow_nan=False)
borders = st.sampled_from(BORDERS)


@given(borders, offsets, offsets)
def test_each_image_moves_as_it_would_alone(border: Border, dy: float, dx: float) -> None:
    source = images()
    per_image = torch.tensor([[dy, dx], [0, 0], [dx, dy]], dtype=torch.float64)
    together = translate(source, per_image, border=border)
    alone = [translate(source[i : i + 1], per_image[i], border=border) for i in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(together[1], source[1])


@given(offsets, offsets)
def test_circular_comes_back(dy: float, dx: float) -> None:
    source = images().double()
    whole = (round(dy), round(dx))
    there = translate(source, whole, border="circular")
    assert torch.equal(there, torch.roll(source, whole, (2, 3)))
    assert torch.equal(translate(there, (-whole[0], -whole[1]), border="circular"), source)


@given(offsets, offsets, offsets, offsets)
def test_fourier_is_a_group_on_odd_sizes(a: float, b: float, c: float, d: float) -> None:
    source = images(height=7, width=9).double()

    def move(image: Tensor, dy: float, dx: float) -> Tensor:
        return translate(image, (dy, dx), border="circular", interpolation="fourier")

    twice = move(move(source, a, b), c, d)
    assert_close(twice, move(source, a + c, b + d), atol=1e-12, rtol=0)


@given(borders, offsets, offsets)
def test_constant_images_stay_constant_unless_zeros_come_in(border: Border, dy: float, dx: float) -> None:
    if border != "zeros":
        assert_close(
            translate(torch.full((1, 1, 5, 6), 0.7), (dy, dx), border=border), torch.full((1, 1, 5, 6), 0.7)
        )
    else:
        assert float(translate(torch.ones(1, 1, 5, 6), (dy, dx), border=border).max()) <= 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("border", BORDERS)
def test_dtypes_stay_and_agree(dtype: torch.dtype, border: Border) -> None:
    source = (images() * 255).to(dtype)
    moved = translate(source, (0.4, -1.7), border=border)
    reference = translate(source.double(), (0.4, -1.7), border=border)
    assert moved.dtype == dtype
    relative = {torch.float16: 1e-3, torch.bfloat16: 8e-3}.get(dtype, 1e-6)
    assert_close(moved.double(), reference, atol=0.5 if dtype == torch.uint8 else 1e-4, rtol=relative)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("huge", [1e9, -1e15, 1e300])
def test_offsets_beyond_any_size_are_legal(border: Border, huge: float) -> None:
    moved = translate(images(), (huge, 0.0), border=border)
    assert torch.isfinite(moved).all()
    if border == "zeros":
        assert not moved.any()
    if border == "edge":
        edge = images()[:, :, :1] if huge > 0 else images()[:, :, -1:]
        assert torch.equal(moved, edge.expand_as(moved))


def test_infinities_do_not_leak_into_images_that_stay() -> None:
    source = torch.tensor([[1.0, torch.inf], [1.0, 2.0]])[:, None, None]
    moved = translate(source, torch.tensor([[0.0, 0.0], [0.0, 0.5]]), border="edge")
    assert torch.equal(moved[0], source[0])


def test_one_pixel_and_no_images_are_legal() -> None:
    for border in BORDERS:
        assert translate(torch.ones(2, 1, 1, 1), (0.5, -3), border=border).shape == (2, 1, 1, 1)
        assert translate(torch.ones(0, 1, 4, 4), (1, 1), border=border).shape == (0, 1, 4, 4)


def test_gradients_reach_the_images() -> None:
    source = images(n=1, channels=1, height=4, width=4).double().requires_grad_()
    for border in BORDERS:
        assert torch.autograd.gradcheck(lambda x, b=border: translate(x, (0.3, -1.6), border=b), source)


# --- errors ----------------------------------------------------------------------------------------


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ShapeError, match=r"\(N, C, H, W\), got \(28, 28\)"):
        translate(torch.zeros(28, 28), (0, 0), border="zeros")
    with pytest.raises(ShapeError, match=r"shape \(2,\) or \(3, 2\), got \(2, 2\)"):
        translate(images(), torch.zeros(2, 2), border="zeros")
    with pytest.raises(UnknownNameError, match="Did you mean 'zeros'"):
        translate(images(), (0, 0), border="zero")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Known: bilinear, fourier"):
        translate(images(), (0, 0), border="zeros", interpolation="cubic")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="border='circular'"):
        translate(images(), (0, 0), border="zeros", interpolation="fourier")
    with pytest.raises(OptionError, match="finite"):
        translate(images(), (float("nan"), 0), border="zeros")
    with pytest.raises(OptionError, match=r"torch\.int64"):
        translate(images().long(), (0, 0), border="zeros")
