"""Images and labels in one NumPy archive; nothing in it is run."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt
import torch
from torch import Tensor

from shiftproof.data._images import UNKNOWN, LabelledImages
from shiftproof.data._listing import as_text
from shiftproof.data._manifest import names_up_to
from shiftproof.errors import DataError

MAX_BYTES = 4 * 1024**3
CHANNELS = (1, 3, 4)
ROWS_AT_ONCE = 256


def load_npz(file: Path) -> LabelledImages:
    """Images and labels of an `.npz` file.

    Args:
        file: Holds `images`, uint8, or float in [0, 1], of shape (N, H, W), (N, H, W, C) or
            (N, C, H, W) with C among 1, 3 and 4, and, if there are labels, `labels`, integers of shape
            (N,), −1 where unknown.

    Raises:
        DataError: No such file or arrays, another type or shape, Python objects, or numbers out of range.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            if "images" not in members:
                raise DataError(
                    f"an array `images` in {file.name!r}", ", ".join(map(repr, sorted(members))) or "nothing"
                )
            images = _read(archive, "images", file.name)
            labels = _read(archive, "labels", file.name) if "labels" in members else None
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"to be able to read {file.name!r}", error.strerror or error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"{file.name!r} to be a whole .npz file", error, cause="It is damaged, or something else."
        ) from error
    pixels, changes = _pixels(images, file.name)
    numbers, class_names = _labels(labels, len(pixels), file.name)
    conversions = dict.fromkeys(changes, len(pixels))
    return LabelledImages(as_text(file.name), pixels, numbers, class_names, conversions=conversions)


def _read(archive: zipfile.ZipFile, name: str, source: str) -> npt.NDArray[Any]:
    """An array, after its header: it must be data, and as long as the archive says."""
    about = archive.getinfo(f"{name}.npy")
    with archive.open(about) as member:
        stream = cast("Any", member)
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = reader(stream)
        n_bytes = about.file_size - member.tell()
    if not all(type(size) is int and size >= 0 for size in shape):
        raise DataError(f"sizes that are whole numbers in the header of `{name}` of {source!r}", shape)
    if dtype.hasobject or dtype.kind not in "buif":
        raise DataError(
            f"numbers in `{name}` of {source!r}", f"the type {dtype}", cause="Objects are not read."
        )
    n_promised = math.prod(shape) * dtype.itemsize
    if n_promised != n_bytes or n_bytes > MAX_BYTES:
        raise DataError(
            f"`{name}` of {source!r} to be as long as its header says, and at most {MAX_BYTES:,} bytes",
            f"{n_bytes:,} bytes where {n_promised:,} are announced",
            fix="Save it again, in several files if it is too large.",
        )
    with archive.open(about) as member:
        return npy.read_array(cast("Any", member), allow_pickle=False)


def _pixels(images: npt.NDArray[Any], source: str) -> tuple[Tensor, tuple[str, ...]]:
    images = _channels_first(images, source)
    if not images.size:
        raise DataError(f"at least one image in {source!r}", f"`images` of shape {images.shape}")
    if images.dtype == np.uint8:
        return torch.from_numpy(images), ()
    if images.dtype.kind != "f":
        raise DataError(
            f"`images` of type uint8, or float in [0, 1], in {source!r}",
            images.dtype,
            fix="Save `images.astype(numpy.uint8)` if the values are 0 to 255.",
        )
    bytes_ = np.empty(images.shape, dtype=np.uint8)
    for start in range(0, len(images), ROWS_AT_ONCE):
        part = images[start : start + ROWS_AT_ONCE].astype(np.float64)
        # A comparison with NaN is false, so that it is caught as well.
        if not ((part >= 0) & (part <= 1)).all():
            raise DataError(
                f"finite values from 0 to 1 in the floating-point `images` of {source!r}",
                f"{part.min():g} to {part.max():g} in images {start} to {start + len(part) - 1}",
                fix="Divide by 255, or save uint8.",
            )
        bytes_[start : start + ROWS_AT_ONCE] = np.rint(part * 255)
    return torch.from_numpy(bytes_), ("rounded to 256 levels",)


def _channels_first(images: npt.NDArray[Any], source: str) -> npt.NDArray[Any]:
    """(N, C, H, W) of any of the three layouts."""
    if images.ndim == 3:
        return images[:, None]
    first, last = ((images.ndim == 4 and images.shape[axis] in CHANNELS) for axis in (1, 3))
    if last == first:
        raise DataError(
            f"`images` of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C among 1, 3, 4 in {source!r}",
            images.shape,
            cause="It could be either of the last two." if last else "",
        )
    return images.transpose(0, 3, 1, 2) if last else images


def _labels(labels: npt.NDArray[Any] | None, n: int, source: str) -> tuple[Tensor, tuple[str, ...]]:
    if labels is None:
        return torch.full((n,), UNKNOWN), ()
    if labels.dtype.kind not in "ui" or labels.shape != (n,):
        raise DataError(
            f"`labels` of {source!r} to be integers of shape ({n},)",
            f"{labels.dtype} of shape {labels.shape}",
        )
    names = names_up_to(int(labels.min()), int(labels.max()), source)
    return torch.from_numpy(labels.astype(np.int64)), names
