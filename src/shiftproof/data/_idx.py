"""The IDX format of MNIST and its descendants: a header of big-endian integers, then bytes.

Format: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits. Bytes 0 and 1 are
zero, byte 2 is the type (8: unsigned byte), byte 3 the number of axes, then one 32-bit size per axis.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from shiftproof._inputs import Most, check_unpacked, open_file
from shiftproof.data._images import LabelledImages
from shiftproof.errors import DataError

UNSIGNED_BYTE = 8
MAX_BYTES = 4 * 1024**3
SPLITS = {"train": "train", "test": "t10k"}


def read_idx(path: Path, *, n_axes: int) -> Tensor:
    """Read one IDX file of unsigned bytes, plain or gzip.

    Args:
        path: The file; a name that ends in `.gz` is unpacked.
        n_axes: How many axes it must have: 3 for images, 1 for labels.

    Returns:
        uint8 of the shape that the header states.

    Raises:
        DataError: Not an IDX file, another type or number of axes, or fewer or more bytes than the
            header promises. The message names the file and both counts.
    """
    try:
        with open_file(path, Most.ARRAYS) as plain:
            return _read(cast("BinaryIO", gzip.open(plain)) if path.suffix == ".gz" else plain, path, n_axes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError.cannot(
            f"unpack the {path.stat().st_size} bytes of {path.name}",
            error,
            cause="The file is truncated or damaged.",
            fix="Fetch it again.",
        ) from error
    except OSError as error:
        raise DataError.cannot(f"read {path.name}", error.strerror or error) from error


def _read(file: BinaryIO, path: Path, n_axes: int) -> Tensor:
    header = file.read(4)
    magic = bytes([0, 0, UNSIGNED_BYTE, n_axes])
    if header != magic:
        raise DataError(
            f"{path.name} to begin with the bytes {magic.hex(' ')}",
            header.hex(" ") or "an empty file",
            cause=_why_wrong_magic(header),
        )
    sizes = file.read(4 * n_axes)
    if len(sizes) < 4 * n_axes:
        raise DataError(f"a header of {4 + 4 * n_axes} bytes in {path.name}", f"{4 + len(sizes)} bytes")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
    n_bytes = math.prod(shape)
    if n_bytes > MAX_BYTES:
        raise DataError(
            f"at most {MAX_BYTES:,} bytes of data in {path.name}",
            f"a header that promises {n_bytes:,}",
            cause="The header is damaged.",
        )
    if path.suffix == ".gz":
        check_unpacked(n_bytes, path.stat().st_size, Most.ARRAYS)
    # One byte more than promised is enough to see that there is too much.
    content = file.read(n_bytes + 1)
    if len(content) != n_bytes:
        more = "more" if len(content) > n_bytes else f"{len(content):,}"
        raise DataError(
            f"{n_bytes:,} bytes of data in {path.name} (shape {shape})",
            more,
            cause="The file is truncated." if more != "more" else "Something was appended to it.",
            fix="Fetch it again.",
        )
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(shape).copy())


def _why_wrong_magic(header: bytes) -> str:
    if header[:2] == b"\x1f\x8b":
        return "It is a gzip file: its name must end in .gz."
    if len(header) == 4 and header[:2] == b"\0\0" and header[2] == UNSIGNED_BYTE:
        return f"It has {header[3]} axes: are images and labels exchanged?"
    return "It is not an IDX file of unsigned bytes."


def load_idx_folder(folder: Path, split: str, *, name: str | None = None) -> LabelledImages:
    """Images and labels of an IDX folder with the four file names of MNIST, plain or `.gz`.

    Args:
        folder: Holds `train-images-idx3-ubyte` and its three companions (Fashion-MNIST, KMNIST,
            QMNIST and EMNIST come in the same form).
        split: `train` or `test`.
        name: Name for reports; the folder's by default.

    Raises:
        DataError: A file is missing or damaged, or images and labels differ in number.
    """
    prefix = SPLITS[split]
    image_path = _find(folder, f"{prefix}-images-idx3-ubyte")
    label_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
    images = read_idx(image_path, n_axes=3)
    labels = read_idx(label_path, n_axes=1).long()
    if len(images) != len(labels):
        raise DataError(
            f"as many labels in {label_path.name} as images in {image_path.name} ({len(images):,})",
            f"{len(labels):,}",
            cause="The two files do not belong together.",
        )
    if not images.numel():
        raise DataError(
            f"at least one image with pixels in {image_path.name}", f"shape {tuple(images.shape)}"
        )
    classes = tuple(str(label) for label in range(max(10, int(labels.max()) + 1)))
    return LabelledImages(f"{name or folder.name}/{split}", images[:, None], labels, classes)


def _find(folder: Path, stem: str) -> Path:
    if not folder.is_dir():
        raise DataError("a folder with IDX files", f"{str(folder)!r}, which is no folder")
    for name in (stem, f"{stem}.gz"):
        if (folder / name).is_file():
            return folder / name
    present = sorted(path.name for path in folder.iterdir())[:8]
    raise DataError(
        f"{stem} or {stem}.gz in {str(folder)!r}",
        f"only {', '.join(present)}" if present else "an empty folder",
        fix="An IDX folder has four files: train and t10k, images-idx3-ubyte and labels-idx1-ubyte.",
    )
