"""Every file that will be used is decoded once before: what cannot be used is known at the start."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from shiftproof.data._decode import MAX_PIXELS, decode
from shiftproof.data._frame import Frame
from shiftproof.data._images import Skipped
from shiftproof.data._samples import UnusableImage
from shiftproof.data._side_by_side import side_by_side
from shiftproof.errors import DataError

# More than `MAX_PIXELS` pixels need without any compression.
MAX_FILE_BYTES = 8 * MAX_PIXELS + 2**20
N_SHOWN = 5


class Entry(NamedTuple):
    """A file that claims to be an image: its name in the set, where it is, and its label."""

    name: str
    path: Path
    label: int


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that was decoded once, to be decoded again when it is needed; see `Original`.

    Args:
        name: Its name in the set.
        path: Where it is.
        root: The folder that it must be in.
        sha256: Of its bytes, as 64 hex digits.
        changes: What decoding and framing do to it, in words.
    """

    name: str
    path: Path
    root: Path
    sha256: str
    changes: tuple[str, ...]

    @property
    def key(self) -> str:
        """Content and name."""
        return f"{self.sha256} {self.name}"

    def read(self) -> Image.Image:
        """The image, of mode L or RGB.

        Raises:
            DataError: The file is not any more what it was when it was checked.
        """
        try:
            content = read_file(self.path, self.root)
            if hashlib.sha256(content).hexdigest() != self.sha256:
                raise UnusableImage("other content")
            return decode(content).image
        except UnusableImage as error:
            raise DataError(
                f"the image {self.name!r} as it was when it was checked",
                error,
                cause="It was changed while it was in use.",
                fix="Run again, and leave the images alone meanwhile.",
            ) from error


class Checked(NamedTuple):
    """A file that can be used: its label, (height, width), and channels (1 or 3)."""

    file: ImageFile
    label: int
    size_px: tuple[int, int]
    n_channels: int


def check_files(
    entries: Sequence[Entry], root: Path, frame: Frame | None, *, n_wanted: int, max_bad: float
) -> tuple[list[Checked], list[Skipped]]:
    """Decode files in their order until there are as many good ones as wanted, or no more.

    Args:
        entries: The files.
        root: The folder that they must be in.
        frame: What they will be brought to; None where that is not known yet.
        n_wanted: How many are enough.
        max_bad: The share of unusable files, of those decoded, that is put up with.

    Raises:
        DataError: More unusable files than that, or no usable one.
        OptionError: An image is too small for the scene once it is resized.
    """
    good: list[Checked] = []
    bad: list[Skipped] = []
    rest = iter(entries)
    while len(good) < n_wanted and (batch := list(islice(rest, n_wanted - len(good)))):
        for result in side_by_side(partial(_check, root=root, frame=frame), batch):
            if isinstance(result, Skipped):
                bad.append(result)
            else:
                good.append(result)
        _refuse_too_many(bad, len(good) + len(bad), max_bad)
    return good, bad


def read_file(path: Path, root: Path) -> bytes:
    """The bytes of an ordinary file inside a folder; `UnusableImage` for anything else."""
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(root):
            raise UnusableImage("a link that leaves the folder")
        mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnusableImage("a folder, not a file")
        # Opening a pipe would wait forever, and a device has no end.
        if not stat.S_ISREG(mode):
            raise UnusableImage("not an ordinary file")
        with real.open("rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            # `read` sets aside what it is asked for: to ask for the limit would cost that much each time.
            content = file.read(min(n_bytes, MAX_FILE_BYTES) + 1)
    except OSError as error:
        raise UnusableImage(f"cannot be read ({error.strerror or error})") from error
    except (ValueError, RuntimeError) as error:
        # A name with a null byte, or links in a circle.
        raise UnusableImage(f"cannot be read ({error})") from error
    if not content:
        raise UnusableImage("an empty file")
    if len(content) > MAX_FILE_BYTES:
        raise UnusableImage(f"over the limit of {MAX_FILE_BYTES:,} bytes")
    return content


def _check(entry: Entry, *, root: Path, frame: Frame | None) -> Checked | Skipped:
    try:
        content = read_file(entry.path, root)
        image, changes = decode(content)
        size_px, n_channels = (image.height, image.width), len(image.getbands())
        if frame is not None and frame.is_too_large(size_px):
            raise UnusableImage(f"{size_px[0]} × {size_px[1]} px: too long and thin to be resized")
    except UnusableImage as error:
        return Skipped(entry.name, str(error))
    file = ImageFile(entry.name, entry.path, root, hashlib.sha256(content).hexdigest(), changes)
    return Checked(file, entry.label, size_px, n_channels)


def _refuse_too_many(bad: list[Skipped], n_checked: int, max_bad: float) -> None:
    if len(bad) == n_checked:
        raise DataError("at least one usable image", f"none ({_first(bad)})")
    if len(bad) > max_bad * n_checked:
        share = math.ceil(100 * len(bad) / n_checked) / 100
        raise DataError(
            f"at most {100 * max_bad:g} % of {n_checked:,} files to be unusable",
            f"{len(bad):,}: {_first(bad)}",
            fix=f"Repair or remove them, or do without them: --max-bad {share:g}.",
        )


def _first(bad: list[Skipped]) -> str:
    shown = "; ".join(f"{name!r}: {reason}" for name, reason in bad[:N_SHOWN])
    return f"{shown}; and {len(bad) - N_SHOWN:,} more" if len(bad) > N_SHOWN else shown
