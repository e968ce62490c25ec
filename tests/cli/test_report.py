"""`shiftproof report`, and the page that every run leaves, as a user meets them."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from shiftproof.audits import load_audit
from shiftproof.cli import main
from shiftproof.report import report_html

SMALL = ["demo:mnist", "--limit", "30", "--protocol", "grid:3", "--quiet"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the tests are their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def run(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["audit", "zoo:cnn2", *SMALL, "--out", "r"]) == 0
    assert "To show: r/report.html" in capsys.readouterr().out
    return Path("r")


def test_an_audit_leaves_the_page_of_its_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = (run / "report.html").read_bytes()
    assert left.decode() == report_html(load_audit(run).record)
    (run / "report.html").unlink()
    assert main(["report", "r"]) == 0
    assert capsys.readouterr().out == "Report: r/report.html\n"
    assert (run / "report.html").read_bytes() == left


def test_pictures_stay_out_where_they_are_not_wanted(run: Path) -> None:
    assert b"data:image/png" in (run / "report.html").read_bytes()
    assert main(["audit", "zoo:cnn2", *SMALL, "--out", "r", "--no-pictures"]) == 0
    for name in ("report.html", "report.json"):
        assert b"data:image" not in (run / name).read_bytes().replace(b"img-src data:", b"")


def test_other_commands_write_a_page_where_they_are_asked_to(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "zoo:cnn1", *SMALL, "--out", "a"]) == 0
    capsys.readouterr()
    for name, command in {
        "compare": ["compare", "a", "r"],
        "certify": ["certify", "zoo:cnn2-gap", "--no-numeric"],
    }.items():
        assert main([*command, "--json", "--html", f"{name}.html"]) in (0, 3)
        out, err = capsys.readouterr()
        assert f"Report: {name}.html" in err
        record = json.loads(out)
        assert Path(f"{name}.html").read_text() == report_html(record)
        Path(f"{name}.json").write_text(out)
        assert main(["report", f"{name}.json"]) == 0
        assert Path(f"{name}.html").read_text() == report_html(record)
        capsys.readouterr()
    assert main(["report", "r", "compare.json", "certify.json", "--out", "all.html"]) == 0
    whole = Path("all.html").read_text()
    assert "<h2>Comparison</h2>" in whole
    assert "<h2>Certificate: Step by step</h2>" in whole


def test_it_is_opened_where_there_is_a_browser(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def no_browser(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr(webbrowser, "open", no_browser)
    assert main(["report", "r", "--open"]) == 0
    assert opened == [(Path.cwd() / "r" / "report.html").as_uri()]
    assert "There is no browser here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "'nowhere' as the record of a run: No such file"),
        (["."], "'report.json' as the record of a run: No such file"),
        (["r", "--out", "no/such/folder.html"], "Cannot write 'folder.html'"),
    ],
)
def test_mistakes_are_one_sentence(
    run: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
