"""TIFF files whose samples are no plain bytes: 16, 32 and 64 bits, signed, floating-point.

Microscopes, satellites and scanners write these. Pillow opens some of them, a few of those wrongly
(big-endian and compressed, or signed bytes), so they are read here: Pillow parses the directory, and libtiff
through Pillow undoes what the standard library cannot. TIFFs of plain bytes are left to Pillow.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from shiftproof.data._samples import Bytes, UnusableImage, Window, eight_bits

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BIG = 43
# Of all samples of an image, or of a tile, which may be larger.
MAX_BYTES = 2**28
RAW, DEFLATE, BY_LIBTIFF = 1, (8, 32946), (5, 32773, 34925, 50000)
COMPRESSIONS = {2: "CCITT", 6: "old JPEG", 7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000",
                34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG"}  # fmt: skip
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
N_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3}
KINDS = {1: "u", 2: "i", 3: "f"}
SAMPLE_TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
ASSOCIATED, UNASSOCIATED = 1, 2


class Tag:
    """Numbers of the tags that are read."""

    WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
    OFFSETS, ORIENTATION, SAMPLES, ROWS, COUNTS, PLANAR = 273, 274, 277, 278, 279, 284
    PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 317, 322, 323, 324, 325
    EXTRA, FORMAT, PROFILE = 338, 339, 34675


class DeepTiff(NamedTuple):
    """An image with 8 bits per sample, as it is stored, and what was done to it."""

    image: Image.Image
    changes: tuple[str, ...]
    orientation: int
    profile: bytes | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the samples are and what they mean.

    Args:
        size_px: (height, width).
        part_px: (height, width) of a strip or tile; those at the edges are cut.
        tiled: Whether it has tiles.
        n_samples: Per pixel.
        interleaved: Whether the samples of a pixel stand together; otherwise there is a plane for each.
        dtype: Of a sample, with its order of bytes.
        compression: As in the file.
        predictor: 1 none, 2 differences, 3 differences of the bytes of floats.
        photometric: White is zero, black is zero, or RGB.
        extra: What the samples after the colours are.
        places: Offset and length of each part, row by row, plane after plane.
    """

    size_px: tuple[int, int]
    part_px: tuple[int, int]
    tiled: bool
    n_samples: int
    interleaved: bool
    dtype: np.dtype[Any]
    compression: int
    predictor: int
    photometric: int
    extra: tuple[int, ...]
    places: tuple[tuple[int, int], ...]

    @property
    def n_colours(self) -> int:
        return N_COLOURS[self.photometric]

    @property
    def n_together(self) -> int:
        """Samples of a pixel that stand together."""
        return self.n_samples if self.interleaved else 1


def is_deep_tiff(content: bytes) -> bool:
    """Whether a file is a TIFF whose samples are no unsigned integers of up to 8 bits."""
    if not content.startswith(MAGIC):
        return False
    tags = _directory(content)
    bits, kinds = _numbers(tags, Tag.BITS, 1), _numbers(tags, Tag.FORMAT, 1)
    return max(bits) > 8 or set(kinds) != {1}


def unread_tiff(content: bytes) -> str:
    """What to say of a TIFF that Pillow does not open; empty for another format, or a damaged directory."""
    if not content.startswith(MAGIC):
        return ""
    try:
        tags = _directory(content)
        bits, (photometric, *_) = _numbers(tags, Tag.BITS, 1), _numbers(tags, Tag.PHOTOMETRIC, BLACK_IS_ZERO)
        n_samples = _numbers(tags, Tag.SAMPLES, 1)[0]
    except UnusableImage:
        return ""
    return (
        f"a TIFF with {n_samples} samples of {max(bits)} bits per pixel and photometric {photometric}, "
        "which is not read"
    )


def read_deep_tiff(content: bytes, window: Window | None, *, max_pixels: int) -> DeepTiff:
    """The first image of a file, with 8 bits per sample; see `eight_bits`.

    Args:
        content: The file.
        window: What is black and what is white. An alpha channel is scaled by its type alone.
        max_pixels: More are refused before anything is decoded.

    Raises:
        UnusableImage: A kind that is not read, no window where one is needed, too large, or damaged.
    """
    tags = _directory(content)
    plan = _plan(tags, max_pixels)
    samples = _assembled(content, plan)
    pixels, done = eight_bits(samples[..., : plan.n_colours], window)
    changes = [*(["first of several frames"] if tags.next else []), *done]
    if plan.photometric == WHITE_IS_ZERO:
        pixels = 255 - pixels
    if plan.extra == (UNASSOCIATED,):
        pixels = np.concatenate([pixels, _opacity(samples[..., -1:])], axis=2)
    elif plan.extra == (ASSOCIATED,):
        # Its colours are multiplied by their opacity already: that is what they look like on black.
        changes.append("transparency on black")
    elif plan.extra:
        changes.append("extra channel left out")
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    orientation = _numbers(tags, Tag.ORIENTATION, 1)[0]
    return DeepTiff(image, tuple(changes), orientation, cast("bytes | None", tags.get(Tag.PROFILE)))


def _directory(content: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    try:
        header = content[: 16 if content[2] == BIG or content[3] == BIG else 8]
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream = io.BytesIO(content)
        stream.seek(tags.next)
        tags.load(stream)
    except Exception as error:  # of hostile bytes anything can be made
        raise UnusableImage(f"damaged ({error})") from error
    return tags


def _numbers(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    values = value if isinstance(value, tuple) else (value,)
    if not values or not all(isinstance(one, int) and one >= 0 for one in values):
        raise UnusableImage(f"damaged (tag {tag})")
    return values


def _plan(tags: TiffImagePlugin.ImageFileDirectory_v2, max_pixels: int) -> _Plan:
    def number(tag: int, default: int) -> int:
        return _numbers(tags, tag, default)[0]

    width, height = number(Tag.WIDTH, 0), number(Tag.HEIGHT, 0)
    if width < 1 or height < 1:
        raise UnusableImage(f"{height} × {width} px: there is no pixel")
    if width * height > max_pixels:
        raise UnusableImage(f"{height:,} × {width:,} px, over the limit of {max_pixels // 10**6} megapixels")
    n_samples = number(Tag.SAMPLES, 1)
    photometric = number(Tag.PHOTOMETRIC, BLACK_IS_ZERO)
    dtype = _dtype(tags, n_samples)
    n_extra = n_samples - N_COLOURS.get(photometric, n_samples + 1)
    if n_extra < 0 or n_extra > 1:
        raise UnusableImage(
            f"a TIFF with {n_samples} samples of {8 * dtype.itemsize} bits per pixel and photometric "
            f"{photometric}, where grey or RGB is read, with or without alpha"
        )
    compression = number(Tag.COMPRESSION, RAW)
    if compression not in (RAW, *DEFLATE, *BY_LIBTIFF):
        name = COMPRESSIONS.get(compression, f"no. {compression}")
        raise UnusableImage(
            f"a TIFF of {8 * dtype.itemsize}-bit samples under compression {name}, which is not read"
        )
    tiled = Tag.TILE_OFFSETS in tags
    part_px = (
        (number(Tag.TILE_HEIGHT, 0), number(Tag.TILE_WIDTH, 0))
        if tiled
        else (min(number(Tag.ROWS, height), height), width)
    )
    plan = _Plan(
        size_px=(height, width),
        part_px=part_px,
        tiled=tiled,
        n_samples=n_samples,
        interleaved=number(Tag.PLANAR, 1) != 2 or n_samples == 1,
        dtype=dtype,
        compression=compression,
        predictor=number(Tag.PREDICTOR, 1),
        photometric=photometric,
        # An extra sample without a word on it is an alpha channel in RGB, as in most programs.
        extra=_numbers(tags, Tag.EXTRA, UNASSOCIATED if photometric == RGB else 0)[:n_extra]
        if n_extra
        else (),
        places=tuple(
            zip(
                _numbers(tags, Tag.TILE_OFFSETS if tiled else Tag.OFFSETS, 0),
                _numbers(tags, Tag.TILE_COUNTS if tiled else Tag.COUNTS, 0),
                strict=False,
            )
        ),
    )
    _check_parts(plan)
    return plan


def _dtype(tags: TiffImagePlugin.ImageFileDirectory_v2, n_samples: int) -> np.dtype[Any]:
    bits, kinds = set(_numbers(tags, Tag.BITS, 1)), set(_numbers(tags, Tag.FORMAT, 1))
    if len(bits) > 1 or len(kinds) > 1:
        raise UnusableImage("a TIFF whose samples are of several types")
    (n_bits,), (kind,) = bits, kinds
    name = f"{KINDS.get(kind, '?')}{n_bits // 8}"
    if n_bits % 8 or name not in SAMPLE_TYPES:
        raise UnusableImage(f"a TIFF with samples of {n_bits} bits, format {kind}, which is not read")
    return np.dtype(name).newbyteorder("<" if tags.prefix == b"II" else ">")


def _check_parts(plan: _Plan) -> None:
    rows, columns = plan.part_px
    if rows < 1 or columns < 1 or plan.predictor not in (1, 2, 3):
        raise UnusableImage("damaged (its strips or tiles)")
    if max(math.prod(plan.size_px), rows * columns) * plan.n_samples * plan.dtype.itemsize > MAX_BYTES:
        raise UnusableImage(f"samples of more than {MAX_BYTES:,} bytes")
    if (plan.predictor == 3 and plan.dtype.kind != "f") or (plan.predictor == 2 and plan.dtype.kind == "f"):
        raise UnusableImage(f"a TIFF with predictor {plan.predictor} for samples of type {plan.dtype}")
    n_planes = 1 if plan.interleaved else plan.n_samples
    n_expected = n_planes * math.ceil(plan.size_px[0] / rows) * math.ceil(plan.size_px[1] / columns)
    if len(plan.places) != n_expected:
        raise UnusableImage(f"damaged ({len(plan.places)} strips or tiles where {n_expected} are needed)")


def _assembled(content: bytes, plan: _Plan) -> npt.NDArray[Any]:
    """(height, width, samples) from the strips or tiles."""
    (height, width), (part_height, part_width) = plan.size_px, plan.part_px
    whole = np.empty((height, width, plan.n_samples), dtype=plan.dtype.newbyteorder("="))
    places = iter(plan.places)
    for plane in range(1 if plan.interleaved else plan.n_samples):
        planes = slice(None) if plan.interleaved else slice(plane, plane + 1)
        for top in range(0, height, part_height):
            n_left = min(part_height, height - top)
            for left in range(0, width, part_width):
                # The last strip is short, while tiles are always whole.
                shape = (part_height if plan.tiled else n_left, part_width, plan.n_together)
                part = _samples(content, next(places), plan, shape)
                whole[top : top + n_left, left : left + part_width, planes] = part[:n_left, : width - left]
    return whole


def _samples(
    content: bytes, place: tuple[int, int], plan: _Plan, shape: tuple[int, int, int]
) -> npt.NDArray[Any]:
    """One strip or tile, of shape (rows, columns, samples)."""
    offset, n_stored = place
    row_bytes = shape[1] * shape[2] * plan.dtype.itemsize
    data = _inflated(content[offset : offset + n_stored], plan.compression, shape[0], row_bytes)
    if len(data) < shape[0] * row_bytes:
        raise UnusableImage("damaged (image file is truncated)")
    if plan.predictor == 3:
        return _undo_float_differences(data, shape, plan.dtype)
    samples = np.frombuffer(data, plan.dtype, math.prod(shape)).reshape(shape)
    if plan.predictor == 2:
        unsigned = samples.view(plan.dtype.str.replace("i", "u")).astype(f"u{plan.dtype.itemsize}")
        return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(plan.dtype.newbyteorder("="))
    return samples


def _undo_float_differences(data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Rows of all first bytes, then all second ones, …, from the highest on, each minus its neighbour."""
    rows, columns, n = shape
    stored = np.frombuffer(data, np.uint8, math.prod(shape) * dtype.itemsize).reshape(rows, -1, n)
    summed = np.cumsum(stored, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, columns, n)
    ordered = np.ascontiguousarray(np.moveaxis(summed, 1, -1))
    return ordered.view(dtype.newbyteorder(">"))[..., 0]


def _inflated(data: bytes, compression: int, n_rows: int, row_bytes: int) -> bytes:
    """What was compressed; never more than was announced."""
    n_bytes = n_rows * row_bytes
    if compression == RAW:
        return data
    if compression in DEFLATE:
        try:
            return zlib.decompressobj().decompress(data, n_bytes)
        except zlib.error as error:
            raise UnusableImage(f"damaged ({error})") from error
    return _by_libtiff(data, compression, n_rows, row_bytes)


def _by_libtiff(data: bytes, compression: int, n_rows: int, row_bytes: int) -> bytes:
    """Have libtiff undo a compression: as the one strip of a grey image of plain bytes."""
    entries = {
        Tag.WIDTH: row_bytes, Tag.HEIGHT: n_rows, Tag.BITS: 8, Tag.COMPRESSION: compression,
        Tag.PHOTOMETRIC: BLACK_IS_ZERO, Tag.OFFSETS: 8 + 2 + 12 * 9 + 4, Tag.SAMPLES: 1, Tag.ROWS: n_rows,
        Tag.COUNTS: len(data),
    }  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    content = struct.pack("<4sI", MAGIC[0], 8) + struct.pack("<H", len(entries)) + directory + bytes(4) + data
    try:
        with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
            return image.tobytes()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnusableImage(f"a strip or tile of {n_rows * row_bytes:,} bytes under compression") from error
    except OSError as error:
        raise UnusableImage(f"damaged ({error})") from error


def _opacity(samples: npt.NDArray[Any]) -> Bytes:
    """An alpha channel as bytes: all of an integer type's range, or [0, 1]."""
    top = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max)
    return eight_bits(samples, (0.0, top))[0]
