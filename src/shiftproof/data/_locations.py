"""Where the bytes of an image file are: in a folder, at an address, or inside a larger file."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._inputs import Most, open_file
from shiftproof.data._decode import MAX_PIXELS
from shiftproof.data._samples import UnusableImage

# More than `MAX_PIXELS` pixels need without any compression.
MAX_FILE_BYTES = 8 * MAX_PIXELS + 2**20


class Location(Protocol):
    """Where one image file is."""

    def content(self) -> bytes:
        """All of its bytes; `UnusableImage` where they cannot be had."""


@dataclass(frozen=True, slots=True)
class InFolder:
    """A file of this machine.

    Args:
        path: Where it is.
        roots: The folders, without links, that it must be in one of.
    """

    path: Path
    roots: tuple[Path, ...]

    def content(self) -> bytes:
        """The bytes of the file."""
        return read_file(self.path, self.roots)


@dataclass(frozen=True, slots=True)
class OnStore:
    """A file on a store.

    Args:
        address: Where it is.
    """

    address: Address

    def content(self) -> bytes:
        """The bytes of the file."""
        try:
            n_bytes = _store.size_of(self.address)
            check_length(0 if n_bytes is None else n_bytes)
            return _store.read(self.address, Most.ARRAYS)
        except OSError as error:
            raise UnusableImage(f"cannot be read ({_store.reason_of(error)})") from error


@dataclass(frozen=True, slots=True)
class PartOf:
    """Some bytes of a larger file, such as a member of a tar file.

    Args:
        file: The larger file.
        start: Where they begin.
        n_bytes: How many they are.
    """

    file: Path | Address
    start: int
    n_bytes: int

    def content(self) -> bytes:
        """These bytes."""
        check_length(self.n_bytes)
        try:
            if isinstance(self.file, Address):
                return _store.read_part(self.file, self.start, self.n_bytes)
            with open_file(self.file, Most.SHARD) as file:
                file.seek(self.start)
                content = file.read(self.n_bytes)
        except OSError as error:
            raise UnusableImage(f"cannot be read ({_store.reason_of(error)})") from error
        if len(content) != self.n_bytes:
            raise UnusableImage(f"{self.n_bytes:,} bytes where {self.file.name} has only {len(content):,}")
        return content


def opened(file: Path | Address, most: Most) -> BinaryIO:
    """A file of this machine or of a store, open for reading anywhere in it.

    Raises:
        OSError: It cannot be opened, or is larger than its kind may be.
    """
    return _store.open_at(file, most) if isinstance(file, Address) else open_file(file, most)


def check_length(n_bytes: int) -> None:
    """`UnusableImage` for a length that no image file may have."""
    if not n_bytes:
        raise UnusableImage("an empty file")
    if n_bytes > MAX_FILE_BYTES:
        raise UnusableImage(f"over the limit of {MAX_FILE_BYTES:,} bytes")


def read_file(path: Path, roots: Sequence[Path]) -> bytes:
    """The bytes of an ordinary file inside one of some folders; `UnusableImage` for anything else."""
    try:
        real = path.resolve(strict=True)
        if not any(real.is_relative_to(root) for root in roots):
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
    check_length(len(content))
    return content
