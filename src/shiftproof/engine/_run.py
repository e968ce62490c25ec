"""The folder of a run: what was asked, the units finished so far, the report."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shiftproof._digest import Json, digest_of
from shiftproof._documents import read_json, unreadable
from shiftproof._files import make_folder, write_atomically
from shiftproof._text import escaped_json, record_text, said
from shiftproof.engine._units import OUR_NAMES, UnitStore
from shiftproof.errors import ConfigError, OutputError

SCHEMA_VERSION = 1
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")
# What a run keeps in its folder, and as what; anything else under these names is somebody else's.
_FOLDERS = ("units", "networks", "figures")
_FILES = (".lock", "run.json", "events.jsonl", "report.json", "report.html", "report.md", "junit.xml")


class Header(BaseModel):
    """`run.json`: what a folder is the run of. It vouches for what lies beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    config_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    config: dict[str, Any]
    sessions: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory, open for writing.

    Args:
        folder: Holds `run.json`, `events.jsonl`, `units/` and, at the end, `report.json`.
    """

    folder: Path

    @property
    def units(self) -> UnitStore:
        """The finished units."""
        return UnitStore(self.folder / "units")

    def log(self, event: Mapping[str, Json]) -> None:
        """Append one line to `events.jsonl`, with the time."""
        line = json.dumps({"time": _now(), **event}, sort_keys=True, separators=(",", ":")) + "\n"
        try:
            with (self.folder / "events.jsonl").open("a") as file:
                file.write(line)
        except OSError as error:
            raise OutputError(
                f"to be able to write in {str(self.folder)!r}", error.strerror or error
            ) from error

    def events(self) -> list[dict[str, Any]]:
        """All lines of `events.jsonl`; one cut off by a crash is left out."""
        path = self.folder / "events.jsonl"
        events = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return events

    def write_report(self, report: Mapping[str, Json]) -> Path:
        """Write `report.json`: sorted keys, so equal results are equal bytes."""
        path = self.folder / "report.json"
        write_atomically(path, record_text(report))
        return path


@contextmanager
def open_run(
    slug: str,
    config: Mapping[str, Json],
    *,
    out: Path | None = None,
    root: Path = Path("runs"),
    fresh: bool = False,
    about: Mapping[str, Json] | None = None,
) -> Iterator[Run]:
    """Start a run, or continue the one with the same configuration.

    Args:
        slug: What is run, for the name of the folder: letters, digits, dots and dashes.
        config: All settings that the result depends on; the run is known by their digest.
        out: The run directory itself; by default one in `root`, named by time, slug and digest.
        root: Where run directories are by default.
        fresh: Throw away what an earlier run of the same configuration has finished.
        about: More to write into `run.json`: command, versions, machine.

    Raises:
        OutputError: `out` is the directory of another run or holds other files, cannot be written,
            or is in use by another process.
        ConfigError: A slug that is no name for a folder.
    """
    if not _SLUG.fullmatch(slug):
        raise ConfigError("a name of letters, digits, dots and dashes for a run", repr(slug))
    digest = digest_of(config)
    folder = out if out is not None else _latest(root, slug, digest)
    if folder is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = root / f"{stamp}-{slug}-{digest[:6]}"
    _check_ours(folder, digest)
    make_folder(folder)
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"{str(folder)!r} to be free",
            "a run directory that another process is writing",
            fix="Wait for it, or choose another folder with --out.",
        ) from error
    except OSError as error:
        raise OutputError(f"to be able to write in {str(folder)!r}", error.strerror or error) from error
    try:
        if fresh:
            _clear(folder)
        # The header comes first, so that whatever lies in the folder has one that vouches for it.
        _write_header(folder, digest, config, about or {})
        make_folder(folder / "units")
        yield Run(folder)
    finally:
        lock.release()


def _latest(root: Path, slug: str, digest: str) -> Path | None:
    """The newest run directory of this configuration in `root`."""
    found = sorted(root.glob(f"*-{slug}-{digest[:6]}")) if root.is_dir() else []
    return next((path for path in reversed(found) if _digest_in(path) == digest), None)


def _header_in(folder: Path) -> Header | None:
    """The header of a run directory; None where there is none that says what it is a digest of."""
    try:
        header = Header.model_validate(read_json(folder / "run.json"))
    except (OSError, ValueError, ValidationError):
        return None
    return header if digest_of(header.config) == header.config_digest else None


def _digest_in(folder: Path) -> str | None:
    header = _header_in(folder)
    return None if header is None else header.config_digest


def _check_ours(folder: Path, digest: str) -> None:
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise OutputError("a folder for the run", f"the file {str(folder)!r}")
        strangers = sorted(path.name for path in folder.iterdir() if not _is_of_a_dead_run(path.name))
        _check_kinds(folder)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"a folder for the run at {said(folder)!r}",
            unreadable(error),
            fix="Choose another folder with --out.",
        ) from error
    found = _digest_in(folder)
    if found == digest or not strangers:
        return
    raise OutputError(
        f"{str(folder)!r} to be empty or the directory of this run",
        "a run with other settings" if found else f"other files ({', '.join(strangers[:3])})",
        cause="Nothing that was computed is overwritten.",
        fix="Choose another folder with --out.",
    )


def _is_of_a_dead_run(name: str) -> bool:
    """What a run leaves that was killed before it had a header."""
    return name == ".lock" or name.startswith(".run.json.") or _UNFINISHED.fullmatch(name) is not None


def _check_kinds(folder: Path) -> None:
    """A link or a pipe under one of our names would have us write, or wait, elsewhere."""
    for names, is_kind, kind in ((_FOLDERS, stat.S_ISDIR, "folder"), (_FILES, stat.S_ISREG, "file")):
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
    if _header_in(folder) is None:
        return
    units = folder / "units"
    for path in units.iterdir() if units.is_dir() else ():
        ours = OUR_NAMES.fullmatch(path.name) or _UNFINISHED.fullmatch(path.name)
        if ours and not path.is_dir():
            path.unlink()
    for name in ("report.json", "report.html", "report.md", "junit.xml", "events.jsonl"):
        (folder / name).unlink(missing_ok=True)


def _write_header(folder: Path, digest: str, config: Mapping[str, Json], about: Mapping[str, Json]) -> None:
    before = _header_in(folder)
    header = {
        "schema_version": SCHEMA_VERSION,
        "config_digest": digest,
        "config": dict(config),
        "sessions": [*(before.sessions if before else ()), {"started": _now(), **about}],
    }
    text = json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / "run.json", escaped_json(text + "\n"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
