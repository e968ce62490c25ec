"""`shiftproof fix`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shiftproof.cli import main
from shiftproof.edits import edits

QUICK = ["--limit", "60", "--threads", "1", "--protocol", "box:3,3,2", "--no-onnx", "--quiet"]


def run(*arguments: str, out: Path) -> int:
    return main(["fix", *arguments, *QUICK, "--out", str(out)])


def test_a_table_a_record_and_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("zoo:cnn2", "demo:mnist", "--edits", "canonical-position,max-blur-pool", out=out) == 0
    text = capsys.readouterr().out
    assert "canonical-position" in text
    assert f"Model: fixed:{out}" in text.replace("\n", "")
    record = json.loads((out / "report.json").read_text())
    assert record["kind"] == "fix"
    page = (out / "report.html").read_text()
    assert "canonical-position" in page
    assert "<svg" in page
    assert (out / "report.md").read_text().startswith("**zoo:cnn2")
    assert main(["audit", f"fixed:{out}", "demo:mnist", "--limit", "20", "--protocol", "ring:1", "--quiet",
                 "--threads", "1", "--out", str(tmp_path / "audit")]) == 0  # fmt: skip
    assert "fixed:out keeps its prediction" in capsys.readouterr().out


def test_json_is_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("zoo:cnn1", "demo:mnist", "--edits", "canonical-position", "--json", out=out) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "report.json").read_text())


def test_edits_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edits", "ls", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(edits.names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zoo:cnn2", "demo:mnist", "--budget", "0.9x"], "a budget of at least 1"),
        (["zoo:cnn2", "demo:mnist", "--budget", "cheap"], "a factor such as 1.2x"),
        (["zoo:cnn2", "demo:mnist", "--edits", "max-blur"], "Did you mean 'max-blur-pool'"),
        (["zoo:cnn2", "demo:mnist", "--edits", "patch-blur"], "There is nothing to fix"),
        (["zoo:cnn2", "demo:mnist", "--epochs", "-1"], "`epochs` of at least 0"),
        (["fixed:nowhere", "demo:mnist"], "the directory of a fixed model"),
        (["zoo:cnn9", "demo:mnist"], "Did you mean"),
    ],
)
def test_mistakes_end_with_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, out=tmp_path / "out") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error.replace("│ ", "").replace(" │", "")
    assert "Traceback" not in error
