"""One image file, opened with suspicion: its bytes to 8-bit grey or RGB, or the reason why not.

A file may be damaged, may claim to be what it is not, or may be made to exhaust the memory. Only a few
formats are tried, whatever the name says; the size is read from the header before anything is decoded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag
from PIL.ImageFile import ImageFile

from shiftproof.data._colour import to_srgb
from shiftproof.data._samples import Bytes, UnusableImage, Window, divided_by_257, eight_bits
from shiftproof.data._tiff import read_deep_tiff, tiff_kind
from shiftproof.errors import ShiftproofError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
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

TURNED = "turned upright (EXIF)"

# Pillow keeps the upper byte of a sample of 16-bit colour. Unpacked by these rules the same data give
# the lower byte; for grey with alpha, both bytes of both samples as if they were four channels.
LOWER_BYTE = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}


class Decoded(NamedTuple):
    """An image of mode L or RGB, and what was done to it to become one."""

    image: Image.Image
    changes: tuple[str, ...]


def decode(content: bytes, window: Window | None = None) -> Decoded:
    """Decode a whole PNG, JPEG, WEBP, BMP or TIFF file.

    Args:
        content: The bytes of the file.
        window: What is black and what is white among samples of more than 8 bits; see `eight_bits`.

    Returns:
        The upright first frame in sRGB with 8 bits per sample, as grey or RGB, on black where it is
        transparent.

    Raises:
        UnusableImage: Another format, damaged, more than `MAX_PIXELS`, or a window that is needed.
        MissingDependencyError: A TIFF of more than 8 bits per sample, and what reads it is not installed.

    Example:
        >>> decode(b"Not an image.")
        Traceback (most recent call last):
            ...
        shiftproof.data._samples.UnusableImage: not a PNG, JPEG, WEBP, BMP or TIFF image
    """
    tiff = tiff_kind(content)
    names = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    with _explained(f"{tiff}, which is not read" if tiff else f"not a {names} image"):
        if tiff and tiff.is_deep:
            deep = read_deep_tiff(content, tiff, window, max_pixels=MAX_PIXELS)
            return _finished(deep.image, deep.changes, deep.profile, deep.orientation)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image.size)
            changes = ("first of several frames",) if getattr(image, "is_animated", False) else ()
            if not _is_deep(image):
                return _finished_by(image, image, changes)
            shallow, done = _to_eight_bits(image, content, window)
            return _finished_by(image, shallow, (*changes, *done))


def from_pillow(image: Image.Image, window: Window | None = None) -> Decoded:
    """The same of an image that Pillow has opened or made.

    Raises:
        UnusableImage: As by `decode`.

    Example:
        >>> from_pillow(Image.new("RGBA", (1, 1), (255, 0, 0, 128))).image.getpixel((0, 0))
        (128, 0, 0)
    """
    with _explained("no image"):
        _check_size(image.size)
        if image.mode != "F" and not image.mode.startswith("I"):
            return _finished_by(image, image, ())
        pixels, changes = eight_bits(np.asarray(image), window)
        return _finished_by(image, Image.fromarray(pixels), changes)


def plain(image: Image.Image, profile: bytes | None = None) -> Decoded:
    """Bring an image with 8 bits per sample to grey or RGB, in sRGB if it has a colour profile.

    Example:
        >>> half_red = Image.new("RGBA", (1, 1), (255, 0, 0, 128))
        >>> decoded = plain(half_red)
        >>> decoded.image.getpixel((0, 0)), decoded.changes
        ((128, 0, 0), ('transparency on black',))
    """
    changes = ["palette to RGB"] if image.mode in ("P", "PA") else []
    alpha = None
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        seen = image.convert("RGBA")
        alpha, image = seen.getchannel("A"), seen.getchannel("R") if grey else seen.convert("RGB")
    elif image.mode == "1":
        changes.append("1 bit to grey")
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK"):
        changes += [f"{image.mode} to RGB"] if image.mode != "P" else []
        # What converts L*a*b* needs no profile, and others do not come with one of their own.
        image, profile = image.convert("RGB"), None if image.mode == "LAB" else profile
    image, done = to_srgb(image, profile)
    changes += done
    if image.mode == "CMYK":
        changes.append("CMYK to RGB")
        image = image.convert("RGB")
    if alpha is not None:
        changes.append("transparency on black")
        black = Image.new(image.mode, image.size)
        black.paste(image, mask=alpha)
        image = black
    return Decoded(image, tuple(changes))


@contextmanager
def _explained(unidentified: str) -> Iterator[None]:
    """Whatever Pillow raises, as a reason in a few words."""
    try:
        yield
    except (UnusableImage, ShiftproofError):
        raise
    except UnidentifiedImageError as error:
        raise UnusableImage(unidentified) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnusableImage(_over_the_limit()) from error
    except Exception as error:
        # A decoder that is fed hostile bytes may raise anything, from struct.error to MemoryError.
        raise UnusableImage(f"damaged ({str(error) or type(error).__name__})") from error


def _finished_by(opened: Image.Image, shallow: Image.Image, changes: tuple[str, ...]) -> Decoded:
    """Finish an image by what its file says besides the samples."""
    said = opened.getexif().get(ExifTag.Orientation, 1)
    opened.load()
    # Some formats tell it only behind the samples; and Pillow turns a TIFF by itself as it loads it.
    left = opened.getexif().get(ExifTag.Orientation, 1)
    turned = (TURNED,) if said in TURNS and left not in TURNS else ()
    return _finished(shallow, (*changes, *turned), opened.info.get("icc_profile"), left)


def _finished(
    image: Image.Image, changes: tuple[str, ...], profile: bytes | None, orientation: int
) -> Decoded:
    upright, done = plain(image, profile)
    changes += done
    if orientation in TURNS:
        changes += (TURNED,)
        upright = upright.transpose(TURNS[orientation])
    return Decoded(upright, changes)


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


def _to_eight_bits(
    image: ImageFile, content: bytes, window: Window | None
) -> tuple[Image.Image, tuple[str, ...]]:
    """A PNG of 16 bits per sample."""
    if "transparency" in image.info:
        raise UnusableImage("16-bit samples with a transparent colour")
    rule = _rule(image)
    if rule not in LOWER_BYTE:
        samples = np.asarray(image).astype(np.uint16)[..., None]
    elif rule == "LA;16B":
        both = _unpacked(content, LOWER_BYTE[rule])
        samples = _joined(both[..., 0::2], both[..., 1::2])
    else:
        samples = _joined(np.asarray(image), _unpacked(content, LOWER_BYTE[rule]))
    n_colours = 3 if samples.shape[2] >= 3 else 1
    colours, changes = eight_bits(samples[..., :n_colours], window)
    # An alpha channel has no black and white.
    pixels = np.concatenate([colours, divided_by_257(samples[..., n_colours:])], axis=2)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), changes


def _joined(upper: Bytes, lower: Bytes) -> npt.NDArray[np.uint16]:
    return np.left_shift(upper, 8, dtype=np.uint16) | lower


def _unpacked(content: bytes, rule: str) -> Bytes:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        image.tile = [image.tile[0]._replace(args=rule)]
        return np.asarray(image)
