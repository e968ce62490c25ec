"""The folder of a run: what was asked, the units finished so far, the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shiftproof._digest import Json, canonical_json, digest_of
from shiftproof._files import make_folder, write_atomically
from shiftproof._text import record_text
from shiftproof.engine._units import UnitStore
from shiftproof.errors import OutputError

SCHEMA_VERSION = 1


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
        line = canonical_json({"time": _now(), **event}) + "\n"
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
        slug: What is run, for the name of the folder.
        config: All settings that the result depends on; the run is known by their digest.
        out: The run directory itself; by default one in `root`, named by time, slug and digest.
        root: Where run directories are by default.
        fresh: Throw away what an earlier run of the same configuration has finished.
        about: More to write into `run.json`: command, versions, machine.

    Raises:
        OutputError: `out` is the directory of another run or holds other files, cannot be written,
            or is in use by another process.
    """
    digest = digest_of(config)
    folder = out if out is not None else _latest(root, slug, digest)
    if folder is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = root / f"{stamp}-{slug}-{digest[:6]}"
    _check_ours(folder, digest)
    make_folder(folder / "units")
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
        _write_header(folder, digest, config, about or {})
        yield Run(folder)
    finally:
        lock.release()


def _latest(root: Path, slug: str, digest: str) -> Path | None:
    """The newest run directory of this configuration in `root`."""
    found = sorted(root.glob(f"*-{slug}-{digest[:6]}")) if root.is_dir() else []
    return next((path for path in reversed(found) if _digest_in(path) == digest), None)


def _digest_in(folder: Path) -> str | None:
    try:
        header = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return None
    return header.get("config_digest") if isinstance(header, dict) else None


def _check_ours(folder: Path, digest: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError("a folder for the run", f"the file {str(folder)!r}")
    try:
        strangers = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(
            f"a folder for the run at {str(folder)!r}",
            error.strerror or error,
            fix="Choose another folder with --out.",
        ) from error
    found = _digest_in(folder)
    if found == digest or not strangers or strangers == ["units"]:
        return
    raise OutputError(
        f"{str(folder)!r} to be empty or the directory of this run",
        "a run with other settings" if found else f"other files ({', '.join(strangers[:3])})",
        cause="Nothing that was computed is overwritten.",
        fix="Choose another folder with --out.",
    )


def _clear(folder: Path) -> None:
    shutil.rmtree(folder / "units")
    make_folder(folder / "units")
    for name in ("report.json", "report.md", "events.jsonl"):
        (folder / name).unlink(missing_ok=True)


def _write_header(folder: Path, digest: str, config: Mapping[str, Json], about: Mapping[str, Json]) -> None:
    path = folder / "run.json"
    sessions: list[Json] = []
    if _digest_in(folder) == digest:
        sessions = json.loads(path.read_text()).get("sessions", [])
    header = {
        "schema_version": SCHEMA_VERSION,
        "config_digest": digest,
        "config": dict(config),
        "sessions": [*sessions, {"started": _now(), **about}],
    }
    write_atomically(path, json.dumps(header, indent=1, ensure_ascii=False) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
