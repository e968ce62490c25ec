"""Decoding: what each kind of file becomes, by hand, and what is refused, with its reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shiftproof.data import load_images
from shiftproof.data._decode import FORMATS, MAX_PIXELS, Decoded, decode
from shiftproof.data._samples import UnusableImage
from shiftproof.data._side_by_side import side_by_side

RED, BLUE = (255, 0, 0), (0, 0, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_header(height: int, width: int) -> bytes:
    """A PNG that promises a size and holds nearly nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def by_opencv(content: bytes, flag: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    assert image is not None
    return np.asarray(image)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_files_come_back_as_they_were(kind: str) -> None:
    pixels = noise(5, 7, 3)
    decoded = decode(encoded(Image.fromarray(pixels), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(np.asarray(decoded.image), pixels)
    assert decoded.changes == ()


def test_oracle_jpeg_is_that_of_another_decoder() -> None:
    """OpenCV has its own libjpeg: a step of 1 or 2 from rounding, on a smooth image."""
    ramp = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) * 3
    content = encoded(
        Image.fromarray(np.stack([ramp, ramp // 2, 255 - ramp], 2)), "JPEG", quality=95, subsampling=0
    )
    expected = by_opencv(content, cv2.IMREAD_COLOR)[:, :, ::-1]
    difference = np.asarray(decode(content).image).astype(int) - expected
    assert abs(difference).max() <= 2


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_oracle_sixteen_bits_are_divided_by_257(channels: int) -> None:
    samples = np.random.default_rng(channels).integers(0, 65536, (9, 11, channels), dtype=np.uint16)
    samples.flat[:6] = [0, 65535, 128, 129, 32767, 32768]
    if channels == 4:
        samples[..., 3] = 65535
    content = cv2.imencode(".png", samples.squeeze())[1].tobytes()
    # OpenCV writes blue first.
    expected = np.rint(samples[..., [2, 1, 0][: min(channels, 3)] if channels > 1 else [0]] / 257.0)
    decoded = decode(content)
    assert np.array_equal(np.asarray(decoded.image).reshape(expected.shape), expected)
    assert decoded.changes[0] == "16 bits to 8"


def test_convention_sixteen_bits_by_hand() -> None:
    grey = Image.fromarray(np.array([[0, 257, 25700, 65535, 300, 128, 129]], dtype=np.uint16))
    assert np.asarray(decode(encoded(grey)).image).tolist() == [[0, 1, 100, 255, 1, 0, 1]]


def test_sixteen_bit_grey_with_alpha_by_hand() -> None:
    """Written byte by byte: no library here writes this kind. Two pixels: half grey opaque, white at half."""
    row = struct.pack(">B4H", 0, 32896, 65535, 65535, 32896)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 4, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    decoded = decode(content)
    assert np.asarray(decoded.image).tolist() == [[128, 128]]
    assert decoded.changes == ("16 bits to 8", "transparency on black")


def test_cmyk_becomes_rgb() -> None:
    content = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    decoded = decode(content)
    pixel = np.asarray(decoded.image)[8, 8].astype(int)
    assert decoded.changes == ("CMYK to RGB",)
    assert abs(pixel - [0, 255, 255]).max() <= 2  # no red in pure cyan; the loss of JPEG


def test_palette_and_its_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    assert decode(encoded(image)).changes == ("palette to RGB",)
    assert np.asarray(decode(encoded(image)).image).tolist() == [[list(RED), list(BLUE)]]
    decoded = decode(encoded(image, transparency=1))
    assert decoded.changes == ("palette to RGB", "transparency on black")
    assert np.asarray(decoded.image).tolist() == [[list(RED), [0, 0, 0]]]


def test_transparency_is_composed_on_black() -> None:
    pixels = noise(6, 5, 4)
    expected = np.rint(pixels[..., :3].astype(float) * pixels[..., 3:] / 255)
    decoded = decode(encoded(Image.fromarray(pixels)))
    assert decoded.image.mode == "RGB"
    assert np.array_equal(np.asarray(decoded.image), expected)
    grey = decode(encoded(Image.fromarray(pixels[..., [0, 3]])))
    assert grey.image.mode == "L"
    assert np.array_equal(np.asarray(grey.image), expected[..., 0])


def test_transparent_colour_of_rgb() -> None:
    image = Image.fromarray(np.array([[RED, BLUE]], dtype=np.uint8))
    decoded = decode(encoded(image, transparency=RED))
    assert np.asarray(decoded.image).tolist() == [[[0, 0, 0], list(BLUE)]]


def test_black_and_white_becomes_grey() -> None:
    image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert np.asarray(decode(encoded(image)).image).tolist() == [[0, 255]]
    assert decode(encoded(image)).changes == ("1 bit to grey",)


# The upright image is [[1, 2, 3], [4, 5, 6]]; this is how a camera stores it under each orientation.
STORED = {
    1: [[1, 2, 3], [4, 5, 6]],
    2: [[3, 2, 1], [6, 5, 4]],
    3: [[6, 5, 4], [3, 2, 1]],
    4: [[4, 5, 6], [1, 2, 3]],
    5: [[1, 4], [2, 5], [3, 6]],
    6: [[3, 6], [2, 5], [1, 4]],
    7: [[6, 3], [5, 2], [4, 1]],
    8: [[4, 1], [5, 2], [6, 3]],
}


@pytest.mark.parametrize("orientation", STORED)
def test_convention_exif_orientation_by_hand(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.array(STORED[orientation], dtype=np.uint8))
    decoded = decode(encoded(stored, exif=exif))
    assert np.asarray(decoded.image).tolist() == STORED[1]
    assert decoded.changes == (() if orientation == 1 else ("turned upright (EXIF)",))


def test_oracle_rotated_jpeg() -> None:
    """OpenCV applies the orientation of a JPEG by its own code."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.kron(noise(3, 2), np.ones((16, 16), dtype=np.uint8))
    content = encoded(Image.fromarray(pixels), "JPEG", exif=exif, quality=100)
    expected = by_opencv(content, cv2.IMREAD_GRAYSCALE)
    assert np.asarray(decode(content).image).shape == expected.shape == (32, 48)
    assert abs(np.asarray(decode(content).image).astype(int) - expected).max() <= 1


def test_unknown_orientation_and_damaged_exif_are_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    image = Image.fromarray(noise(3, 2))
    assert decode(encoded(image, exif=exif)).changes == ()
    damaged = encoded(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert side_by_side(decode, [damaged])[0].image.size == (2, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    decoded = decode(content)
    assert np.asarray(decoded.image)[0, 0].tolist() == list(RED)
    assert decoded.changes == ("first of several frames",)


def test_metadata_are_dropped(tmp_path: Path) -> None:
    """The same pixels with and without metadata are the same answer."""
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    image = Image.fromarray(noise(4, 4, 3))
    image.save(tmp_path / "a.png", exif=exif)
    pixels = load_images(str(tmp_path / "a.png"), image_shape=None).pixels(slice(None))
    assert np.array_equal(pixels[0].permute(1, 2, 0), np.asarray(image))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Not an image.", "not a PNG, JPEG, WEBP, BMP or TIFF image"),
        (encoded(Image.new("L", (9, 9)), "GIF"), "not a PNG, JPEG, WEBP, BMP or TIFF image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a PNG, JPEG, WEBP, BMP or TIFF image"),
        (encoded(Image.fromarray(noise(64, 64, 3)), "JPEG")[:-900], "damaged .*truncated"),
        (encoded(Image.fromarray(noise(64, 64, 3)))[:-900], "damaged .*truncated"),
        (encoded(Image.fromarray(noise(64, 64, 3)), "BMP")[:-900], "damaged .*truncated"),
        (encoded(Image.fromarray(noise(64, 64, 3)), "WEBP")[:-900], "damaged|not a PNG"),
        (png_header(5001, 5000), r"5,001 × 5,000 px, over the limit of 25 megapixels"),
        (png_header(40_000, 40_000), "over the limit of 25 megapixels"),
        (png_header(2**31 - 1, 2**31 - 1), "over the limit of 25 megapixels"),
        (png_header(100, 100), "damaged"),
        (png_header(0, 100), "damaged|not a PNG|no pixel"),
    ],
)
def test_hostile_content_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnusableImage, match=reason):
        decode(content)


@settings(max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), kind=st.sampled_from(FORMATS))
def test_a_changed_byte_is_an_image_or_a_reason(place: float, value: int, kind: str) -> None:
    """Whatever the decoder does with damage: never another exception, never above the cap."""
    content = bytearray(encoded(Image.fromarray(noise(8, 8, 3)), kind))
    content[int(place * len(content))] = value
    decoded = decoded_or_reason(bytes(content))
    if isinstance(decoded, str):
        assert decoded
    else:
        assert decoded.image.width * decoded.image.height <= MAX_PIXELS
        assert decoded.image.mode in ("L", "RGB")


def decoded_or_reason(content: bytes) -> Decoded | str:
    try:
        return decode(content)
    except UnusableImage as error:
        return str(error)
