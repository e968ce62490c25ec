"""A run directory that is open: what was asked, the units finished so far, the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftproof._address import Address
from shiftproof._digest import Json
from shiftproof._files import write_atomically
from shiftproof.engine._header import EVENTS, now
from shiftproof.engine._units import UnitStore
from shiftproof.errors import OutputError


@dataclass(frozen=True, slots=True)
class Run:
    """One run directory, open for writing.

    Args:
        folder: Holds `run.json`, `events.jsonl`, `units/` and, at the end, `report.json`.
        address: Where all of that is kept, if it is on a store; then the folder is only there while the run
            is open, and what is written into it is brought to the address at the latest when it closes.
    """

    folder: Path
    address: Address | None = None

    @property
    def units(self) -> UnitStore:
        """The finished units."""
        return UnitStore(self.folder / "units", None if self.address is None else self.address / "units")

    def where(self, name: str = "") -> str:
        """Where the run, or a file of it, is found when it is closed: for a reader."""
        kept = self.folder if self.address is None else self.address
        return str(kept / name if name else kept)

    def log(self, event: Mapping[str, Json]) -> None:
        """Append one line to `events.jsonl`, with the time."""
        line = json.dumps({"time": now(), **event}, sort_keys=True, separators=(",", ":")) + "\n"
        try:
            with (self.folder / EVENTS).open("a") as file:
                file.write(line)
        except OSError as error:
            raise OutputError.cannot(f"write in {str(self.folder)!r}", error.strerror or error) from error

    def events(self) -> list[dict[str, Any]]:
        """All lines of `events.jsonl`; one cut off by a crash is left out."""
        path = self.folder / EVENTS
        events = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return events

    def write_report(self, text: str) -> Path:
        """Write `report.json`: what `to_json` of a record gives, so that equal results are equal bytes."""
        path = self.folder / "report.json"
        write_atomically(path, text)
        return path
