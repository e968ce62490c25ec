"""Options on data, as a user gives them: windows, tables with columns of their own, roots."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from shiftproof.cli import main

SMALL = ["--protocol", "grid:1", "--quiet"]
MODEL = ["audit", "zoo:dense-nn"]


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six scans in Hounsfield units, and a table in another folder that names them in its own words."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    folder = tmp_path / "scans"
    folder.mkdir()
    for row in range(6):
        samples = np.random.default_rng(row).integers(-1000, 3000, (28, 28)).astype(np.int16)
        tifffile.imwrite(folder / f"{row}.TIF", samples, photometric="minisblack")
    lines = [f"{folder}/{row}.TIF;{row % 3}" for row in range(6)]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "list.csv").write_text("\n".join(["scan;finding", *lines]), encoding="utf-8-sig")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main([*arguments])
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), " ".join(captured.err.split())


def test_scans_need_a_window_and_what_was_done_is_shown(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *MODEL, "scans", *SMALL)
    assert code == 2
    assert "signed 16-bit samples" in err
    assert "--window LOW,HIGH" in err
    code, out, _ = run(capsys, *MODEL, "scans", *SMALL, "--window", "-1000,400", "--out", "r")
    assert code == 0
    assert "converted: window -1000 to 400: 6" in out
    assert "converted: window -1000 to 400: 6" in Path("r/report.md").read_text()


def test_a_table_with_columns_of_its_own(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = [
        "tables/list.csv",
        *SMALL,
        "--window=0,2000",
        "--path-column",
        "scan",
        "--label-column",
        "finding",
    ]
    code, _, err = run(capsys, *MODEL, *table)
    assert code == 2
    assert "--root FOLDER" in err
    code = main([*MODEL, *table, "--root", "scans", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert code == 0
    assert record["data"]["n_images"] == 6
    assert record["data"]["labelled"] is True
    worst = record["protocols"][0]["worst"]
    assert {each["name"] for each in worst} <= {f"{row}.TIF" for row in range(6)}


def test_the_same_options_are_those_of_explain_and_certify(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["tables/list.csv", "--window", "0,2000", "--root", "scans", "--path-column", "scan"]
    code, out, _ = run(capsys, "explain", "zoo:cnn1", *options, "--remedies", "0", "--limit", "4", "--quiet")
    assert code == 0
    assert "converted: window 0 to 2000: 4" in out
    code, _, err = run(capsys, "certify", "zoo:cnn1", *options[:3], "--path-column", "nothing")
    assert code == 2
    assert "the column `nothing`" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scans", "--window", "400"], "a window of two finite values, the lower one first"),
        (["scans", "--window", "400,-1000"], "the lower one first, got 400.0, -1000.0"),
        (["scans", "--window", "a,b"], "'a' is no number"),
        (["demo:mnist", "--window", "0,1"], "no --window for demo:mnist"),
        (["scans", "--path-column", "x", "--window", "0,1"], "no --path-column for a folder of images"),
        (["scans", "--root", "nowhere", "--window", "0,1"], "a folder for --root, got 'nowhere'"),
        (["tables/list.csv", "--window", "0,1"], "the column `path`"),
    ],
)
def test_mistakes_exit_2_with_one_message(
    scans: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = run(capsys, *MODEL, *arguments, *SMALL)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
