"""The one door for files that somebody else wrote: ordinary files only, no larger than their kind is.

A pipe would be waited for without an end, a device has no end, and an archive may be small and still fill
the memory. All of that is found out before anything is read.
"""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

GIB = 2**30
MORE = "SHIFTPROOF_MAX_GIB"
# What compresses better than this, and is larger than that, is made to fill the memory.
MAX_RATIO, RATIO_FROM_BYTES = 100, 2**28
MAX_MEMBERS = 100_000


class Most(IntEnum):
    """How many bytes a file of a kind may have, read or unpacked; the variable `MORE` raises all of them."""

    SETTINGS = 2**20
    CODE = 2**24
    RECORD = 2**28
    TABLE = 2**28
    ARRAYS = 4 * GIB
    MODEL = 4 * GIB
    WEIGHTS = 64 * GIB
    SHARD = 64 * GIB


class UnfitFile(OSError):
    """A file that is not opened, and why, in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def open_file(path: Path, most: Most) -> BinaryIO:
    """An ordinary file, open for reading.

    Args:
        path: Where it is; links are followed.
        most: What its kind may have at most.

    Raises:
        UnfitFile: A folder, a pipe, a device, a name that no file can have, or a file that is too large.
        OSError: As `open`.
    """
    check_file(path, most)
    # Without waiting: what is checked may be exchanged for a pipe before it is opened.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check(os.fstat(file.fileno()), most)
    except BaseException:
        file.close()
        raise
    return file


def check_file(path: Path, most: Most) -> None:
    """Nothing for a file that `open_file` would open; for libraries that open files by their names.

    Raises:
        UnfitFile: As `open_file`.
        OSError: There is none.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a null character, or half of a character
        raise UnfitFile("a name that no file can have") from error
    _check(found, most)


def read_file(path: Path, most: Most) -> bytes:
    """The content of an ordinary file.

    Raises:
        UnfitFile: As `open_file`.
        OSError: As `open`.
    """
    with open_file(path, most) as file:
        # `read` sets aside what it is asked for, so it is asked for no more than there is.
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1) or b""  # None where there is nothing yet, in a file that is none
    if len(content) > size:
        raise UnfitFile("a file that does not say how long it is, or grows")
    return content


def read_text(path: Path, most: Most) -> str:
    """The content of an ordinary file of UTF-8 text, with or without a byte-order mark.

    Raises:
        UnfitFile: As `open_file`, or other bytes.
        OSError: As `open`.
    """
    try:
        return read_file(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnfitFile(f"bytes that are no UTF-8 text ({error.reason})") from error


def file_parts(path: Path, most: Most) -> Iterator[bytes]:
    """The content part by part, for a digest of a file that is better not in memory as a whole."""
    with open_file(path, most) as file:
        while part := file.read(2**20):
            yield part


def check_archive(path: Path, most: Most, *, stored: bool = False) -> None:
    """Nothing for a zip archive whose members, unpacked, are no more than its kind may have.

    A file that is no zip archive is left to whoever reads it.

    Args:
        path: The archive.
        most: For all members together.
        stored: Whether its kind does not compress, so that one that does is refused.

    Raises:
        UnfitFile: Too many members, or too large ones.
        OSError: As `open`.
    """
    with open_file(path, most) as file:
        if not zipfile.is_zipfile(file):
            return
        n_bytes = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            return
    if stored and any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UnfitFile("an archive with compressed members, which this kind of file does not have")
    check_unpacked(sum(member.file_size for member in members), n_bytes, most)
    if len(members) > MAX_MEMBERS:
        raise UnfitFile(f"an archive of {len(members):,} members, more than {MAX_MEMBERS:,}")


def check_unpacked(n_bytes: int, n_packed: int, most: Most) -> None:
    """Nothing where so many bytes may come out of so many.

    Raises:
        UnfitFile: Says both.
    """
    limit = _limit(most)
    if n_bytes > limit:
        raise UnfitFile(_too_large(f"{n_bytes:,} bytes once it is unpacked", limit))
    if n_bytes > max(RATIO_FROM_BYTES, _raised()) and n_bytes > MAX_RATIO * n_packed:
        raise UnfitFile(
            f"{n_packed:,} bytes that unpack to {n_bytes:,}, more than {MAX_RATIO} times as many; "
            f"{MORE} in the environment allows more"
        )


def check_size(n_bytes: int, most: Most) -> None:
    """Nothing where a file may have so many bytes.

    Raises:
        UnfitFile: It may not.
    """
    limit = _limit(most)
    if n_bytes > limit:
        raise UnfitFile(_too_large(f"{n_bytes:,} bytes", limit))


def _check(found: os.stat_result, most: Most) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnfitFile(_KINDS.get(stat.S_IFMT(found.st_mode), "a device") + ", not an ordinary file")
    check_size(found.st_size, most)


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def _too_large(size: str, limit: int) -> str:
    return f"{size}, more than {limit:,}; {MORE} in the environment allows more"


def _limit(most: Most) -> int:
    return max(most, _raised())


def _raised() -> int:
    """What the environment allows, in bytes; 0 where it says nothing that is a number."""
    text = os.environ.get(MORE, "")
    return int(text) * GIB if text.isascii() and text.isdigit() and len(text) < 6 else 0
