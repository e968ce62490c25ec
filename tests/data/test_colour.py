"""Colour profiles: photographs that carry one, profiles written by hand, and formulas as the oracle."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms

from shiftproof.data import load_images
from shiftproof.data._colour import CONVERTED, IGNORED
from shiftproof.data._decode import decode, from_pillow

PHOTOGRAPHS = Path(skimage.data.__file__).parent
# IEC 61966-2-1, and Adobe RGB (1998), both as seen under D50 (Lindbloom, RGB/XYZ matrices).
SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
ADOBE_TO_XYZ = np.array(
    [[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197], [0.0194811, 0.0608902, 0.7448387]]
)


def encoded_srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def linear_profile(space: bytes) -> bytes:
    """An ICC profile, version 2, of light itself: sRGB's primaries, or grey, without a curve."""

    def xyz(values: np.ndarray | tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * float(value)) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    white = xyz((0.9642, 1.0, 0.8249))
    if space == b"RGB ":
        tags = {
            name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), SRGB_TO_XYZ.T, strict=True)
        }
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    else:
        tags = {b"kTRC": curve}
    text = b"by hand\0"
    tags |= {b"wtpt": white, b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)}
    place, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, place + len(data), len(value))
        data += padded
    size = place + len(data)
    header = struct.pack(">I4xI4s4s4s12x4s", size, 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_oracle_a_photograph_in_adobe_rgb() -> None:
    """Its own matrix and gamma of 563 ÷ 256, by NumPy: a step from rounding, two where the curve is steep."""
    content = (PHOTOGRAPHS / "rocket.jpg").read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        stored = np.asarray(image) / 255
    light = stored ** (563 / 256) @ ADOBE_TO_XYZ.T
    expected = encoded_srgb(light @ np.linalg.inv(SRGB_TO_XYZ).T)
    decoded = decode(content)
    assert decoded.changes == (CONVERTED,)
    difference = np.abs(np.asarray(decoded.image) - expected)
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.999) < 3
    assert np.abs(stored * 255 - expected).max() > 50, "the profile is no trifle"


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "hubble_deep_field.jpg"])
def test_a_profile_that_is_srgb_changes_nothing(name: str) -> None:
    with Image.open(PHOTOGRAPHS / name) as image:
        assert len(image.info["icc_profile"]) > 3000
        stored = np.asarray(image)
    decoded = decode((PHOTOGRAPHS / name).read_bytes())
    assert decoded.changes == ()
    assert np.array_equal(np.asarray(decoded.image), stored)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_oracle_light_itself_becomes_srgb_in_every_format(kind: str) -> None:
    levels = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.stack([levels, levels[::-1], np.full(64, 90, np.uint8)], axis=1)[None].repeat(16, axis=0)
    lossless: dict[str, dict[str, object]] = {
        "WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0},
    }  # fmt: skip
    options = lossless.get(kind, {})
    decoded = decode(saved(Image.fromarray(pixels), kind, icc_profile=linear_profile(b"RGB "), **options))
    difference = np.abs(np.asarray(decoded.image) - encoded_srgb(pixels / 255))
    assert decoded.changes == (CONVERTED,)
    # JPEG is off by a step of two, and at black one step is thirteen.
    assert difference.max() <= (26 if kind == "JPEG" else 1)


def test_oracle_grey_light_and_alpha() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image, profile = Image.fromarray(pixels), linear_profile(b"GRAY")
    decoded = decode(saved(image, "PNG", icc_profile=profile))
    assert (decoded.image.mode, decoded.changes) == ("L", (CONVERTED,))
    assert np.abs(np.asarray(decoded.image) - encoded_srgb(pixels / 255)).max() <= 1
    image.putalpha(Image.new("L", image.size, 128))
    with_alpha = decode(saved(image, "PNG", icc_profile=profile))
    assert with_alpha.changes == (CONVERTED, "transparency on black")
    assert np.abs(np.asarray(with_alpha.image) - np.asarray(decoded.image) * (128 / 255)).max() <= 0.5 + 1e-9


def test_sixteen_bits_and_palettes_have_profiles_too() -> None:
    samples = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(4, axis=0)
    decoded = decode(saved(Image.fromarray(samples), "TIFF", icc_profile=linear_profile(b"GRAY")))
    assert decoded.changes == ("16 bits to 8", CONVERTED)
    assert np.abs(np.asarray(decoded.image) - encoded_srgb(np.rint(samples / 257) / 255)).max() <= 1
    palette = Image.fromarray(np.array([[[200, 100, 50]]], np.uint8)).quantize(2)
    decoded = decode(saved(palette, "PNG", icc_profile=linear_profile(b"RGB ")))
    assert decoded.changes == ("palette to RGB", CONVERTED)
    assert np.abs(np.asarray(decoded.image) - encoded_srgb(np.array([200, 100, 50]) / 255)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile at all"),
        ("RGB", linear_profile(b"GRAY")),
        ("L", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        ("CMYK", linear_profile(b"RGB ")),
        ("RGB", linear_profile(b"RGB ")[:200]),
    ],
    ids=["no profile", "grey for colours", "colours for grey", "colours for ink", "cut"],
)
def test_what_does_not_fit_is_ignored_and_counted(mode: str, profile: bytes) -> None:
    image = Image.new(mode, (8, 8), 99)
    decoded = decode(saved(image, "TIFF", icc_profile=profile))
    assert IGNORED in decoded.changes
    assert np.array_equal(
        np.asarray(decoded.image), np.asarray(image.convert("RGB") if mode == "CMYK" else image)
    )


def test_an_image_of_pillow_is_treated_alike() -> None:
    with Image.open(PHOTOGRAPHS / "rocket.jpg") as image:
        opened = from_pillow(image)
    assert opened.changes == (CONVERTED,)
    assert np.array_equal(
        np.asarray(opened.image), np.asarray(decode((PHOTOGRAPHS / "rocket.jpg").read_bytes()).image)
    )


def test_conversions_are_counted() -> None:
    images = load_images(str(PHOTOGRAPHS / "rocket.jpg"), image_shape=(3, 224, 224))
    assert images.conversions == {CONVERTED: 1, "reduced in size": 1}
