"""`--figures` of `shiftproof audit` and `shiftproof compare` as a user meets it."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from shiftproof.audits import load_audit
from shiftproof.cli import main
from shiftproof.report import audit_figures

SMALL = ["demo:mnist", "--limit", "30", "--protocol", "grid:1", "--quiet"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the tests are their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def test_an_audit_draws_its_record_into_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["audit", "zoo:cnn1", *SMALL, "--out", "r", "--figures"]) == 0
    assert "Figures: r/figures" in capsys.readouterr().err
    files = {path.name: path.read_bytes() for path in Path("r/figures").iterdir()}
    assert files == audit_figures(load_audit(Path("r")).record)
    assert {ElementTree.fromstring(svg).tag.rpartition("}")[2] for svg in files.values()} == {"svg"}
    assert main(["audit", "zoo:cnn1", *SMALL, "--out", "r", "--figures"]) == 0
    assert files == {path.name: path.read_bytes() for path in Path("r/figures").iterdir()}


def test_without_the_option_nothing_is_drawn() -> None:
    assert main(["audit", "zoo:cnn1", *SMALL, "--out", "r"]) == 0
    assert not Path("r/figures").exists()


def test_a_comparison_draws_into_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    for name in ("cnn1", "dense-nn"):
        assert main(["audit", f"zoo:{name}", *SMALL, "--out", name]) == 0
    assert main(["compare", "cnn1", "dense-nn", "--figures", "drawn/here"]) == 0
    assert {path.name for path in Path("drawn/here").iterdir()} == {
        "grid-1-differences.svg",
        "grid-1-by-radius.svg",
    }
    Path("file").write_text("")
    assert main(["compare", "cnn1", "dense-nn", "--figures", "file"]) == 2
    assert "Cannot write 'file'" in " ".join(capsys.readouterr().err.split())


def test_without_matplotlib_nothing_is_measured_in_vain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["audit", "zoo:cnn1", *SMALL, "--out", "r", "--figures"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "--figures needs it. Run: pip install 'shiftproof[plot]'" in error
    assert not Path("r").exists()
