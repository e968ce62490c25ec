"""The table of a fix in a terminal of 80 columns."""

from __future__ import annotations

import io
import json

from benchmarks.tables import RESULTS
from rich.console import Console

from shiftproof.report import print_fix, read_fix


def test_names_of_edits_are_broken_at_hyphens_and_not_within_words() -> None:
    record = read_fix(json.loads((RESULTS / "guide.json").read_text(encoding="utf-8"))["fixed"])
    shown = io.StringIO()
    print_fix(record, Console(file=shown, width=80))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first = [line[:14].strip() for line in lines]
    place = first.index("*composer-")
    assert first[place + 1] == "blurpool"
    names = " ".join(first).replace("- ", "-")
    assert all(row.name in names for row in record.rows)
