"""All claims from one call: a verdict each, resumed without computing anything twice."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from tests.article.tiny_claims import compute, contents, tiny

from shiftproof.article import CLAIMS, load_preset, run_claims
from shiftproof.article import _run as running
from shiftproof.engine import Engine, open_run
from shiftproof.errors import DataError
from shiftproof.report import claims_markdown, read_claims


@pytest.mark.slow
def test_every_claim_has_a_verdict_and_a_second_run_finds_everything(
    claims_here: Path, tmp_path: Path
) -> None:
    shutil.copytree(claims_here, tmp_path / "run")
    units = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "units").iterdir()}
    preset = tiny()
    with open_run("claims", preset.config(), out=tmp_path / "run") as run:
        again = run_claims(preset, run)
        written = (run.folder / "report.json").read_bytes()
    assert written == (claims_here / "report.json").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "units").iterdir()} == units
    record = read_claims(json.loads(written))
    assert [claim.number for claim in record.claims] == list(CLAIMS)
    assert all(claim.checks for claim in record.claims)
    assert record.status == "complete"
    assert all(CLAIMS[number][:20] in claims_markdown(record) for number in CLAIMS)
    assert dict(again.figures()).keys() >= {"letter", "transfer", "sharing", "scrambled"}


@pytest.mark.slow
def test_workers_do_not_change_bytes(claims_here: Path, tmp_path: Path) -> None:
    """All units but those of the clock, which the second run is given, and then the report."""
    compute(tmp_path / "there", Engine(workers=2), clock=claims_here)
    assert contents(tmp_path / "there") == contents(claims_here)


def test_an_experiment_that_fails_leaves_its_claims_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others keep their verdicts: nothing that was computed is lost."""

    def broken(*arguments: object, **options: object) -> None:
        raise DataError("images", "none")

    for name in ("_table", "_in_lab"):
        monkeypatch.setattr(running, name, broken)
    preset = dataclasses.replace(load_preset("quick"))
    with open_run("claims", preset.config(), out=tmp_path / "run") as run:
        record = run_claims(preset, run).record
    assert record.status == "incomplete"
    assert set(record.errors) == {"article", "alternatives", "sharing", "transfer", "scrambled"}
    by_number = {claim.number: claim for claim in record.claims}
    assert by_number[7].verdict == "not reproduced"
    assert "Expected images, got none" in by_number[7].sentence
    assert by_number[5].checks[0].holds is not None
