"""`shiftproof audit` and `shiftproof compare` as a user meets them."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from shiftproof.audits import AuditOptions, audit, load_audit
from shiftproof.cli import main
from shiftproof.cli._audit import audit as command
from shiftproof.data import Reading

MODEL = ["zoo:cnn1", "demo:mnist", "--untrained"]
SMALL = ["--limit", "40", "--protocol", "grid:1", "--quiet"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and configuration of the tests are their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def test_an_audit_prints_and_writes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "audit", *MODEL, *SMALL, "--out", "r")
    assert code == 0
    assert "cnn1 keeps its prediction under" in " ".join(out.split())
    assert "untrained" in " ".join(out.split()), "what is measured is said"
    assert "Run directory: r" in err
    assert {p.name for p in Path("r").iterdir()} >= {
        "run.json",
        "report.json",
        "report.md",
        "junit.xml",
        "units",
    }
    assert ElementTree.parse("r/junit.xml").getroot().tag in ("testsuite", "testsuites")


def test_json_is_one_document_and_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "audit", *MODEL, *SMALL, "--out", "r", "--json")
    assert code == 0
    record = json.loads(out)
    assert record == json.loads(Path("r/report.json").read_text())
    assert record["protocols"][0]["estimates"]["agreement"]["n_images"] == 40
    assert load_audit(Path("r")).record.to_dict() == record


def test_the_same_command_goes_on_and_gives_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    _, first, _ = run(capsys, "audit", *MODEL, *SMALL, "--json")
    _, second, _ = run(capsys, "audit", *MODEL, *SMALL, "--json")
    assert first == second
    assert len(list(Path("runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["agreement>=0.01"], 0),
        (["agreement>=1"], 1),
        (["agreement>=0.01", "clean-accuracy>=0.999"], 1),
        (["grid:1/agreement@1 >= 0.01"], 0),
        (["kept-when-right>=0.99"], 1),
        (["agreement@0.5>=0"], 2),
        (["agreement@99>=0.5"], 2),
        (["agreemint>=1"], 2),
        (["agreement>=98"], 2),
        (["agreement~1"], 2),
        (["grid:7/agreement>=0"], 2),
    ],
)
def test_gates_decide_the_exit_code(gates: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [word for gate in gates for word in ("--gate", gate)]
    got, out, err = run(capsys, "audit", *MODEL, *SMALL, *arguments)
    assert got == code
    assert ("Expected" in err) == (code == 2)
    assert bool(out) == (code != 2)


def test_an_undecided_gate_counts_as_one_says(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "audit", *MODEL, *SMALL, "--json")
    value = json.loads(out)["protocols"][0]["estimates"]["agreement"]["value"]
    gate = ["--gate", f"agreement>={value:.4f}"]
    for choice, expected in (("undecided", 3), ("pass", 0), ("fail", 1)):
        code, _, _ = run(capsys, "audit", *MODEL, *SMALL, *gate, "--inconclusive", choice)
        assert code == expected
    assert run(capsys, "audit", *MODEL, *SMALL, "--inconclusive", "maybe")[0] == 2


def test_a_baseline_and_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "audit", *MODEL, *SMALL, "--out", "a")[0] == 0
    assert run(capsys, "audit", "zoo:dense-nn", "demo:mnist", *SMALL, "--out", "b")[0] == 0
    assert run(capsys, "audit", *MODEL, *SMALL, "--out", "a", "--baseline", "a")[0] == 0
    code, out, _ = run(capsys, "compare", "a", "b", "--json")
    assert code == 0
    record = json.loads(out)
    rows: dict[str, Any] = {row["metric"]: row for row in record["protocols"][0]["rows"]}
    agreement = rows["agreement"]
    assert agreement["difference"]["value"] == pytest.approx(
        agreement["second"]["value"] - agreement["first"]["value"]
    )
    code, out, _ = run(capsys, "compare", "a", "b")
    assert code == 0
    assert "agreement" in out


def test_runs_that_cannot_be_compared_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "audit", *MODEL, *SMALL, "--out", "a")
    run(capsys, "audit", *MODEL, *SMALL, "--out", "b", "--seed", "1")
    code, out, err = run(capsys, "compare", "a", "b")
    assert (code, out) == (2, "")
    assert "Expected two responses to the same" in " ".join(err.split())
    assert run(capsys, "compare", "a", "nowhere")[0] == 2


def test_a_dry_run_computes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "audit", *MODEL, *SMALL, "--dry-run", "--json")
    assert code == 0
    (row,) = json.loads(out)
    assert row["forwards"] == 40 * 10
    assert not Path("runs").exists()
    assert "40 images × 9 shifts" in run(capsys, "audit", *MODEL, *SMALL, "--dry-run")[1]


def test_options_may_stand_in_pyproject(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_text(
        """
        [tool.shiftproof]
        protocol = ["pyproject.toml:mine"]
        gate = ["agreement >= 1"]
        limit = 30
        max-bad = 0.5
        [tool.shiftproof.protocols.mine]
        law = "ring"
        radius_px = 1
        """
    )
    code, out, _ = run(capsys, "audit", *MODEL, "--json", "--quiet")
    record = json.loads(out)
    assert code == 1
    assert record["protocols"][0]["name"] == "mine"
    assert record["data"]["n_images"] == 30
    assert run(capsys, "audit", *MODEL, "--gate", "agreement>=0", "--quiet")[0] == 0, "the command line wins"
    Path("pyproject.toml").write_text("[tool.shiftproof]\ngates = []")
    code, _, err = run(capsys, "audit", *MODEL)
    assert code == 2
    assert "Did you mean 'gate'" in " ".join(err.split())
    Path("pyproject.toml").write_text("[tool")
    assert run(capsys, "audit", *MODEL)[0] == 2
    assert run(capsys, "zoo", "ls")[0] == 0, "other commands do not care"


def test_a_step_summary_is_written_where_github_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    run(capsys, "audit", *MODEL, *SMALL, "--gate", "agreement>=0")
    assert "agreement>=0" in Path("summary.md").read_text()


def test_the_defaults_are_those_of_the_library() -> None:
    """Written once more where options are declared, since torch is not imported to parse them."""
    here = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    declared = [*fields(AuditOptions), *fields(Reading)]
    options = {each.name: each.default for each in declared if each.name not in ("protocols", "reading")}
    margin = inspect.signature(audit).parameters["margin"].default
    assert {**options, "margin": margin}.items() <= here.items()


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "zoo:cnn9", "demo:mnist"],
        ["audit", "nothing.onnx", "demo:mnist"],
        ["audit", "model.pt", "demo:mnist"],
        ["audit", "zoo:cnn1", "nowhere"],
        ["audit", "zoo:cnn1", "demo:mnist", "--protocol", "gird:1"],
        ["audit", "zoo:cnn1", "demo:mnist", "--border", "wrap"],
        ["audit", "zoo:cnn1", "demo:mnist", "--method", "fast"],
        ["audit", "zoo:cnn1", "demo:mnist", "--mean", "a"],
        ["audit", "zoo:cnn1", "demo:mnist", "--size", "big"],
        ["audit", "zoo:cnn1", "demo:mnist", "--std", "0"],
        ["audit", "zoo:cnn1", "demo:mnist", "--device", "tpu"],
        ["audit", "zoo:cnn1", "demo:mnist", "--class-names", "nowhere.txt"],
        ["audit", "zoo:cnn1", "demo:mnist", "--baseline", "nowhere"],
        ["audit", "zoo:cnn1", "demo:mnist", "--model-arg", "x"],
        ["audit", "zoo:cnn1"],
    ],
    ids=" ".join,
)
def test_mistakes_end_with_2_and_one_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.strip()


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    for what, name in (("models", "reference"), ("protocols", "name"), ("metrics", "name")):
        code, out, _ = run(capsys, what, "ls", "--json")
        assert code == 0
        assert len(json.loads(out)) > 5
        assert all(row[name] for row in json.loads(out))
        assert run(capsys, what, "ls")[0] == 0
