"""What a run directory says of itself, and by which names it knows what is its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shiftproof._address import Address
from shiftproof._digest import Json, digest_of
from shiftproof._documents import read_json
from shiftproof._files import write_atomically
from shiftproof._text import escaped_json
from shiftproof.errors import OutputError

SCHEMA_VERSION = 1
HEADER, EVENTS = "run.json", "events.jsonl"
# What a run keeps in its folder, and as what; anything else under these names is somebody else's.
FOLDERS = ("units", "networks", "figures")
RESULTS = ("report.json", "report.html", "report.md", "junit.xml", EVENTS)
FILES = (".lock", HEADER, *RESULTS)
UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")


class Header(BaseModel):
    """`run.json`: what a folder is the run of. It vouches for what lies beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1]
    config_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    config: dict[str, Any]
    sessions: list[dict[str, Any]] = []


def header_in(folder: Path) -> Header | None:
    """The header of a run directory; None where there is none that says what it is a digest of."""
    try:
        header = Header.model_validate(read_json(folder / HEADER))
    except (OSError, ValueError, ValidationError):
        return None
    return header if digest_of(header.config) == header.config_digest else None


def digest_in(folder: Path) -> str | None:
    """The digest in the header of a run directory; None where there is none."""
    header = header_in(folder)
    return None if header is None else header.config_digest


def write_header(folder: Path, digest: str, config: Mapping[str, Json], about: Mapping[str, Json]) -> None:
    """Write, or continue, the header of a run directory."""
    before = header_in(folder)
    header = {
        "schema_version": SCHEMA_VERSION,
        "config_digest": digest,
        "config": dict(config),
        "sessions": [*(before.sessions if before else ()), {"started": now(), **about}],
    }
    text = json.dumps(header, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / HEADER, escaped_json(text + "\n"))


def refuse_others(where: Path | Address, found: str | None, digest: str, names: Sequence[str]) -> None:
    """Nothing for a place that is empty, or holds the run with this digest.

    Args:
        where: A run directory.
        found: The digest in its header, if it has one.
        digest: That of this run.
        names: What is in it.

    Raises:
        OutputError: It holds something else.
    """
    strangers = sorted(name for name in names if not _is_of_a_dead_run(name))
    if found == digest or not strangers:
        return
    raise OutputError.cannot(
        f"write this run to {str(where)!r}",
        "it holds a run with other settings"
        if found
        else f"it holds other files ({', '.join(strangers[:3])})",
        cause="Nothing that was computed is overwritten.",
        fix="Choose another folder with --out.",
    )


def _is_of_a_dead_run(name: str) -> bool:
    """What a run leaves that was killed before it had a header."""
    return name == ".lock" or name.startswith(f".{HEADER}.") or UNFINISHED.fullmatch(name) is not None


def now() -> str:
    """The time, as it is written down."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
