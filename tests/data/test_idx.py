"""The IDX reader: whole files are read, damaged ones are named with their byte counts."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from shiftproof.data import LabelledImages, load_data, load_idx_folder, read_idx
from shiftproof.errors import DataError, UnknownNameError

MNIST = Path(__file__).parents[2] / "src" / "shiftproof" / "data" / "mnist"
FASHION = Path("/usr/share/datasets/fashion-mnist")
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for prefix, n in (("train", 12), ("t10k", 5)):
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", generator.integers(0, 256, (n, 6, 4)))
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte.gz", np.arange(n) % 10)
    return tmp_path


@pytest.mark.parametrize("name", MD5)
def test_reference_mnist_is_the_published_one(name: str) -> None:
    content = gzip.decompress((MNIST / f"{name}.gz").read_bytes())
    assert hashlib.md5(content).hexdigest() == MD5[name]


def test_oracle_mnist_pixels_are_those_of_the_bytes() -> None:
    """Independent reading: NumPy on the unpacked bytes after the header."""
    content = gzip.decompress((MNIST / "t10k-images-idx3-ubyte.gz").read_bytes())
    expected = np.frombuffer(content, np.uint8, offset=16).reshape(10_000, 1, 28, 28)
    test = load_data("mnist", "test")
    assert np.array_equal(test.images.numpy(), expected)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert test.class_names == tuple("0123456789")
    assert test.name == "mnist/test"


def test_plain_and_gzip_folders(folder: Path) -> None:
    train = load_data(f"idx:{folder}", "train")
    assert (len(train), train.size_px, int(train.labels[3])) == (12, (6, 4), 3)
    assert len(load_idx_folder(folder, "test")) == 5


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_a_second_data_set() -> None:
    assert load_data(f"idx:{FASHION}", "train").images.shape == (60_000, 1, 28, 28)


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte or .*gz in .* got only t10k-images"):
        load_idx_folder(folder, "test")
    with pytest.raises(DataError, match="a folder with IDX files"):
        load_idx_folder(folder / "nowhere", "test")


def test_truncated_file_names_both_counts(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"288 bytes of data in train-images-idx3-ubyte .* got 281"):
        load_idx_folder(folder, "train")
    path.write_bytes(path.read_bytes()[:9])
    with pytest.raises(DataError, match="header of 16 bytes in train-images-idx3-ubyte, got 9 bytes"):
        read_idx(path, n_axes=3)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        read_idx(path, n_axes=3)


def test_truncated_gzip_is_named(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"Cannot unpack .* bytes of train-labels-idx1-ubyte\.gz: "):
        load_idx_folder(folder, "train")


def test_appended_bytes_are_an_error(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(DataError, match=r"got more\. Something was appended"):
        load_idx_folder(folder, "train")


def test_exchanged_files_are_recognised(folder: Path) -> None:
    shutil.copy(folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte")
    with pytest.raises(DataError, match="are images and labels exchanged"):
        load_idx_folder(folder, "train")


def test_other_files_are_recognised(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(b"anything"))
    with pytest.raises(DataError, match=r"its name must end in \.gz"):
        load_idx_folder(folder, "train")
    path.write_bytes(b"\x89PNG....")
    with pytest.raises(DataError, match="begin with the bytes 00 00 08 03, got 89 50 4e 47"):
        load_idx_folder(folder, "train")


def test_header_cannot_ask_for_all_memory(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**20, 2**20))
    with pytest.raises(DataError, match="a header that promises"):
        load_idx_folder(folder, "train")


def test_counts_must_match(folder: Path) -> None:
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.zeros(11))
    with pytest.raises(DataError, match=r"images in train-images-idx3-ubyte \(12\), got 11"):
        load_idx_folder(folder, "train")


def test_references_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist'"):
        load_data("minst", "test")
    with pytest.raises(DataError, match="a folder after 'idx:'"):
        load_data("idx:", "test")
    with pytest.raises(UnknownNameError, match="Known: test, train"):
        load_data("mnist", "validation")  # type: ignore[arg-type]


def test_labelled_images_fit_together() -> None:
    images = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="one label for each of the 2 images"):
        LabelledImages("x", images, torch.tensor([0]), ("a",))
    with pytest.raises(DataError, match="labels from 0 to 0, got 0 to 1"):
        LabelledImages("x", images, torch.tensor([0, 1]), ("a",))
    with pytest.raises(DataError, match="uint8 images"):
        LabelledImages("x", images.float(), torch.tensor([0, 1]), ("a", "b"))


def test_digest_sees_every_part() -> None:
    images = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    labels = torch.tensor([0, 1])
    other = images.clone()
    other[1, 0, 2, 2] = 1
    sets = [
        LabelledImages("x", images, labels, ("a", "b")),
        LabelledImages("x", other, labels, ("a", "b")),
        LabelledImages("x", images, labels.flip(0), ("a", "b")),
        LabelledImages("x", images, labels, ("a", "c")),
        LabelledImages("x", images.reshape(2, 1, 9, 1), labels, ("a", "b")),
    ]
    assert len({data.digest for data in sets}) == len(sets)
    assert LabelledImages("y", images, labels, ("a", "b")).digest == sets[0].digest


def test_split_is_a_partition() -> None:
    data = load_data("mnist", "test").head(100)
    first, second = data.split(0.25, seed=3)
    assert (len(first), len(second)) == (75, 25)
    together = torch.cat([first.images, second.images]).flatten(1).float().sum(1).sort().values
    assert torch.equal(together, data.images.flatten(1).float().sum(1).sort().values)
    assert data.split(0.25, seed=3)[1].digest == second.digest
    assert data.split(0.25, seed=4)[1].digest != second.digest
