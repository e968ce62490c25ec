"""Images and labels in one NumPy archive; nothing in it is run."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, cast

import numpy.lib.format as npy
import numpy.typing as npt

from shiftproof.data._arrays import CHANNELS, from_arrays
from shiftproof.data._images import LabelledImages
from shiftproof.data._listing import as_text
from shiftproof.data._reading import AS_USUAL, Reading
from shiftproof.errors import DataError

MAX_BYTES = 4 * 1024**3


def load_npz(file: Path, reading: Reading = AS_USUAL) -> LabelledImages:
    """Images and labels of an `.npz` file.

    Args:
        file: Holds `images`, uint8, uint16, or float in [0, 1], or anything that is a number with a window,
            of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C among 1, 3 and 4, and, if there are
            labels, `labels`, integers of shape (N,), −1 where unknown.
        reading: Its window is what is black and what is white.

    Raises:
        DataError: No such file or arrays, another type or shape, Python objects, or numbers out of range.
    """
    reading.refuse("root", "path_column", "label_column", source="an .npz file")
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
        raise DataError.cannot(f"read {file.name!r}", error.strerror or error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise DataError.cannot(
            f"read {file.name!r} as an .npz file", error, cause="It is damaged, or something else."
        ) from error
    what = f"`images` of {file.name!r}"
    return from_arrays(
        _with_channels(images, what), labels, name=as_text(file.name), what=what, window=reading.window
    )


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


def _with_channels(images: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """A file comes from anywhere: where either axis could be that of the channels, none is assumed."""
    if images.ndim == 3:
        return images[:, None]
    first, last = ((images.ndim == 4 and images.shape[axis] in CHANNELS) for axis in (1, 3))
    if last == first:
        raise DataError(
            f"{what} of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C among 1, 3, 4",
            images.shape,
            cause="It could be either of the last two." if last else "",
        )
    return images
