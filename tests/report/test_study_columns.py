"""Columns, costs, verdicts and the figure of a study, from records written by hand."""

from __future__ import annotations

import io
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from rich.console import Console
from tests.report.written import ENVIRONMENT, recipe

from shiftproof.errors import ComparisonError, DataError, MissingDependencyError
from shiftproof.report import (
    frontier,
    headline,
    pareto_svg,
    print_study,
    read_study,
    remedies_in_full,
    side_by_side_markdown,
    to_markdown,
)

Json = dict[str, Any]
SHARE = "share of images"


def estimate(value: float, low: float, high: float) -> Json:
    return {
        "value": value, "low": low, "high": high, "n_images": 100, "n_seeds": 1, "unit": SHARE,
        "confidence": 0.95, "method": "Wilson, n = images",
    }  # fmt: skip


def row(name: str, value: float, multiply_adds: int, change: Json | None, **more: Any) -> Json:
    cell: Json = {
        "protocol": "grid:4",
        "metrics": {
            "accuracy": estimate(0.99, 0.98, 1),
            "worst-case-accuracy": estimate(value, value - 0.01, value + 0.01),
        },
        "accuracy_per_seed": [0.99],
        "published": None,
        "difference": None,
        "published_inside_interval": None,
    }
    time = {
        "value": 0.25, "low": 0.2, "high": 0.3, "n_repeats": 15, "batch_size": 100, "threads": 1,
        "confidence": 0.95, "method": "median of 15",
    }  # fmt: skip
    return {
        "name": name, "network": name.partition("+")[0], "title": "", "note": "", "n_parameters": 85_670,
        "seeds": [0], "error": None, "cells": [cell],
        "recipe": recipe("unit"),
        "costs": {"multiply_adds": multiply_adds, "ms_per_image": time},
        **({"against": {"base": "cnn2", "differences": [{"column": 1, "found": change}]}} if change else {}),
        **more,
    }  # fmt: skip


def column(metric: str, title: str, *, judges: bool = False, up: bool = True) -> Json:
    return {
        "protocol": "grid:4", "metric": metric, "title": title, "judges": judges, "higher_is_better": up,
        "unit": SHARE, "summary": "how often",
    }  # fmt: skip


@pytest.fixture
def record() -> Json:
    return {
        "schema_version": 1,
        "kind": "study",
        "status": "complete",
        "name": "x",
        "title": "A title & more",
        "source": "",
        "preset": "quick",
        "preset_summary": "short",
        "protocols": [{"name": "grid:4", "summary": "moved", "source": ""}],
        "data": {s: {"name": f"d/{s}", "n_images": 1000, "digest": ""} for s in ("train", "test")},
        "environment": ENVIRONMENT,
        "config": {"seeds": [0]},
        "columns": [
            column("accuracy", "moved"),
            column("worst-case-accuracy", "worst of 9 × 9", judges=True),
        ],
        "rows": [
            row("cnn2", 0.5, 1_600_000, None),
            row("good", 0.7, 2_000_000, estimate(0.2, 0.15, 0.25)),
            row("useless", 0.51, 3_000_000, estimate(0.01, -0.02, 0.04)),
            row("harmful", 0.4, 9_000_000, estimate(-0.1, -0.12, -0.08)),
            row("touching", 0.5, 1_000_000, estimate(0.1, 0.0, 0.2)),
            row("unknown", 0.5, 1_000_000, {"not_applicable": "no image was moved"}),
        ],
    }


def test_the_headline_counts_remedies_and_the_notes_name_those_that_do_not_help(record: Json) -> None:
    study = read_study(record)
    assert headline(study) == (
        "worst of 9 × 9: 1 of 4 remedies better than their base, 2 not shown to be, 1 worse."
    )
    assert remedies_in_full(study) == [
        "worst of 9 × 9, WORSE than the base: harmful beside cnn2 −10.0 points (−12.0 to −8.0).",
        "worst of 9 × 9, NOT shown to be better than the base: useless beside cnn2 +1.0 points "
        "(−2.0 to +4.0); touching beside cnn2 +10.0 points (0 to +20.0).",
        "worst of 9 × 9, better than the base: good beside cnn2 +20.0 points (+15.0 to +25.0).",
    ]
    assert "harmful beside cnn2 −10.0" in to_markdown(study)


def test_a_metric_that_should_fall_turns_the_verdicts_round(record: Json) -> None:
    record["columns"][1]["higher_is_better"] = False
    assert headline(read_study(record)).endswith(
        "1 of 4 remedies better than their base, 2 not shown to be, 1 worse."
    )
    assert "WORSE than the base: good beside" in " ".join(remedies_in_full(read_study(record)))


def test_markdown_has_columns_and_costs(record: Json) -> None:
    record["rows"][1] = {**record["rows"][1], "cells": [], "error": "Expected a finite loss"}
    lines = [line for line in to_markdown(read_study(record)).splitlines() if line.startswith("|")]
    assert lines[0] == "| network | moved | worst of 9 × 9 | params | multiply-adds | ms per image |"
    assert lines[2] == (
        "| cnn2 | 99.00<br>98.00–100 | 50.00<br>49.00–51.00 | 85.7 k | 1.6 M | 0.25<br>0.2–0.3 |"
    )
    assert lines[3].startswith("| good | failed |  | 85.7 k |")
    assert {line.count(" | ") for line in lines} == {5}


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_number_is_cut_in_a_terminal_of_usual_width(record: Json, width: int) -> None:
    record["columns"] = [column("worst-case-accuracy", f"worst of 9 × 9, {i}") for i in range(5)]
    record["rows"][0]["name"] = "cnn2-aliasfree+aug"
    out = io.StringIO()
    print_study(read_study(record), Console(file=out, width=width))
    text = out.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.count("49.00–51.00") == 5 * 3
    assert "0.2–0.3" in text
    assert text.count("cnn2-aliasfree+aug") == (1 if width == 120 else 2), "names stand in every part"


def test_records_without_columns_are_as_they_were(record: Json) -> None:
    del record["columns"]
    for each in record["rows"]:
        each.pop("against", None), each.pop("costs", None)
    lines = to_markdown(read_study(record)).splitlines()
    assert "| network | epochs | grid:4 |" in lines
    assert "| cnn2 | 7 | 0.9900<br>0.9800 to 1.0000 |" in lines


def test_the_figure_is_svg_with_units_and_the_same_bytes(record: Json) -> None:
    pytest.importorskip("matplotlib")
    record["rows"][0]["recipe"]["augmentation"] = "keras-augment"
    first, second = (pareto_svg(read_study(record)) for _ in range(2))
    assert first == second
    tree = ElementTree.fromstring(first)
    texts = {"".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {"multiply-adds per image", "milliseconds per image"} <= texts
    assert "worst of 9 × 9 (%, worst-case-accuracy under grid:4)" in texts
    assert {each["name"] for each in record["rows"]} <= texts
    assert "A title & more" in texts


def test_a_figure_of_nothing_is_refused(record: Json) -> None:
    with pytest.raises(DataError, match="a study with a column to draw, got column 7 of 2"):
        pareto_svg(read_study(record), column=7)
    for each in record["rows"]:
        del each["costs"]
    with pytest.raises(DataError, match="a row with costs and a number to draw, got none"):
        pareto_svg(read_study(record))


def test_without_matplotlib_the_extra_is_named(record: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[plot\]'|build that matches"):
        pareto_svg(read_study(record))


def test_the_frontier_is_what_nothing_cheaper_reaches() -> None:
    assert frontier([3, 1, 2, 2], [0.9, 0.5, 0.9, 0.4]) == [1, 2]
    assert frontier([1, 1], [0.4, 0.6]) == [1], "of two at the same cost the better one"
    assert frontier([], []) == []


def test_two_data_sets_stand_side_by_side(record: Json) -> None:
    other = {**record, "rows": record["rows"][:1], "data": {**record["data"], "test": {
        "name": "fashion/test", "n_images": 10, "digest": "",
    }}}  # fmt: skip
    lines = side_by_side_markdown([read_study(record), read_study(other)], ["worst of 9 × 9"]).splitlines()
    assert lines[0] == "| network | d: worst of 9 × 9 | fashion: worst of 9 × 9 |"
    assert lines[2] == "| cnn2 | 50.00<br>49.00–51.00 | 50.00<br>49.00–51.00 |"
    assert lines[3] == "| good | 70.00<br>69.00–71.00 |  |"
    with pytest.raises(ComparisonError, match="records of one study with columns, got x, y"):
        side_by_side_markdown([read_study(record), read_study({**record, "name": "y"})])
    with pytest.raises(ComparisonError, match="titles among moved, worst of 9 × 9, got mvoed"):
        side_by_side_markdown([read_study(record)], ["mvoed"])
