"""Two models side by side: which is better, or that no difference was shown."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from shiftproof.report import comparison_markdown, print_comparison, read_comparison

HOSTILE = "a</td><script>[bold]x[/bold]\n# y\x1b[2J|`z`"


def shown(record: dict[str, Any], width: int = 80) -> str:
    out = io.StringIO()
    print_comparison(read_comparison(record), Console(file=out, width=width, highlight=False))
    return out.getvalue()


def row(text: str, metric: str) -> list[str]:
    lines = text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {metric} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_better_is_that_of_the_metric(comparison_json: dict[str, Any]) -> None:
    text = comparison_markdown(read_comparison(comparison_json))
    assert row(text, "agreement") == [
        "agreement", "50.0 %", "75.0 %", "+25.0 points<br>+20.0 to +30.0", "&lt;0.001", "second"
    ]  # fmt: skip
    assert row(text, "drift (share of the norm of the logits)")[1:] == [
        "0.5", "0.75", "+0.25<br>+0.2 to +0.3", "0.004", "first"
    ]  # fmt: skip
    assert row(text, "clean-accuracy")[3:] == ["−1.0 points<br>−3.0 to +1.0", "0.250", "no difference shown"]
    assert row(text, "smallest-flip")[1:] == ["0.5 px", "0.75 px", "n/a", "", ""]
    assert "The second model is better in 1, the first in 1 of 3 metrics compared." in text
    assert "- Not compared, since few images flip: smallest-flip under grid:1." in text


def test_the_terminal_says_the_same(comparison_json: dict[str, Any]) -> None:
    text = shown(comparison_json)
    assert "first: zoo:cnn1 (digest aa)" in text
    assert "second: zoo:cnn2 (digest bb)" in text
    assert "pets, 2,500 images; intervals of 95 %" in text
    assert "+25.0 points  <0.001  second" in text
    assert "no difference" in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_one_model_is_named_as_one(comparison_json: dict[str, Any]) -> None:
    assert "one model" not in shown(comparison_json)
    comparison_json["models"][1]["digest"] = "aa"
    assert "Both have the same digest: they are the same model." in shown(comparison_json)


@pytest.mark.parametrize("width", [20, 60, 80])
def test_hostile_names_do_nothing(comparison_json: dict[str, Any], width: int) -> None:
    for model in comparison_json["models"]:
        model["name"] = HOSTILE
    comparison_json["protocols"][0]["name"] = HOSTILE
    text = shown(comparison_json, width)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    markdown = comparison_markdown(read_comparison(comparison_json))
    assert "<script" not in markdown
    assert "first: a&lt;/td>&lt;script>\\[bold\\]x\\[/bold\\] \\# y�\\[2J\\|\\`z\\`" in markdown


def test_the_same_record_gives_the_same_bytes(comparison_json: dict[str, Any]) -> None:
    again = json.loads(json.dumps(comparison_json, sort_keys=True))
    assert shown(again) == shown(comparison_json)
    texts = [comparison_markdown(read_comparison(record)) for record in (again, comparison_json)]
    assert texts[0] == texts[1]
