"""The audit for a step summary: escaped, small enough, the same bytes for the same record."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from shiftproof.report import audit_markdown, read_audit
from shiftproof.report._audit_markdown import CUT, MAX_BYTES


def written(record: dict[str, Any]) -> str:
    return audit_markdown(read_audit(record))


def test_sections_and_their_order(with_gates: dict[str, Any]) -> None:
    text = written(with_gates)
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("**zoo:cnn2 keeps its prediction")
    assert headings == [
        "### Gates: fail",
        "### Under grid:1: every whole offset",
        "### Against the radius max(\\|dy\\|, \\|dx\\|)",
        "### Images whose prediction changes most often",
        "### Not measured",
        "### About",
    ]
    assert "| FAIL | agreement>=0.99 | grid:1 | 90.0 % (88.0 % to 92.0 %, n = 2,500 images) |" in text
    assert "| agreement | 90.0 % | 88.0 % to 92.0 % | 2,500 | 35.0 % | higher |" in text
    assert "| 1 px | 90.0 % | 90.0 % to 90.0 % | 75.0 % | 75.0 % to 75.0 % | 9 |" in text
    assert "| cats/felix.png | cat | dog | 87.5 % | 1 px (−1, 0) | 2 |" in text


def test_without_gates_there_is_no_table_of_them(audit_json: dict[str, Any]) -> None:
    assert "Gates" not in written(audit_json)


def test_hostile_names_are_escaped(hostile: dict[str, Any]) -> None:
    text = written(hostile)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "[bold]" not in text
    assert "a&lt;/td>&lt;script>\\[bold\\]x\\[/bold\\] \\# y�\\[2J\\|\\`z\\`��\\_é.png" in text
    tables = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    counts = [line.count("|") for line in tables]
    assert set(counts) == {5, 7}, "no name adds a cell"


def test_a_summary_has_a_limit(with_gates: dict[str, Any]) -> None:
    with_gates["gates"] *= 2000
    text = written(with_gates)
    assert 0.9 * MAX_BYTES < len(text.encode()) <= MAX_BYTES
    assert text.endswith(CUT)
    assert text.splitlines()[-4].endswith(" |"), "whole lines only"
    with_gates["verdict"] = "é" * MAX_BYTES
    assert len(written(with_gates).encode()) <= MAX_BYTES


def test_the_same_record_gives_the_same_bytes(hostile: dict[str, Any], make: SimpleNamespace) -> None:
    in_order = json.loads(json.dumps(hostile, sort_keys=True))
    assert written(hostile).encode() == written(in_order).encode()
    hostile["protocols"] = [make.protocol("other")]
    assert written(hostile) != written(in_order)
