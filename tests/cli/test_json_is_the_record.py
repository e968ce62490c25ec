"""What a command prints as JSON is the record that the library gives, to the byte, and it is read as that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tests.article.test_letter import SETTINGS

from shiftproof.adapters import ModelRequest
from shiftproof.article import _run as claims_run
from shiftproof.article import article_materials, load_preset, reproduce, run_claims
from shiftproof.article._letter import count_letter
from shiftproof.audits import AuditOptions, ask, audit, compare_audits, load_audit
from shiftproof.certify import certify
from shiftproof.cli import main
from shiftproof.engine import open_run
from shiftproof.errors import DataError
from shiftproof.explain import SensitivityMap, explain, lie_derivative, sensitivity_map
from shiftproof.fix import _rows as fix_rows
from shiftproof.fix import fix
from shiftproof.records import StrictRecord
from shiftproof.report import report_html
from shiftproof.study import Materials, Overrides, load_study, run_study

CPU = torch.device("cpu")
TINY = Path("tiny.toml")  # Written by a fixture into the folder of the test.


class Command(NamedTuple):
    """A command, and the same asked of the library; a run directory is that of the command, `run`."""

    arguments: Sequence[str]
    library: Callable[[], StrictRecord]
    code: int = 0
    before: Callable[[], object] = lambda: None


def _audited(network: str = "cnn2", out: str = "run") -> StrictRecord:
    gates = ["agreement>=0.01", "agreement>=1"]
    return audit(f"zoo:{network}", "demo:mnist", protocols=["grid:2"], limit=40, gates=gates, out=out).record


def _two_audits() -> None:
    for network in ("cnn1", "cnn2"):
        _audited(network, out=network)


def _compared() -> StrictRecord:
    return compare_audits(load_audit("cnn1"), load_audit("cnn2"))


def _certified() -> StrictRecord:
    return certify("zoo:cnn2-circular", seed=3)


def _explained() -> StrictRecord:
    asked = ask("zoo:cnn1", "demo:mnist", AuditOptions(limit=4), request=ModelRequest(untrained=True))
    found = explain(asked.classifier, asked.images, limit=4, n_remedies=0, max_shift_px=2)
    derivative = lie_derivative(asked.classifier, asked.images)
    maps = sensitivity_map(asked.classifier, asked.images, layer="body.pool1", max_shift_px=2)
    assert isinstance(maps, SensitivityMap)
    return found.beside(derivative.record(), [maps.record()])


def _fixed() -> StrictRecord:
    edits = ["canonical-position", "max-blur-pool"]
    return fix("zoo:cnn1", "demo:mnist", edits=edits, protocol="box:3,3,2", limit=60, threads=1).record


def _studied() -> StrictRecord:
    materials = Materials.load(load_study(str(TINY), overrides=Overrides(limit=60)), CPU)
    with open_run("tiny", materials.config(), out="run") as run:
        return run_study(materials, run)


def _reproduced() -> StrictRecord:
    materials = article_materials(CPU, ("dense-nn",))
    with open_run("reproduce", {**materials.config(), "minutes": 0.0, "workers": 1}, out="run") as run:
        return reproduce(materials, run, seconds=0)


def _claimed() -> StrictRecord:
    with open_run("claims", {"again": True}, out="again") as run:
        return run_claims(load_preset("quick"), run).record


COMMANDS: Mapping[str, Command] = {
    "audit": Command(
        [
            "zoo:cnn2", "demo:mnist", "--protocol", "grid:2", "--limit", "40", "--gate", "agreement>=0.01",
            "--gate", "agreement>=1", "--quiet", "--out", "run",
        ],
        _audited,
        code=1,
    ),
    "compare": Command(["cnn1", "cnn2"], _compared, before=_two_audits),
    "certify": Command(["zoo:cnn2-circular", "--seed", "3"], _certified),
    "explain": Command(
        [
            "zoo:cnn1", "demo:mnist", "--untrained", "--limit", "4", "--remedies", "0", "--max-shift-px", "2",
            "--map", "body.pool1", "--quiet",
        ],
        _explained,
    ),
    "fix": Command(
        [
            "zoo:cnn1", "demo:mnist", "--edits", "canonical-position,max-blur-pool", "--limit", "60",
            "--protocol", "box:3,3,2", "--threads", "1", "--no-onnx", "--quiet", "--out", "run",
        ],
        _fixed,
    ),
    "study": Command(
        [str(TINY), "--limit", "60", "--workers", "1", "--device", "cpu", "--quiet", "--out", "run"], _studied
    ),
    "reproduce": Command(
        [
            "--minutes", "0", "--networks", "dense-nn", "--workers", "1", "--device", "cpu", "--quiet",
            "--out", "run",
        ],
        _reproduced,
    ),
    "claims": Command(["--device", "cpu", "--quiet", "--out", "run"], _claimed, code=3),
}  # fmt: skip


@pytest.fixture
def in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is always the same, and claims whose long experiments fail at once."""

    def fails(*arguments: object) -> None:
        raise DataError("images", "none")

    monkeypatch.setattr(fix_rows, "milliseconds", lambda models, images: dict.fromkeys(models, 1.0))
    monkeypatch.setattr(claims_run, "count_letter", lambda settings: count_letter(SETTINGS))
    for name in ("_table", "_in_lab"):
        monkeypatch.setattr(claims_run, name, fails)


@pytest.mark.usefixtures("in_a_moment")
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_printed_is_the_record_of_the_library(
    name: str,
    tiny_study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tiny_study.relative_to(tmp_path) == TINY
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    arguments, library, code, prepare = COMMANDS[name]
    prepare()
    capsys.readouterr()
    assert main([name, *arguments, "--json"]) == code
    printed = capsys.readouterr().out
    record = library()
    read: Any = type(record).model_validate(json.loads(printed))
    for field in type(record).model_fields:
        assert getattr(read, field) == getattr(record, field), field
    assert printed == record.to_json()
    assert report_html(record) == report_html(json.loads(printed))
    if Path("run").is_dir():
        assert Path("run", "report.json").read_text() == printed
