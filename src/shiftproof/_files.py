"""Files that are either whole or absent, whatever kills the process."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from shiftproof.errors import OutputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that no reader and no crash ever sees half of it.

    The content goes to a temporary name in the same folder, is flushed to the disk, and takes its
    name in one step. Who may read it is what the umask says, as for any file.

    Raises:
        OutputError: The folder is missing, read-only or full.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        file = temporary.open("xb")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def make_folder(path: Path) -> Path:
    """Create a folder and its parents; `OutputError` where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError.cannot(
        f"write {path.name!r} in {str(path.parent)!r}",
        error.strerror or str(error),
        cause="The folder is missing, read-only or full.",
        fix="Choose another folder with --out, or make room; what was finished is kept.",
    )
