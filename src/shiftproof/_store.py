"""Files on a store, by address: whole or absent, tried a few times, never waited for without an end.

Stores answer late, twice, or with errors. Nothing here minds being done twice: a name always gets the same
content. What is read is compared with the length that the store says it has, and so is what was written.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from shiftproof._address import Address
from shiftproof._files import write_atomically
from shiftproof._inputs import Most, UnfitFile, check_size
from shiftproof._optional import require
from shiftproof._text import counted, said
from shiftproof.errors import MissingDependencyError, OutputError, ShiftproofError

T = TypeVar("T")
# How long to wait before it is tried again; what fails after the last one has failed.
WAITS_S = (0.2, 1.0, 3.0)
LONGEST_WAIT_S = 120.0
PART_BYTES = 2**20
S3 = ("s3", "s3a")
# Here a file gets its name when all of it is there; elsewhere it is written under another name first.
ATOMIC = frozenset({*S3, "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "hf", "memory"})
# What no second try changes.
_FINAL = (
    PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError, ImportError, ValueError,
    TypeError, ShiftproofError, UnfitFile,
)  # fmt: skip
_FINAL_NAMES = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})


class Entry(NamedTuple):
    """Something in a folder on a store."""

    name: str
    is_folder: bool
    n_bytes: int


class StoreError(OSError):
    """A store that does not do what it was asked, and why, in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)

    def __str__(self) -> str:
        return str(self.strerror)


def list_folder(address: Address) -> list[Entry]:
    """What is in a folder, by name; nothing where there is none.

    Raises:
        StoreError: The store does not say.
    """

    def ask() -> list[Entry]:
        system, path = _system(address)
        try:
            found = system.ls(path, detail=True)
        except FileNotFoundError:
            return []
        entries = {
            Entry(
                one["name"].rstrip("/").rpartition("/")[2],
                one["type"] == "directory",
                int(one.get("size") or 0),
            )
            for one in found
            # A store may list a folder in itself, as an empty file.
            if one["name"].strip("/") != path.strip("/")
        }
        return sorted(entries)

    return _tried(ask)


def list_all(address: Address) -> dict[str, int]:
    """Every file below a folder: its path from there, and its bytes.

    Raises:
        StoreError: The store does not say.
    """

    def ask() -> dict[str, int]:
        system, path = _system(address)
        above = path.strip("/") + "/"
        found = {name.strip("/"): one for name, one in system.find(path, detail=True).items()}
        return {
            name.removeprefix(above): int(one.get("size") or 0)
            for name, one in sorted(found.items())
            if name.startswith(above)
        }

    return _tried(ask)


def version_of(address: Address) -> str:
    """A text that is another one when the file is.

    Raises:
        StoreError: The store does not say.
    """

    def ask() -> str:
        system, path = _system(address)
        return str(system.ukey(path))

    return _tried(ask)


def size_of(address: Address) -> int | None:
    """Bytes of a file; None for a folder, and where there is none.

    Raises:
        StoreError: The store does not say.
    """

    def ask() -> int | None:
        system, path = _system(address)
        try:
            found = system.info(path)
        except FileNotFoundError:
            return None
        return int(found["size"] or 0) if found["type"] == "file" else None

    return _tried(ask)


def read(address: Address, most: Most) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: There is none.
        UnfitFile: It is larger than its kind may be.
        StoreError: The store does not give it, or only a part.
    """
    size = _checked_size(address, most)

    def ask() -> bytes:
        system, path = _system(address)
        content = bytes(system.cat_file(path))
        if len(content) != size:
            raise StoreError(f"{len(content):,} of {size:,} bytes")
        return content

    return _tried(ask)


def read_part(address: Address, start: int, n_bytes: int) -> bytes:
    """Some bytes of a file.

    Raises:
        FileNotFoundError: There is none.
        StoreError: The store does not give them.
    """

    def ask() -> bytes:
        system, path = _system(address)
        content = bytes(system.cat_file(path, start=start, end=start + n_bytes)) if n_bytes else b""
        if len(content) != n_bytes:
            raise StoreError(f"{len(content):,} of {n_bytes:,} bytes")
        return content

    return _tried(ask)


def open_at(address: Address, most: Most) -> BinaryIO:
    """A file, open for reading anywhere in it; a part is brought when it is read.

    Raises:
        FileNotFoundError: There is none.
        UnfitFile: It is larger than its kind may be.
        StoreError: The store does not answer.
    """
    return io.BufferedReader(_Parts(address, _checked_size(address, most)), PART_BYTES)


class _Parts(io.RawIOBase):
    """A file on a store as Python reads files."""

    def __init__(self, address: Address, n_bytes: int) -> None:
        self._address, self._n_bytes, self._place = address, n_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._n_bytes}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        n_bytes = max(0, min(len(buffer), self._n_bytes - self._place))
        buffer[:n_bytes] = read_part(self._address, self._place, n_bytes)
        self._place += n_bytes
        return n_bytes


def download(address: Address, path: Path, most: Most) -> None:
    """Bring a file into a folder of this machine, where it is whole or absent.

    Raises:
        FileNotFoundError: There is none.
        UnfitFile: It is larger than its kind may be.
        StoreError: The store does not give it, or only a part.
    """
    size = _checked_size(address, most)

    def ask() -> None:
        system, source = _system(address)
        temporary = path.parent / f".{secrets.token_hex(8)}.part"
        try:
            system.get_file(source, str(temporary))
            found = temporary.stat().st_size
            if found != size:
                raise StoreError(f"{found:,} of {size:,} bytes")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    _tried(ask)


def write(address: Address, content: bytes) -> None:
    """Give a file its content, in one step, whatever was there before.

    Raises:
        OutputError: The store does not take it.
    """

    def ask() -> None:
        system, path = _system(address)
        parent, _, name = path.rpartition("/")
        if address.protocol in ATOMIC:
            system.pipe_file(path, content)
        else:
            system.makedirs(parent, exist_ok=True)
            temporary = f"{parent}/.{secrets.token_hex(8)}.part"
            try:
                system.pipe_file(temporary, content)
                system.mv(temporary, path)
            except BaseException:
                with suppress(Exception):
                    system.rm_file(temporary)
                raise
        found = system.info(path)["size"]
        if found != len(content):
            raise StoreError(f"{found:,} of {len(content):,} bytes of {name!r} there after it was written")

    _tried_writing(address, ask)


def save(where: Path | Address, content: str | bytes) -> None:
    """Write a file, whole or not at all, on this machine or on a store.

    Raises:
        OutputError: It cannot be written there.
    """
    if isinstance(where, Address):
        write(where, content.encode() if isinstance(content, str) else content)
    else:
        write_atomically(where, content)


def delete(address: Address) -> None:
    """Delete a file; nothing where there is none.

    Raises:
        OutputError: The store does not do it.
    """

    def ask() -> None:
        system, path = _system(address)
        with suppress(FileNotFoundError):
            system.rm_file(path)

    _tried_writing(address, ask)


def reason_of(error: OSError) -> str:
    """What a store says, in a few words."""
    return said(error.strerror or error) or type(error).__name__


def _checked_size(address: Address, most: Most) -> int:
    size = size_of(address)
    if size is None:
        raise FileNotFoundError(errno.ENOENT, "no such file")
    check_size(size, most)
    return size


def _system(address: Address) -> tuple[Any, str]:
    """The file system of fsspec that an address belongs to, and the path there."""
    fsspec: Any = require("fsspec.core", extra="remote", purpose=f"The address {str(address)!r}")
    try:
        # What another machine wrote a moment ago has to be seen.
        system, path = fsspec.url_to_fs(address.text, use_listings_cache=False)
    except ImportError as error:
        raise MissingDependencyError.cannot(
            f"use addresses that begin with {address.protocol}://",
            said(error),
            fix="Run: pip install 'shiftproof[remote]'" if address.protocol in S3 else "Install it.",
        ) from error
    except ValueError as error:
        raise UnfitFile(f"no address of a store that is known ({said(error)})") from error
    return system, str(path)


def _tried_writing(address: Address, ask: Callable[[], None]) -> None:
    try:
        _tried(ask)
    except OSError as error:
        raise OutputError.cannot(
            f"write {str(address)!r}",
            reason_of(error),
            fix="Check the address and your rights, or choose another with --out; what was finished is kept.",
        ) from error


def _tried(ask: Callable[[], T]) -> T:
    """What the store answers, at the first or a later try."""
    for wait in (*WAITS_S, None):
        try:
            return _in_time(ask)
        except Exception as error:  # packages of stores raise their own kinds
            if isinstance(error, FileNotFoundError | ShiftproofError | UnfitFile):
                raise
            if wait is None or isinstance(error, _FINAL) or type(error).__name__ in _FINAL_NAMES:
                raise _explained(error, given_up=wait is None) from error
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _explained(error: Exception, *, given_up: bool) -> StoreError:
    reason = said(getattr(error, "strerror", None) or error, 300) or type(error).__name__
    if isinstance(error, PermissionError) or type(error).__name__ in _FINAL_NAMES:
        return StoreError(f"no right to do that ({reason})")
    return StoreError(f"{reason}, {counted(len(WAITS_S) + 1, 'time')} in a row" if given_up else reason)


def _in_time(ask: Callable[[], T]) -> T:
    """The answer, unless it does not come: then nobody waits for it any longer."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)

    # A thread that never ends must not keep the program from ending.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONGEST_WAIT_S)
    if errors:
        raise errors[0]
    if not answers:
        raise StoreError(f"no answer within {LONGEST_WAIT_S:g} s")
    return answers[0]
