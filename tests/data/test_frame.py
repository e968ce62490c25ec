"""Framing, against the arithmetic of torchvision written out here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftproof.data import Fit, FitWay
from shiftproof.data._frame import Frame
from shiftproof.errors import DataError, OptionError


def picture(height: int, width: int, channels: int = 3) -> Image.Image:
    pixels = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels))
    return Image.fromarray(pixels.astype(np.uint8).squeeze())


def resize_and_center_crop(image: Image.Image, resize: int, height: int, width: int) -> np.ndarray:
    """torchvision.transforms.Resize(int) and CenterCrop on a PIL image, after its functional.py, 0.21.

    https://github.com/pytorch/vision/blob/v0.21.0/torchvision/transforms/functional.py
    (`_compute_resized_output_size`: new_long = int(size * long / short); `center_crop`:
    crop_top = int(round((image_height - crop_height) / 2.0))).
    """
    w, h = image.size
    short, long = (w, h) if w <= h else (h, w)
    new_long = int(resize * long / short)
    new_w, new_h = (resize, new_long) if w <= h else (new_long, resize)
    resized = np.asarray(image.resize((new_w, new_h), Image.Resampling.BILINEAR))
    top, left = round((new_h - height) / 2.0), round((new_w - width) / 2.0)
    return resized[top : top + height, left : left + width]


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (41, 41), (20, 64), (33, 32)])
def test_oracle_framing_is_that_of_torchvision(size: tuple[int, int]) -> None:
    image = picture(*size)
    expected = resize_and_center_crop(image, 32, 28, 27)
    pixels = Frame((3, 28, 27), resize_px=32).apply(image)
    assert np.array_equal(pixels, expected.transpose(2, 0, 1))


@given(
    height=st.integers(8, 70), width=st.integers(8, 70), my=st.integers(0, 4), mx=st.integers(0, 4),
    resize=st.integers(20, 30),
)  # fmt: skip
def test_a_margin_leaves_the_centre_where_it_was(
    height: int, width: int, my: int, mx: int, resize: int
) -> None:
    image = picture(height, width)
    plain = Frame((3, 12, 11), resize_px=resize).apply(image)
    scene = Frame((3, 12, 11), margin_px=(my, mx), resize_px=resize).apply(image)
    assert scene.shape == (3, 12 + 2 * my, 11 + 2 * mx)
    assert np.array_equal(scene[:, my : my + 12, mx : mx + 11], plain)


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    scene=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_without_a_size_the_cut_just_fits(size: tuple[int, int], scene: tuple[int, int]) -> None:
    resized = Frame((1, *scene)).resized_px(size)
    assert resized[0] >= scene[0]
    assert resized[1] >= scene[1]
    assert resized[0] == scene[0] or resized[1] == scene[1]
    # The other side follows from the ratio of the sides, to less than one pixel.
    scale = max(scene[0] / size[0], scene[1] / size[1])
    assert all(
        scale * s - 1 < r < scale * s + 1e-9 or r == n for s, r, n in zip(size, resized, scene, strict=True)
    )


def test_an_image_of_the_right_size_is_untouched() -> None:
    image = picture(12, 9)
    frame = Frame((3, 8, 7), margin_px=(2, 1))
    assert np.array_equal(frame.apply(image), np.asarray(image).transpose(2, 0, 1))
    assert frame.changes(3, (12, 9)) == ()


def test_convention_corner_by_hand() -> None:
    frame = Frame((3, 10, 10), margin_px=(1, 2))
    assert frame.corner_px((15, 17)) == (1, 2)  # 2.5 → 2, less 1; 3.5 → 4, less 2
    assert frame.corner_px((12, 14)) == (0, 0)


def test_oracle_luma_by_hand() -> None:
    """ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, rounded."""
    image = picture(9, 9)
    expected = np.asarray(image).astype(float) @ [0.299, 0.587, 0.114]
    pixels = Frame((1, 9, 9)).apply(image)
    assert pixels.shape == (1, 9, 9)
    assert abs(pixels[0] - expected).max() <= 0.51
    assert Frame((1, 9, 9)).changes(3, (9, 9)) == ("RGB to luma",)


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (12, 90), (16, 20)])
@pytest.mark.parametrize("resize", [None, 20])
def test_oracle_squashing_is_resizing_both_sides(size: tuple[int, int], resize: int | None) -> None:
    image = picture(*size)
    height, width = (16, 20) if resize is None else (20, 25)
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    top, left = round((height - 16) / 2), round((width - 20) / 2)
    frame = Frame((3, 16, 20), resize_px=resize, fit=Fit("squash"))
    expected = resized[top : top + 16, left : left + 20].transpose(2, 0, 1)
    assert np.array_equal(frame.apply(image), expected)
    assert ("proportions changed" in frame.changes(3, size)) == (size != (16, 20))


def letterbox(image: Image.Image, height: int, width: int, fill: tuple[int, ...]) -> np.ndarray:
    """As detectors do it: github.com/ultralytics/yolov5, v7.0, utils/augmentations.py, letterbox."""
    w, h = image.size
    r = min(height / h, width / w)
    new_w, new_h = round(w * r), round(h * r)
    dw, dh = (width - new_w) / 2, (height - new_h) / 2
    top, left = round(dh - 0.1), round(dw - 0.1)
    out = np.empty((height, width, 3), np.uint8)
    out[:] = fill
    resized = np.asarray(image.resize((new_w, new_h), Image.Resampling.BILINEAR))
    out[top : top + new_h, left : left + new_w] = resized
    return out


@pytest.mark.parametrize("size", [(50, 37), (37, 50), (12, 90), (90, 7), (16, 20), (40, 51), (8, 10)])
@pytest.mark.parametrize("fill", [(114,), (1, 2, 3)])
def test_oracle_letterbox_is_that_of_detectors(size: tuple[int, int], fill: tuple[int, ...]) -> None:
    image = picture(*size)
    frame = Frame((3, 16, 20), fit=Fit("letterbox", fill))
    assert np.array_equal(frame.apply(image), letterbox(image, 16, 20, fill).transpose(2, 0, 1))
    fits = size in ((16, 20), (8, 10), (40, 51))  # the last one to less than half a pixel
    assert ("bars added" in frame.changes(3, size)) == (not fits)


@given(
    height=st.integers(1, 70), width=st.integers(1, 70), my=st.integers(0, 4), mx=st.integers(0, 4),
    way=st.sampled_from(["squash", "letterbox"]),
)  # fmt: skip
def test_a_margin_of_other_fits_leaves_the_centre_too(
    height: int, width: int, my: int, mx: int, way: FitWay
) -> None:
    image, fit = picture(height, width), Fit(way, (9,))
    plain = Frame((3, 12, 11), resize_px=25, fit=fit).apply(image)
    scene = Frame((3, 12, 11), (my, mx), 25, fit=fit).apply(image)
    assert np.array_equal(scene[:, my : my + 12, mx : mx + 11], plain)


def test_a_letterbox_of_grey_has_grey_bars() -> None:
    pixels = Frame((1, 4, 8), fit=Fit("letterbox", (7,))).apply(picture(4, 4, 1))
    assert pixels.shape == (1, 4, 8)
    assert (pixels[:, :, [0, 1, 6, 7]] == 7).all()


@pytest.mark.parametrize(
    ("way", "fill"), [("letterbox", (256,)), ("letterbox", (1, 2)), ("letterbox", (-1,))]
)
def test_a_fill_that_is_no_colour_is_refused(way: FitWay, fill: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="a fill of 1 or 3 numbers from 0 to 255"):
        Fit(way, fill)
    with pytest.raises(LookupError, match="Did you mean 'letterbox'"):
        Fit("leterbox", fill)  # type: ignore[arg-type]


def test_squashing_needs_room_for_the_cut() -> None:
    with pytest.raises(OptionError, match="at least 14 for a scene"):
        Frame((3, 12, 12), (1, 1), resize_px=12, fit=Fit("squash"))
    assert Frame((3, 12, 12), (1, 1), fit=Fit("squash")).resized_px((90, 30)) == (14, 14)


def test_grey_is_repeated() -> None:
    image = picture(9, 9, 1)
    pixels = Frame((3, 9, 9)).apply(image)
    assert all(np.array_equal(channel, np.asarray(image)) for channel in pixels)
    assert Frame((3, 9, 9)).changes(1, (9, 9)) == ("grey repeated to RGB",)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_every_resampling_is_the_one_that_it_says(resampling: str) -> None:
    image = picture(20, 20)
    expected = np.asarray(image.resize((10, 10), getattr(Image.Resampling, resampling.upper())))
    frame = Frame((3, 10, 10), resampling=resampling)  # type: ignore[arg-type]
    assert np.array_equal(frame.apply(image), expected.transpose(2, 0, 1))


def test_changes_in_size_are_named() -> None:
    assert Frame((3, 10, 10)).changes(3, (5, 5)) == ("enlarged",)
    assert Frame((3, 10, 10)).changes(3, (50, 50)) == ("reduced in size",)
    assert Frame((3, 10, 10), resize_px=12).changes(3, (12, 30)) == ()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"resize_px": 255, "margin_px": (16, 16)}, r"at least 256 for a scene of 256 × 256 px \(224 × 224"),
        ({"resize_px": 200}, "got 200, which is 24 px too small. Resize to 224 px or more"),
        ({"resize_px": 0}, "`resize_px` from 1 to 5000, got 0"),
        ({"resize_px": 10**6}, "`resize_px` from 1 to 5000"),
        ({"margin_px": (-1, 0)}, "a margin"),
        ({"resampling": "magic"}, "nearest, bilinear, bicubic, lanczos, got 'magic'"),
    ],
)
def test_impossible_frames_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        Frame((3, 224, 224), **options)  # type: ignore[arg-type]


def test_a_wide_scene_may_not_fit_a_tall_image() -> None:
    frame = Frame((3, 10, 20), resize_px=10)
    assert frame.resized_px((30, 60)) == (10, 20)
    with pytest.raises(OptionError, match="at least 20 for a scene of 10 × 20 px, got 10, which is 10 px"):
        frame.resized_px((60, 30))


def test_only_grey_and_rgb_are_framed() -> None:
    with pytest.raises(DataError, match=r"1 or 3 channels, got one that takes 4.*\.npz"):
        Frame((4, 10, 10)).changes(3, (10, 10))


def test_long_and_thin_images_would_fill_the_memory() -> None:
    assert Frame((3, 224, 224)).is_too_large((1, 10_000_000))
    assert not Frame((3, 224, 224)).is_too_large((10, 4_000))
