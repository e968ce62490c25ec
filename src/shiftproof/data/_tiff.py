"""TIFF files whose samples are no plain bytes: 16, 32 and 64 bits, signed, floating-point.

Microscopes, satellites and scanners write these. Pillow opens some of them, a few of those wrongly
(big-endian and compressed, or signed bytes), so tifffile reads them all. TIFFs of plain bytes are left to
Pillow, which needs no other package.
"""

from __future__ import annotations

import io
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from shiftproof._optional import require
from shiftproof._text import counted
from shiftproof.data._samples import Bytes, UnusableImage, Window, eight_bits

if TYPE_CHECKING:
    from tifffile import TiffPage

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BIG = 43
# Of all samples of an image, or of a strip or tile, which may be larger.
MAX_BYTES = 2**28
# 25 megapixels in the smallest tiles that the format allows, 16 × 16.
MAX_PARTS = 100_000
RAW = 1
# Those of which imagecodecs never unpacks more than it is asked for; others give images of any size.
COMPRESSIONS = {5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 34925: "LZMA", 50000: "zstd"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
N_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3}
# Of what tifffile logs, nobody wants to read; what matters is in its exceptions. One for all, as it is kept.
UNHEARD = logging.NullHandler()
NOT_SAID, ASSOCIATED, UNASSOCIATED = 0, 1, 2


class Tag:
    """Numbers of the tags that are read."""

    BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, FORMAT, PROFILE = 258, 262, 274, 277, 339, 34675


class TiffKind(NamedTuple):
    """What the samples of a TIFF are, each number as in the file."""

    bits: tuple[int, ...]
    formats: tuple[int, ...]
    n_samples: int
    photometric: int

    def __str__(self) -> str:
        return (
            f"a TIFF with {counted(self.n_samples, 'sample')} of {counted(max(self.bits), 'bit')} per pixel "
            f"and photometric {self.photometric}"
        )

    @property
    def is_deep(self) -> bool:
        """Whether its samples are no unsigned integers of up to 8 bits."""
        return max(self.bits) > 8 or set(self.formats) != {1}


class DeepTiff(NamedTuple):
    """An image with 8 bits per sample, as it is stored, and what was done to it."""

    image: Image.Image
    changes: tuple[str, ...]
    orientation: int
    profile: bytes | None


def tiff_kind(content: bytes) -> TiffKind | None:
    """What the samples are; None for another format.

    Raises:
        UnusableImage: The directory is damaged.
    """
    if not content.startswith(MAGIC):
        return None
    try:
        header = content[: 16 if BIG in content[2:4] else 8]
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream = io.BytesIO(content)
        stream.seek(tags.next)
        tags.load(stream)
    except Exception as error:  # of hostile bytes anything can be made
        raise UnusableImage(f"damaged ({error})") from error
    bits, formats = _numbers(tags, Tag.BITS, 1), _numbers(tags, Tag.FORMAT, 1)
    n_samples, photometric = _numbers(tags, Tag.SAMPLES, 1), _numbers(tags, Tag.PHOTOMETRIC, BLACK_IS_ZERO)
    return TiffKind(bits, formats, n_samples[0], photometric[0])


def read_deep_tiff(content: bytes, kind: TiffKind, window: Window | None, *, max_pixels: int) -> DeepTiff:
    """The first image of a file, with 8 bits per sample; see `eight_bits`.

    Args:
        content: The file.
        kind: What its samples are.
        window: What is black and what is white. An alpha channel is scaled by its type alone.
        max_pixels: More are refused before anything is decoded.

    Raises:
        UnusableImage: A kind that is not read, no window where one is needed, or too large. Damage may raise
            anything.
        MissingDependencyError: tifffile is not installed or, for a compressed file, imagecodecs.
    """
    tifffile = require("tifffile", extra="tiff", purpose=f"A TIFF with samples of {max(kind.bits)} bits")
    logging.getLogger("tifffile").addHandler(UNHEARD)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page: TiffPage = file.pages.first
        _check_kind(page, kind)
        _check_size(page, len(content), max_pixels)
        if page.compression != RAW or page.predictor != 1:
            how = COMPRESSIONS.get(page.compression, "a predictor")
            # tifffile alone unpacks some of them too, without a bound on what comes out.
            require(
                "imagecodecs", extra="tiff", purpose=f"A TIFF of {page.bitspersample}-bit samples under {how}"
            )
        changes = ["first of several frames"] if file.pages.is_multipage else []
        # (planes, depth, height, width, samples together), of which the first or the last is 1.
        stored: npt.NDArray[Any] = page.asarray(squeeze=False, maxworkers=1)[:, 0]
        samples = np.moveaxis(stored, 0, -1).reshape(*stored.shape[1:3], kind.n_samples)
        pixels, done = _pixels(samples, kind.photometric, _extra(page, kind), window)
        orientation = page.tags.valueof(Tag.ORIENTATION, 1)
        profile = page.tags.valueof(Tag.PROFILE)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return DeepTiff(image, (*changes, *done), orientation, profile if isinstance(profile, bytes) else None)


def _numbers(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    values = value if isinstance(value, tuple) else (value,)
    if not values or not all(isinstance(one, int) and one >= 0 for one in values):
        raise UnusableImage(f"damaged (tag {tag})")
    return values


def _check_kind(page: TiffPage, kind: TiffKind) -> None:
    dtype, n_bits = page.dtype, page.bitspersample
    if not isinstance(n_bits, int) or not isinstance(page.sampleformat, int):
        raise UnusableImage("a TIFF whose samples are of several types")
    if dtype is None or dtype.kind not in "uif" or n_bits != 8 * dtype.itemsize:
        raise UnusableImage(
            f"a TIFF with samples of {n_bits} bits, format {int(page.sampleformat)}, which is not read"
        )
    if kind.n_samples - N_COLOURS.get(kind.photometric, 0) not in (0, 1) or kind.photometric not in N_COLOURS:
        raise UnusableImage(f"{kind}, where grey or RGB is read, with or without alpha")
    if page.imagedepth != 1:
        raise UnusableImage(f"a TIFF whose first page has {page.imagedepth} layers")
    if page.compression != RAW and page.compression not in COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise UnusableImage(f"a TIFF of {n_bits}-bit samples under compression {name}, which is not read")


def _check_size(page: TiffPage, n_bytes: int, max_pixels: int) -> None:
    width, height = page.imagewidth, page.imagelength
    if width < 1 or height < 1:
        raise UnusableImage(f"{height} × {width} px: there is no pixel")
    if width * height > max_pixels:
        raise UnusableImage(f"{height:,} × {width:,} px, over the limit of {max_pixels // 10**6} megapixels")
    if not all(size >= 1 for size in page.chunks):
        raise UnusableImage("damaged (its strips or tiles)")
    assert page.dtype is not None
    n_samples = max(math.prod(page.shaped), math.prod(page.chunks))
    if n_samples * page.dtype.itemsize > MAX_BYTES:
        raise UnusableImage(f"samples of more than {MAX_BYTES:,} bytes")
    n_expected, n_found = math.prod(page.chunked), len(page.dataoffsets)
    if n_expected > MAX_PARTS:
        raise UnusableImage(f"{n_expected:,} strips or tiles, more than {MAX_PARTS:,}")
    if 0 in page.databytecounts:
        raise UnusableImage("a TIFF in which strips or tiles have no data")
    if n_found != n_expected or len(page.databytecounts) != n_expected:
        raise UnusableImage(f"damaged ({n_found} strips or tiles where {n_expected} are needed)")
    if sum(page.databytecounts) > n_bytes:
        raise UnusableImage("damaged (its strips or tiles are longer than the file)")


def _extra(page: TiffPage, kind: TiffKind) -> int | None:
    """What the sample after the colours is; None where there is none."""
    if kind.n_samples == N_COLOURS[kind.photometric]:
        return None
    if page.extrasamples:
        return int(page.extrasamples[0])
    # Without a word on it, it is an alpha channel in RGB, as in most programs.
    return UNASSOCIATED if kind.photometric == RGB else NOT_SAID


def _pixels(
    samples: npt.NDArray[Any], photometric: int, extra: int | None, window: Window | None
) -> tuple[Bytes, tuple[str, ...]]:
    """uint8 (height, width, 1 to 4), and what was done."""
    pixels, changes = eight_bits(samples[..., : N_COLOURS[photometric]], window)
    if photometric == WHITE_IS_ZERO:
        pixels = 255 - pixels
    if extra is None:
        return pixels, changes
    if extra == UNASSOCIATED:
        return np.concatenate([pixels, _opacity(samples[..., -1:])], axis=2), changes
    if extra == ASSOCIATED:
        # Its colours are multiplied by their opacity already: that is what they look like on black.
        return pixels, (*changes, "transparency on black")
    return pixels, (*changes, "extra channel left out")


def _opacity(samples: npt.NDArray[Any]) -> Bytes:
    """An alpha channel as bytes: all of an integer type's range, or [0, 1]."""
    top = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    return eight_bits(samples, (0.0, top))[0]
