"""Opening a run directory: in a folder under a lock, or at an address, where nobody waits for anybody."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from shiftproof._address import Address, place
from shiftproof._digest import Json, digest_of
from shiftproof._documents import unreadable
from shiftproof._files import make_folder
from shiftproof._text import said
from shiftproof.engine._at_address import opened_at
from shiftproof.engine._header import (
    FILES,
    FOLDERS,
    RESULTS,
    UNFINISHED,
    digest_in,
    header_in,
    refuse_others,
    write_header,
)
from shiftproof.engine._run import Run
from shiftproof.engine._units import OUR_NAMES
from shiftproof.errors import ConfigError, OutputError

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@contextmanager
def open_run(
    slug: str,
    config: Mapping[str, Json],
    *,
    out: Path | str | Address | None = None,
    root: Path = Path("runs"),
    fresh: bool = False,
    about: Mapping[str, Json] | None = None,
) -> Iterator[Run]:
    """Start a run, or continue the one with the same configuration.

    Args:
        slug: What is run, for the name of the folder: letters, digits, dots and dashes.
        config: All settings that the result depends on; the run is known by their digest.
        out: The run directory itself, a folder or an address such as `s3://bucket/run`; by default a folder
            in `root`, named by time, slug and digest.
        root: Where run directories are by default.
        fresh: Throw away what an earlier run of the same configuration has finished.
        about: More to write into `run.json`: command, versions, machine.

    Raises:
        OutputError: `out` is the directory of another run or holds other files, cannot be written,
            or is a folder in use by another process.
        ConfigError: A slug that is no name for a folder.
    """
    if not _SLUG.fullmatch(slug):
        raise ConfigError("a name of letters, digits, dots and dashes for a run", repr(slug))
    digest = digest_of(config)
    wanted = None if out is None else place(out)
    if isinstance(wanted, Address):
        with opened_at(wanted, config, fresh=fresh, about=about or {}) as run:
            yield run
        return
    folder = wanted if wanted is not None else _latest(root, slug, digest)
    if folder is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = root / f"{stamp}-{slug}-{digest[:6]}"
    _check_ours(folder, digest)
    make_folder(folder)
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError.cannot(
            f"write in {str(folder)!r}",
            "another process is writing this run",
            fix="Wait for it, or choose another folder with --out.",
        ) from error
    except OSError as error:
        raise OutputError.cannot(f"write in {str(folder)!r}", error.strerror or error) from error
    try:
        if fresh:
            _clear(folder)
        # The header comes first, so that whatever lies in the folder has one that vouches for it.
        write_header(folder, digest, config, about or {})
        make_folder(folder / "units")
        yield Run(folder)
    finally:
        lock.release()


def _latest(root: Path, slug: str, digest: str) -> Path | None:
    """The newest run directory of this configuration in `root`."""
    found = sorted(root.glob(f"*-{slug}-{digest[:6]}")) if root.is_dir() else []
    return next((path for path in reversed(found) if digest_in(path) == digest), None)


def _check_ours(folder: Path, digest: str) -> None:
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise OutputError.cannot(f"write the run to {str(folder)!r}", "it is no folder")
        names = [path.name for path in folder.iterdir()]
        _check_kinds(folder)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError.cannot(
            f"write the run to {said(folder)!r}",
            unreadable(error),
            fix="Choose another folder with --out.",
        ) from error
    refuse_others(folder, digest_in(folder), digest, names)


def _check_kinds(folder: Path) -> None:
    """A link or a pipe under one of our names would have us write, or wait, elsewhere."""
    for names, is_kind, kind in ((FOLDERS, stat.S_ISDIR, "folder"), (FILES, stat.S_ISREG, "file")):
        for name in names:
            path = folder / name
            if os.path.lexists(path) and not is_kind(path.lstat().st_mode):
                raise OutputError(
                    f"{name!r} in {str(folder)!r} to be an ordinary {kind}",
                    "something else",
                    cause="It may lead to what is not of this run.",
                    fix="Choose another folder with --out.",
                )


def _clear(folder: Path) -> None:
    """Delete what a run has finished: in a folder with a header of ours, by names of ours, nothing else."""
    if header_in(folder) is None:
        return
    units = folder / "units"
    for path in units.iterdir() if units.is_dir() else ():
        ours = OUR_NAMES.fullmatch(path.name) or UNFINISHED.fullmatch(path.name)
        if ours and not path.is_dir():
            path.unlink()
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)
