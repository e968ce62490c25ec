"""One image file, opened with suspicion: its bytes to 8-bit grey or RGB, or the reason why not.

A file may be damaged, may claim to be what it is not, or may be made to exhaust the memory. Only a few
formats are tried, whatever the name says; the size is read from the header before anything is decoded.
Colour profiles are not applied, as in the training pipelines of the usual libraries.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag
from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_PIXELS = 25_000_000

# EXIF orientation: what turns the stored image into the one that was taken. 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow keeps the upper byte of a sample of 16-bit colour. Unpacked by these rules the same data give
# the lower byte; for grey with alpha, both bytes of both samples as if they were four channels.
LOWER_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}


class UnusableImage(Exception):
    """Why a file is not used, in a few words; it becomes a `Skipped`, never a traceback."""


class Decoded(NamedTuple):
    """An image of mode L or RGB, and what was done to it to become one."""

    image: Image.Image
    changes: tuple[str, ...]


def decode(content: bytes) -> Decoded:
    """Decode a whole PNG, JPEG, WEBP or BMP file.

    Args:
        content: The bytes of the file.

    Returns:
        The upright first frame with 8 bits per sample, as grey or RGB, on black where it is transparent.

    Raises:
        UnusableImage: Another format, damaged, or more than `MAX_PIXELS`.

    Example:
        >>> decode(b"Not an image.")
        Traceback (most recent call last):
            ...
        shiftproof.data._decode.UnusableImage: not a PNG, JPEG, WEBP or BMP image
    """
    try:
        with _open(content) as image:
            return _decoded(image, content)
    except UnusableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnusableImage("not a PNG, JPEG, WEBP or BMP image") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnusableImage(_over_the_limit()) from error
    except Exception as error:
        # A decoder that is fed hostile bytes may raise anything, from struct.error to MemoryError.
        raise UnusableImage(f"damaged ({str(error) or type(error).__name__})") from error


def plain(image: Image.Image) -> Decoded:
    """Bring an image with 8 bits per sample to grey or RGB.

    Example:
        >>> half_red = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
        >>> decoded = plain(half_red)
        >>> decoded.image.getpixel((0, 0)), decoded.changes
        ((128, 0, 0), ('transparency on black',))
    """
    changes = []
    if image.mode == "P":
        changes.append("palette to RGB")
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        seen = image.convert("RGBA")
        image = Image.new("RGB", seen.size)
        image.paste(seen, mask=seen.getchannel("A"))
        image = image.getchannel(0) if grey else image
        changes.append("transparency on black")
    elif image.mode == "1":
        image = image.convert("L")
        changes.append("1 bit to grey")
    elif image.mode not in ("L", "RGB"):
        changes += [f"{image.mode} to RGB"] if image.mode != "P" else []
        image = image.convert("RGB")
    return Decoded(image, tuple(changes))


def divided_by_257(upper: npt.NDArray[Any], lower: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """16-bit samples v to 8 bits, round(v ÷ 257), so that 65535 becomes 255 and nothing is clipped.

    Args:
        upper: uint8, ⌊v ÷ 256⌋.
        lower: uint8 of the same shape, the rest.

    Returns:
        uint8 of the same shape. With v = 257·upper + (lower − upper), it is the upper byte or a
        neighbour of it.

    Example:
        >>> samples = np.array([0, 128, 129, 32768, 65535])
        >>> divided_by_257((samples >> 8).astype(np.uint8), (samples & 255).astype(np.uint8))
        array([  0,   0,   1, 128, 255], dtype=uint8)
    """
    rest = lower.astype(np.int16) - upper
    return np.asarray(upper + (rest > 128) - (rest < -128).astype(np.uint8), dtype=np.uint8)


def _open(content: bytes) -> ImageFile:
    return Image.open(io.BytesIO(content), formats=FORMATS)


def _decoded(image: ImageFile, content: bytes) -> Decoded:
    _check_size(image.size)
    changes = ["first of several frames"] if getattr(image, "n_frames", 1) > 1 else []
    shallow: Image.Image = image
    if _is_deep(image):
        changes.append("16 bits to 8")
        shallow = _to_eight_bits(image, content)
    image.load()
    simple = plain(shallow)
    changes += simple.changes
    upright = simple.image
    orientation = image.getexif().get(ExifTag.Orientation)
    if orientation in TURNS:
        changes.append("turned upright (EXIF)")
        upright = upright.transpose(TURNS[orientation])
    return Decoded(upright, tuple(changes))


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise UnusableImage(f"{height:,} × {width:,} px, {_over_the_limit()}")
    if width < 1 or height < 1:
        raise UnusableImage(f"{height} × {width} px: there is no pixel")


def _over_the_limit() -> str:
    return f"over the limit of {MAX_PIXELS // 10**6} megapixels"


def _rule(image: ImageFile) -> str:
    """How Pillow is about to unpack the samples; empty where it does not say."""
    rule = image.tile[0].args if image.tile else ""
    return rule if isinstance(rule, str) else ""


def _is_deep(image: ImageFile) -> bool:
    return image.mode.startswith("I") or _rule(image) in LOWER_BYTE


def _to_eight_bits(image: ImageFile, content: bytes) -> Image.Image:
    if "transparency" in image.info:
        raise UnusableImage("16-bit samples with a transparent colour")
    rule = _rule(image)
    if rule not in LOWER_BYTE:
        samples = np.asarray(image)
        return Image.fromarray(divided_by_257((samples >> 8).astype(np.uint8), samples.astype(np.uint8)))
    lower = _unpacked(content, LOWER_BYTE[rule])
    if rule == "LA;16B":
        return Image.fromarray(divided_by_257(lower[..., 0::2], lower[..., 1::2]))
    return Image.fromarray(divided_by_257(np.asarray(image), lower))


def _unpacked(content: bytes, rule: str) -> npt.NDArray[np.uint8]:
    with _open(content) as image:
        image.tile = [image.tile[0]._replace(args=rule)]
        return np.asarray(image)
