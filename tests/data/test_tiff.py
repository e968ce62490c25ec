"""TIFF files: of every kind of sample, compression and layout, what tifffile and OpenCV wrote is read."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shiftproof.data._decode import MAX_PIXELS, decode
from shiftproof.data._samples import UnusableImage, eight_bits
from shiftproof.data._tiff import MAX_PARTS
from shiftproof.errors import MissingDependencyError

WINDOW = (-300.0, 700.0)
BANDS = {"photometric": "minisblack", "planarconfig": "contig"}


def written(samples: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    options = {"photometric": "minisblack" if samples.ndim == 2 else "rgb", "metadata": None} | options
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def noise(kind: str, *shape: int) -> np.ndarray:
    generator, dtype = np.random.default_rng(0), np.dtype(kind)
    if dtype.kind == "f":
        return generator.normal(0, 500, shape).astype(dtype)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer(generator.bytes(n_bytes), dtype).reshape(shape).copy()


def windowed(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """The definition, in long doubles."""
    share = (samples.astype(np.longdouble) - low) / (high - low)
    scaled: np.ndarray = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return scaled


def wide(kind: str) -> tuple[float, float]:
    """A window that cuts both ends of what `noise` draws."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return WINDOW
    low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return low + 0.2 * (high - low), high - 0.1 * (high - low)


@pytest.mark.parametrize("kind", ["i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8"])
def test_oracle_every_type_and_layout_as_tifffile_wrote_it(kind: str) -> None:
    """Types × channels × byte orders × compression, predictor × planes × strips and tiles."""
    packings = [(None, None), ("lzw", None), ("zlib", True)]
    n_tried = 0
    for order, (compression, differences), tile, n_channels in product(
        "<>", packings, [None, (16, 32)], [1, 3, 4]
    ):
        # tifffile writes no differences of these.
        predictor = None if kind == "u8" else differences
        for planar in ["contig", "separate"] if n_channels > 1 else [None]:
            samples = noise(kind, 37, 41, *([n_channels] if n_channels > 1 else []))
            stored = np.moveaxis(samples, 2, 0) if planar == "separate" else samples
            content = written(
                stored, byteorder=order, compression=compression, predictor=predictor, tile=tile,
                planarconfig=planar, extrasamples=["unspecified"] if n_channels == 4 else None,
                rowsperstrip=None if tile else 5,
            )  # fmt: skip
            decoded = decode(content, wide(kind))
            assert decoded.changes[0].startswith("window")
            assert ("extra channel left out" in decoded.changes) == (n_channels == 4)
            expected = windowed(samples[..., :3] if n_channels > 1 else samples, *wide(kind))
            assert np.array_equal(np.asarray(decoded.image), expected), (order, compression, tile, planar)
            n_tried += 1
    assert n_tried == 60


@pytest.mark.parametrize(("kind", "n_channels"), [("u2", 1), ("u2", 3), ("f4", 1), ("f4", 3)])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("differences", [False, True])
def test_oracle_opencv_and_its_libtiff(
    kind: str, n_channels: int, compression: int, differences: bool
) -> None:
    """OpenCV writes LZW, deflate and packed bits, with differences of integers and floats, and reads them."""
    samples = noise(kind, 33, 29, *([n_channels] if n_channels > 1 else []))
    predictor = (3 if kind[0] == "f" else 2) if differences and compression in (5, 8) else 1
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    content = cv2.imencode(".tiff", samples, options)[1]
    back = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    assert back is not None
    assert np.array_equal(back, samples)
    with tifffile.TiffFile(io.BytesIO(content.tobytes())) as file:
        page = file.pages.first
        assert (int(page.compression), int(page.predictor)) == (compression, predictor)
    expected = windowed(samples if n_channels == 1 else samples[..., ::-1], *wide(kind))
    assert np.array_equal(np.asarray(decode(content.tobytes(), wide(kind)).image), expected)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("differences", [False, True])
def test_every_compression(compression: str, differences: bool) -> None:
    for kind in ("u2", "i4", "f4"):
        samples = noise(kind, 37, 41)
        content = written(samples, compression=compression, predictor=differences, rowsperstrip=5)
        expected = windowed(samples, *wide(kind))
        assert np.array_equal(np.asarray(decode(content, wide(kind)).image), expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "1", "LA"])
def test_plain_bytes_are_what_they_are_in_a_png(mode: str, compression: str | None) -> None:
    image = Image.fromarray(noise("u1", 20, 24, 3)).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(noise("u1", 20, 24)))
    stream = io.BytesIO()
    image.save(stream, "TIFF", compression=compression)
    decoded = decode(stream.getvalue())
    if mode == "CMYK":  # no PNG holds it
        assert np.array_equal(np.asarray(decoded.image), np.asarray(image.convert("RGB")))
    else:
        as_png = io.BytesIO()
        image.save(as_png, "PNG")
        other = decode(as_png.getvalue())
        assert np.array_equal(np.asarray(decoded.image), np.asarray(other.image))
        assert decoded.changes == other.changes


def test_sixteen_bits_are_divided_by_257_as_in_a_png() -> None:
    samples = noise("u2", 9, 11)
    samples.flat[:6] = [0, 65535, 128, 129, 32767, 32768]
    tiff, png = decode(written(samples)), decode(cv2.imencode(".png", samples)[1].tobytes())
    assert np.array_equal(np.asarray(tiff.image), np.asarray(png.image))
    assert np.array_equal(np.asarray(tiff.image), np.rint(samples / 257.0))
    assert tiff.changes == png.changes == ("16 bits to 8",)


def test_a_window_is_for_pngs_as_well_and_not_for_bytes() -> None:
    """Twelve bits in sixteen, as most cameras of microscopes write them."""
    samples = noise("u2", 9, 11, 3) >> 4
    png = decode(cv2.imencode(".png", samples)[1].tobytes(), (0, 4095))
    assert np.array_equal(np.asarray(png.image), np.rint(samples[..., ::-1] / 4095 * 255))
    assert png.changes == ("window 0 to 4095",)
    plain = noise("u1", 9, 11)
    assert np.array_equal(np.asarray(decode(written(plain), (0, 10)).image), plain)
    assert decode(written(plain), (0, 10)).changes == ()


def test_fractions_need_no_window_and_others_do() -> None:
    shares = np.random.default_rng(1).random((7, 5)).astype(np.float32)
    decoded = decode(written(shares))
    assert np.array_equal(np.asarray(decoded.image), np.rint(shares.astype(float) * 255))
    assert decoded.changes == ("rounded to 256 levels",)
    said = (
        "floating-point 32-bit samples, from .* to 1.5: which of them are black and white is said by --window"
    )
    for bad, reason in ((1.5, said), (-0.1, "from -0.1 to"), (np.nan, "from nan to nan")):
        shares[3, 3] = bad
        with pytest.raises(UnusableImage, match=reason):
            decode(written(shares))
    for kind in ("i2", "u4", "i4"):
        with pytest.raises(UnusableImage, match=r"(un)?signed (16|32)-bit samples.*--window LOW,HIGH"):
            decode(written(noise(kind, 4, 4)))


def test_what_is_no_number_becomes_black_and_is_counted() -> None:
    samples = np.array([[np.nan, -np.inf, np.inf, 5.0]], np.float32)
    decoded = decode(written(samples), (0, 10))
    assert np.asarray(decoded.image).tolist() == [[0, 0, 255, 128]]
    assert decoded.changes == ("window 0 to 10", "NaN to black")


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_white_is_zero(kind: str) -> None:
    """As scanners write it: the same picture as black is zero, inverted."""
    samples = noise(kind, 6, 7)
    inverted = np.asarray(decode(written(samples, photometric="miniswhite")).image)
    assert np.array_equal(inverted, 255 - np.asarray(decode(written(samples)).image))


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_alpha_is_scaled_by_its_type_and_composed_on_black(kind: str) -> None:
    samples = np.random.default_rng(2).random((5, 6, 4))
    stored = (samples * 65535).astype(np.uint16) if kind == "u2" else samples.astype(np.float32)
    top = 65535 if kind == "u2" else 1
    window = (0.0, 0.5 * top)
    decoded = decode(written(stored, extrasamples=["unassalpha"]), window)
    colours = windowed(stored[..., :3], *window).astype(float)
    expected = colours * np.rint(stored[..., 3:].astype(float) / top * 255) / 255
    assert np.abs(np.asarray(decoded.image) - expected).max() <= 0.5 + 1e-9
    assert decoded.changes[-1] == "transparency on black"
    # Colours that were multiplied already are what is seen on black.
    associated = decode(written(stored, extrasamples=["assocalpha"]), window)
    assert np.array_equal(np.asarray(associated.image), colours)
    assert associated.changes == decoded.changes


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_oracle_orientation_is_that_of_opencv(orientation: int, kind: str) -> None:
    stored = noise(kind, 5, 8)
    content = written(stored, extratags=[(274, "H", 1, orientation, True)])
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    by_hand = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.T,
        6: stored[::-1].T, 7: stored[::-1, ::-1].T, 8: stored[:, ::-1].T,
    }[orientation]  # fmt: skip
    decoded = decode(content)
    assert np.array_equal(np.asarray(decoded.image), eight_bits(np.ascontiguousarray(by_hand), None)[0])
    if kind == "u1":
        assert expected is not None
        assert np.array_equal(np.asarray(decoded.image), expected)
    turned = ("turned upright (EXIF)",)
    assert decoded.changes[-1:] == (
        () if orientation == 1 and kind == "u1" else ("16 bits to 8",) if orientation == 1 else turned
    )


def test_scikit_images_file_of_three_planes_by_hand() -> None:
    """A real one that Pillow does not open, and OpenCV opens wrongly: 64-bit fractions, plane by plane."""
    content = (Path(skimage.data.__file__).parent / "multipage_rgb.tif").read_bytes()
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        starts = file.pages.first.dataoffsets
    planes = [np.frombuffer(content, "<f8", 100, start).reshape(10, 10) for start in starts]
    decoded = decode(content)
    assert np.array_equal(np.asarray(decoded.image), np.rint(np.stack(planes, axis=2) * 255))
    assert decoded.changes == ("first of several frames", "rounded to 256 levels")


def test_first_of_several_pages() -> None:
    pages = noise("u2", 3, 8, 9)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for page in pages:
            writer.write(page, photometric="minisblack", metadata=None)
    decoded = decode(stream.getvalue())
    assert np.array_equal(np.asarray(decoded.image), np.rint(pages[0] / 257.0))
    assert decoded.changes == ("first of several frames", "16 bits to 8")


def test_big_tiff_and_imagej() -> None:
    samples = noise("u2", 12, 10)
    expected = np.rint(samples / 257.0)
    for options in ({"bigtiff": True}, {"imagej": True, "metadata": {}}):
        assert np.array_equal(np.asarray(decode(written(samples, **options)).image), expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (written(noise("u2", 6, 6))[:-30], "damaged|truncated"),
        (written(noise("f4", 6, 6, 5), **BANDS), "5 samples of 32 bits"),
        (written(noise("u1", 6, 6, 7), **BANDS), "7 samples of 8 bits"),
        (
            written(noise("u2", 6, 6)).replace(b"\x03\1\3\0\1\0\0\0\1\0", b"\x03\1\3\0\1\0\0\0\7\0"),
            "compression JPEG",
        ),
        (written(np.zeros((6, 6), np.complex64)), "samples of 64 bits, format 6"),
        (written(noise("u2", 6, 6), tile=(16, 16), compression="jpeg2000"), "compression .*JPEG.?2000"),
        (
            written(noise("u2", 3, 16, 16), volumetric=True, tile=(16, 16, 16), photometric="minisblack"),
            "first page has 3 layers",
        ),
        (b"II*\0\xff\xff\xff\xff", "damaged|not a PNG"),
        (b"MM\0*", "damaged|not a PNG"),
        (written(np.zeros((5001, 5001), np.uint16), compression="zlib"), "5,001 × 5,001 px, over the limit"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnusableImage, match=reason):
        decode(content, (0, 1))


def decoded_or_reason(content: bytes) -> tuple[int, int] | str:
    try:
        return decode(content).image.size
    except UnusableImage as error:
        return str(error).partition(" ")[0]


@pytest.mark.parametrize(
    ("packing", "expected"),
    [
        ("zlib", "damaged"),
        ("lzma", (16, 16)),
        ("zstd", "damaged"),
        ("lzw", (16, 16)),
        ("packbits", "damaged"),
    ],
)
def test_a_strip_gives_no_more_than_its_samples(packing: str, expected: object) -> None:
    """It holds thousands of times more: the memory stays that of the file and the image."""
    large = written(np.zeros((4000, 4000), np.uint16), compression=packing, rowsperstrip=4000)
    assert len(large) < 1_000_000
    changed = bytearray(large)
    with tifffile.TiffFile(io.BytesIO(large)) as file:
        for tag in (file.pages.first.tags[name] for name in ("ImageLength", "RowsPerStrip", "ImageWidth")):
            changed[tag.valueoffset : tag.valueoffset + 2] = (16).to_bytes(2, "little")
    tracemalloc.start()
    try:
        assert decoded_or_reason(bytes(changed)) == expected
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < len(large) * 4 + 1_000_000


def test_more_strips_than_pixels_need_and_strips_longer_than_the_file() -> None:
    content = written(noise("u2", MAX_PARTS + 1, 1), rowsperstrip=1)
    with pytest.raises(UnusableImage, match=r"100,001 strips or tiles, more than 100,000"):
        decode(content)
    again = bytearray(written(noise("u2", 64, 64), rowsperstrip=8, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(again)) as file:
        page = file.pages.first
        counts = page.tags["StripByteCounts"]
        for tag in (page.tags["StripOffsets"], counts):
            value = 8 if tag.name == "StripOffsets" else len(again) - 8
            n_bytes = tag.valuebytecount // tag.count
            again[tag.valueoffset : tag.valueoffset + n_bytes * tag.count] = (
                value.to_bytes(n_bytes, "little") * tag.count
            )
    with pytest.raises(UnusableImage, match="longer than the file"):
        decode(bytes(again))
    again[counts.valueoffset : counts.valueoffset + n_bytes] = bytes(n_bytes)
    with pytest.raises(UnusableImage, match="strips or tiles have no data"):
        decode(bytes(again))


@pytest.mark.parametrize(
    ("package", "compression", "said"),
    [
        (
            "tifffile",
            None,
            r"'tifffile': .* A TIFF with samples of 16 bits needs it\. Run: .*shiftproof\[tiff\]",
        ),
        ("imagecodecs", "lzw", r"'imagecodecs': .* A TIFF of 16-bit samples under LZW needs it"),
    ],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, compression: str | None, said: str
) -> None:
    content = written(noise("u2", 6, 6), compression=compression)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=said):
        decode(content)
    # Plain bytes need neither.
    assert decode(written(noise("u1", 6, 6))).image.size == (6, 6)


def test_nothing_is_logged_of_a_damaged_file() -> None:
    """In a process of its own: pytest listens to all that is logged."""
    content = bytearray(written(noise("u2", 64, 6), rowsperstrip=8))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        content[file.pages.first.tags["RowsPerStrip"].valueoffset] = 7
    code = "import sys; from shiftproof.data._decode import decode; decode(sys.stdin.buffer.read())"
    run = subprocess.run([sys.executable, "-c", code], input=bytes(content), capture_output=True, check=False)
    last = run.stderr.decode().splitlines()[-1]
    assert "UnusableImage: damaged (8 strips or tiles where 10 are needed)" in last
    assert b"StripOffsets" not in run.stderr


@settings(max_examples=150)
@given(
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 255),
    kind=st.sampled_from(["u2", "f4", "i4"]),
    compression=st.sampled_from([None, "zlib"]),
)
def test_a_changed_byte_is_an_image_or_a_reason(
    place: float, value: int, kind: str, compression: str | None
) -> None:
    content = bytearray(written(noise(kind, 8, 8, 3), compression=compression))
    content[int(place * len(content))] = value
    try:
        image = decode(bytes(content), (0, 1)).image
    except UnusableImage:
        pass
    else:
        assert image.width * image.height <= MAX_PIXELS
        assert image.mode in ("L", "RGB")
