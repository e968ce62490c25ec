"""Renderings: every number comes from the record, hostile names do no harm."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from tests.report.written import ENVIRONMENT, recipe

from shiftproof.errors import DataError
from shiftproof.report import headline, print_study, read_study, to_markdown


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    return {
        "value": value, "low": low, "high": high, "n_images": 100, "n_seeds": 1, "unit": "share of images",
        "confidence": 0.95, "method": "Wilson, n = images",
    }  # fmt: skip


def cell(protocol: str, value: float, low: float, high: float, published: float | None) -> dict[str, Any]:
    return {
        "protocol": protocol,
        "metrics": {"accuracy": estimate(value, low, high)},
        "accuracy_per_seed": [value],
        "published": published,
        "difference": None if published is None else value - published,
        "published_inside_interval": None if published is None else low <= published <= high,
    }


def middling(published: float | None) -> dict[str, Any]:
    return cell("q", 0.5, 0.4, 0.6, published)


@pytest.fixture
def record() -> dict[str, Any]:
    row = {
        "network": "cnn1", "title": "", "note": "", "n_parameters": 5, "seeds": [0], "error": None,
        "recipe": recipe("raw"),
    }  # fmt: skip
    return {
        "schema_version": 1,
        "kind": "study",
        "status": "complete",
        "name": "x",
        "title": "A title",
        "source": "",
        "preset": "quick",
        "preset_summary": "short",
        "protocols": [{"name": n, "summary": "moved", "source": ""} for n in ("p", "q")],
        "data": {s: {"name": f"d/{s}", "n_images": 1000, "digest": ""} for s in ("train", "test")},
        "environment": ENVIRONMENT,
        "config": {"seeds": [0]},
        "rows": [
            {**row, "name": "good", "cells": [cell("p", 0.9, 0.85, 0.95, 0.91), middling(0.7)]},
            {**row, "name": "<script>|`[x](y)", "cells": [cell("p", 0.9, 0.8, 1, None), middling(None)]},
            {**row, "name": "bad", "cells": [], "error": "Expected a finite loss"},
        ],
    }  # fmt: skip


def test_headline_counts(record: dict[str, Any]) -> None:
    assert headline(read_study(record)) == (
        "1 of 2 published accuracies lie inside our 95 % interval; the mean distance is 10.5 points."
    )
    record["rows"] = record["rows"][1:2]
    assert "nothing was published" in headline(read_study(record))


def test_markdown_is_a_table_with_everything(record: dict[str, Any]) -> None:
    text = to_markdown(read_study(record))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert lines[0] == "| network | epochs | p | q |"
    assert lines[2] == "| good | 7 | 0.9000 (0.91)<br>0.8500 to 0.9500 | 0.5000 (0.7)<br>0.4000 to 0.6000 |"
    assert "<script>" not in text
    assert "&lt;script>\\|\\`\\[x\\](y)" in lines[3]
    assert lines[4] == "| bad | 7 | failed |  |"
    assert "- bad failed: Expected a finite loss" in text
    assert "- One seed: the interval covers the choice of images" in text
    assert {line.count(" | ") for line in lines} == {3}


def test_terminal_shows_markup_as_text(record: dict[str, Any]) -> None:
    record["rows"][0]["name"] = "[red]x[/red]"
    out = io.StringIO()
    print_study(read_study(record), Console(file=out, width=140))
    assert "[red]x[/red]" in out.getvalue()
    assert "0.9000 (0.91)" in out.getvalue()
    assert "failed" in out.getvalue()


def test_a_metric_without_meaning_keeps_its_reason(record: dict[str, Any]) -> None:
    first = record["rows"][0]["cells"][0]
    first["not_applicable"] = {"agreement": "no image was moved"}
    cells = read_study(record).rows[0].cells
    assert cells[0].not_applicable == {"agreement": "no image was moved"}
    assert cells[1].not_applicable == {}, "records from before it existed can be read"


def test_other_files_are_refused(record: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="the record of a study"):
        read_study({**record, "schema_version": 2})
    with pytest.raises(DataError, match="the record of a study"):
        read_study({"kind": "audit"})
