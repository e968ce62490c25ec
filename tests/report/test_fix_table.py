"""The table of a fix in a terminal of 80 columns."""

from __future__ import annotations

import io
import json

from benchmarks.tables import RESULTS
from rich.console import Console

from shiftproof.report import fix_markdown, print_fix, read_fix


def test_names_of_edits_are_broken_at_hyphens_and_not_within_words() -> None:
    """A row with everything that a row can have, which leaves little for its name."""
    text = (RESULTS / "guide.json").read_text(encoding="utf-8")
    document = json.loads(text.replace("composer-blurpool", "average-probabilities"))["fixed"]
    document["rows"][1] |= {"n_forwards": 9, "forwards_at_once": 4.1, "verdict": "undecided"}
    document["rows"][1]["estimates"]["clean-accuracy"] |= {"low": 0.7, "high": 1.0}
    record, shown = read_fix(document), io.StringIO()
    print_fix(record, Console(file=shown, width=80))
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first = [line.partition("  ")[0].strip() for line in lines]
    place = first.index("*average-")
    assert first[place + 1] == "probabilities"
    names = " ".join(first).replace("- ", "-")
    assert all(row.name in names for row in record.rows)


def test_whoever_lost_too_many_clean_images_is_told_what_decides_that() -> None:
    document = json.loads((RESULTS / "guide.json").read_text(encoding="utf-8"))["fixed"]
    hint = "How many clean images may be lost is up to you: --clean-margin, here 0.01."
    assert hint not in fix_markdown(read_fix(document))
    document["chosen"] = "original"
    for tried in document["tried"]:
        tried["fate"] = "chosen" if tried["name"] == "original" else "too many clean images lost"
    assert hint in fix_markdown(read_fix(document))
