"""NumPy archives: three layouts, two types, and nothing that could run or fill the memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from shiftproof.data import LabelledImages, load_images
from shiftproof.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 5), dtype=np.uint8)


def load(folder: Path, **arrays: object) -> LabelledImages:
    np.savez_compressed(folder / "x.npz", **arrays)  # type: ignore[arg-type]
    images = load_images(str(folder / "x.npz"), image_shape=None)
    assert isinstance(images, LabelledImages)
    return images


def test_three_layouts_are_one(tmp_path: Path) -> None:
    first = load(tmp_path, images=IMAGES, labels=np.array([2, 0, -1, 2], np.int16))
    last = load(tmp_path, images=IMAGES.transpose(0, 2, 3, 1), labels=np.array([2, 0, -1, 2]))
    assert np.array_equal(first.images, IMAGES)
    assert first.digest == last.digest
    assert first.labels.tolist() == [2, 0, -1, 2]
    assert (first.class_names, first.name, first.conversions) == (("0", "1", "2"), "x.npz", {})
    grey = load(tmp_path, images=IMAGES[:, 0])
    assert grey.images.shape == (4, 1, 6, 5)
    assert (grey.labels.tolist(), grey.class_names) == ([-1] * 4, ())


@pytest.mark.parametrize("kind", [np.float16, np.float32, ">f8"])
def test_fractions_become_bytes(tmp_path: Path, kind: object) -> None:
    images = load(tmp_path, images=(IMAGES / 255).astype(kind))  # type: ignore[call-overload]
    assert np.array_equal(images.images, IMAGES)
    assert images.take(torch.tensor([1, 2])).conversions == {"rounded to 256 levels": 2}


def test_four_channels_are_composed_on_black_for_rgb(tmp_path: Path) -> None:
    pixels = np.array([200, 100, 0, 51], np.uint8).reshape(1, 4, 1, 1).repeat(2, axis=3)
    np.savez(tmp_path / "x.npz", images=pixels)
    rgb = load_images(str(tmp_path / "x.npz"), image_shape=(3, 1, 2))
    assert rgb.pixels(slice(None))[0, :, 0, 1].tolist() == [40, 20, 0]
    assert rgb.conversions == {"transparency on black": 1}
    same = load_images(str(tmp_path / "x.npz"), image_shape=(4, 1, 2))
    assert isinstance(same, LabelledImages)
    with pytest.raises(DataError, match="1 or 3 channels, got one that takes 4"):
        load_images(str(tmp_path / "x.npz"), image_shape=(4, 2, 2))


def broken(value: float) -> np.ndarray:
    images = np.full((300, 2, 2), 0.5)
    images[299, 1, 1] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"pictures": IMAGES}, "an array `images` in 'x.npz', got 'pictures'"),
        ({"images": np.array([object()] * 4, dtype=object)}, "numbers in `images` .* got the type object"),
        ({"images": IMAGES, "labels": np.array(["a"] * 4, dtype=object)}, "numbers in `labels`"),
        ({"images": IMAGES, "labels": np.array(["a"] * 4)}, "numbers in `labels` .* got the type <U1"),
        ({"images": broken(1.5)}, "from 0 to 1 .* got 0.5 to 1.5 in images 256 to 299"),
        ({"images": broken(-0.001)}, "got -0.001 to 0.5"),
        ({"images": broken(float("nan"))}, "finite values from 0 to 1"),
        ({"images": broken(float("inf"))}, "got 0.5 to inf"),
        ({"images": IMAGES.astype(np.int64)}, "uint8 or uint16, or float .* got int64. Save `images.astype"),
        ({"images": IMAGES[0, 0]}, r"\(N, H, W\), \(N, H, W, C\) or .* got \(6, 5\)"),
        ({"images": np.zeros((4, 7, 6, 5), np.uint8)}, r"got \(4, 7, 6, 5\)"),
        ({"images": np.zeros((4, 3, 6, 3), np.uint8)}, "could be either of the last two"),
        ({"images": IMAGES[:0]}, "at least one image"),
        (
            {"images": IMAGES, "labels": np.zeros(3, int)},
            "one label for each of the 4 images of `images` of 'x.npz', got 3 labels",
        ),
        (
            {"images": IMAGES, "labels": np.zeros(4)},
            r"an integer or a name as the label of `images` of 'x.npz'\[0\], got float64 0.0",
        ),
        ({"images": IMAGES, "labels": np.array([0, 1, 2, -3])}, "or −1 for unknown, got -3"),
        ({"images": IMAGES, "labels": np.array([0, 1, 2, 2**63], np.uint64)}, "got 9223372036854775808"),
    ],
)
def test_faults_are_named(tmp_path: Path, arrays: dict[str, object], match: str) -> None:
    with pytest.raises(DataError, match=match):
        load(tmp_path, **arrays)


def member(shape: tuple[int, ...], n_bytes: int) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(n_bytes)


def test_a_header_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images.npy", member((10**9, 10**3, 10**3), 100))
    with pytest.raises(DataError, match="as long as its header says"):
        load_images(str(tmp_path / "x.npz"), image_shape=None)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x04K\x01."])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"Cannot read 'x\.npz' as an \.npz file"):
        load_images(str(tmp_path / "x.npz"), image_shape=None)


def test_truncated_and_damaged_archives(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=IMAGES)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    (tmp_path / "x.npz").write_bytes(content[:-50])
    with pytest.raises(DataError, match=r"as an \.npz file"):
        load_images(str(tmp_path / "x.npz"), image_shape=None)
    content[len(content) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"as an \.npz file"):
        load_images(str(tmp_path / "x.npz"), image_shape=None)
