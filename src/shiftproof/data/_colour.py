"""Colour profiles (ICC): what an image was meant to look like, in sRGB.

A photograph in Display P3 or Adobe RGB shows other colours when its numbers are taken for sRGB, which is
what networks are trained on and what browsers show.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, cast

import numpy as np
from PIL import Image, ImageCms

# The colour space in the header of a profile, by the mode of the images that it can describe.
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
CONVERTED = "colour profile to sRGB"
IGNORED = "colour profile that does not fit ignored"
# Both sides are rounded to 8 bits: a profile that changes nothing by more is sRGB itself.
ROUNDING = 1
STEPS = 17


class _Conversion(NamedTuple):
    """From one profile and mode: how it is counted, and what does it; None: there is nothing to do."""

    change: str
    apply: Callable[[Image.Image], Image.Image] | None


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """The same colours in sRGB, by LittleCMS: relative colorimetric, with black point compensation.

    Args:
        image: Of mode L, RGB or CMYK.
        profile: An ICC profile, or None.

    Returns:
        L of L, RGB of the others; and what was done, in words: nothing for a profile that is sRGB. A damaged
        profile, or one for another kind of image, is ignored, which is said as well.

    Example:
        >>> to_srgb(Image.new("L", (1, 1), 7), b"no profile")[1]
        ('colour profile that does not fit ignored',)
    """
    if not profile:
        return image, ()
    conversion = _conversion(profile, image.mode)
    changes = (conversion.change,) if conversion.change else ()
    return image if conversion.apply is None else conversion.apply(image), changes


@lru_cache(maxsize=16)
def _conversion(profile: bytes, mode: str) -> _Conversion:
    """Cached: a set of images mostly has one profile, and reading one costs more than applying it."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return _Conversion(IGNORED, None)
        convert = _by_table(source) if mode == "L" else _by_transform(source, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _Conversion(IGNORED, None)
    return _Conversion("", None) if _changes_nothing(convert, mode) else _Conversion(CONVERTED, convert)


def _by_transform(
    source: ImageCms.ImageCmsProfile, mode: str, flags: ImageCms.Flags = ImageCms.Flags.HIGHRESPRECALC
) -> Callable[[Image.Image], Image.Image]:
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags | ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    # Only a conversion in place gives nothing back.
    return lambda image: cast("Image.Image", ImageCms.applyTransform(image, transform))


def _by_table(source: ImageCms.ImageCmsProfile) -> Callable[[Image.Image], Image.Image]:
    """The 256 greys without a short cut: LittleCMS' own table is off by ten levels where a curve is steep."""
    greys = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    seen = _by_transform(source, "L", ImageCms.Flags.NOOPTIMIZE)(greys)
    table = list(seen.getchannel("G").tobytes())
    return lambda image: image.point(table)


def _changes_nothing(convert: Callable[[Image.Image], Image.Image], mode: str) -> bool:
    if mode == "CMYK":
        return False
    levels = np.linspace(0, 255, 256 if mode == "L" else STEPS).astype(np.uint8)
    if mode == "RGB":
        levels = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    seen = np.asarray(convert(Image.fromarray(levels[None])))
    return int(np.abs(seen.astype(int) - levels).max()) <= ROUNDING
