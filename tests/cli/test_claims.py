"""`shiftproof claims`: what can go wrong before anything is computed, and what is printed at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.report.test_claims import record

from shiftproof import article
from shiftproof.article import ClaimsResult
from shiftproof.cli import main
from shiftproof.engine import Run
from shiftproof.errors import Stopped
from shiftproof.report import read_claims


def test_an_unknown_preset_is_a_mistake_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "--preset", "quik"]) == 2
    assert "quick" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [("complete", 0), ("incomplete", 3)])
def test_json_is_the_record_alone(
    status: str,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = record(status=status)
    monkeypatch.setattr(
        article, "run_claims", lambda preset, run, **options: ClaimsResult(read_claims(found))
    )
    assert main(["claims", "--json", "--quiet", "--out", str(tmp_path / "run")]) == code
    assert json.loads(capsys.readouterr().out) == found
    assert (tmp_path / "run" / "report.md").read_text().startswith("**12 claims")


def test_a_stop_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(preset: Any, run: Run, **options: Any) -> ClaimsResult:
        raise Stopped.cannot("finish", "there was a request to stop")

    monkeypatch.setattr(article, "run_claims", stopped)
    assert main(["claims", "--out", str(tmp_path / "run")]) == 130
    assert "To resume:" in capsys.readouterr().err
