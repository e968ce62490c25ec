"""`shiftproof explain` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from shiftproof.cli import main
from shiftproof.data import load_data
from shiftproof.errors import DataError
from shiftproof.explain import explain
from shiftproof.report import explanation_markdown, read_explanation
from shiftproof.zoo import build_network

COMMAND = ["explain", "zoo:cnn1", "demo:mnist", "--untrained", "--limit", "6", "--remedies", "0", "--quiet"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_layers_and_sentences_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *COMMAND)
    text = " ".join(out.split())
    assert code == 0
    assert err == ""
    assert "`body.flatten` loses" in text
    assert "from here on position is part of the features" in text
    assert "body.pool1" in text
    assert "untrained" in text
    assert all(len(line) <= 80 for line in out.splitlines())


def test_what_is_done_is_said_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    code, _, err = run(capsys, *COMMAND[:-1], "--figure", "f.svg")
    assert code == 0
    assert "cutting" in err
    assert ElementTree.parse("f.svg").getroot().tag.endswith("svg")


def test_a_name_with_markup_in_it_is_printed_as_it_is() -> None:
    found = explain(build_network("cnn1"), load_data("mnist", "test").head(4), n_remedies=0).to_dict()
    name = "<b>|[red]\x1b[2J"
    record = {**found, "model": {**found["model"], "name": name}}  # type: ignore[dict-item]
    text = explanation_markdown(read_explanation(record))
    assert "&lt;b>\\|\\[red\\]" in text
    assert "\x1b" not in text
    assert "| body.flatten |" in text
    with pytest.raises(DataError, match="the record of an explanation"):
        read_explanation({**found, "schema_version": 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--limit", "1"], "`limit` of at least 2"),
        (["--max-shift-px", "28"], "a longest shift from 1 to 27 px"),
        (["--border", "nothing"], "border"),
        (["--remedies", "-1"], "`n_remedies` of at least 0"),
        (["--batch-size", "0"], "`batch_size` of at least 1"),
        (["--shifts", "0"], "`n_shifts` of at least 1"),
        (["--cuts", "1"], "`most_cuts` of at least 2"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *COMMAND, *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_the_derivative_and_maps_of_layers_are_in_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "blame.png"
    where = ["zoo:cnn1", "demo:mnist", "--limit", "4", "--remedies", "0", "--max-shift-px", "2"]
    maps = ["--map", "logits", "--map", "body.pool1", "--figure", str(figure)]
    assert main(["explain", *where, *maps, "--json", "-q"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["lie_derivative"]["mean_abs"]["y"]["unit"] == "probability per px"
    assert [each["layer"] for each in record["sensitivity"]] == [None, "body.pool1"]
    assert np.shape(record["sensitivity"][1]["map"]) == (5, 5)
    assert all(each["map"][2][2] == 0 for each in record["sensitivity"]), "no shift, no change"
    pictures = [figure, tmp_path / "blame-logits.png", tmp_path / "blame-body.pool1.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    text = explanation_markdown(read_explanation(record))
    assert "Lie derivative" in text
    assert "sensitivity of body.pool1" in text


def test_convention_a_cause_stands_in_its_column_whatever_the_order_of_the_keys() -> None:
    """A file has sorted keys."""
    found = explain(build_network("cnn1"), load_data("mnist", "test").head(4), n_remedies=0)
    record: dict[str, Any] = found.to_dict()
    in_file = json.loads(json.dumps(record, sort_keys=True))
    assert list(in_file["rows"][0]["split"]) != list(record["rows"][0]["split"])
    markdown = explanation_markdown(read_explanation(record))
    assert explanation_markdown(read_explanation(in_file)) == markdown
    (flatten,) = [line for line in markdown.splitlines() if line.startswith("| body.flatten")]
    cells = [cell.strip() for cell in flatten.strip("|").split("|")]
    assert "| down | border | head | non-lin |" in markdown
    assert cells[7] != "·", "the head"
    assert cells[6] == "·", "no border"
