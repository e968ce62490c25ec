"""What a command prints with --json is the record that the library returns, field by field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shiftproof.audits import audit, compare_audits, load_audit
from shiftproof.certify import certify
from shiftproof.cli import main
from shiftproof.records import StrictRecord, read_audit, read_certificate, read_comparison
from shiftproof.report import report_html

FEW = ["demo:mnist", "--protocol", "grid:2", "--limit", "40", "--quiet"]


def audited(network: str, folder: str) -> StrictRecord:
    gates = ["agreement>=0.01", "agreement>=1"]
    return audit(
        f"zoo:{network}", "demo:mnist", protocols=["grid:2"], limit=40, gates=gates, out=folder
    ).record


def compared() -> StrictRecord:
    for folder, network in (("a", "cnn1"), ("b", "cnn2")):
        audited(network, folder)
    return compare_audits(load_audit("a"), load_audit("b"))


# The command, what the library gives for the same, and what reads its JSON.
COMMANDS: dict[str, tuple[list[str], Callable[[], StrictRecord], Callable[[Any], StrictRecord]]] = {
    "audit": (
        ["audit", "zoo:cnn2", *FEW, "--gate", "agreement>=0.01", "--gate", "agreement>=1", "--out", "there"],
        lambda: audited("cnn2", "here"),
        read_audit,
    ),
    "compare": (["compare", "a", "b"], compared, read_comparison),
    "certify": (
        ["certify", "zoo:cnn2-gap", "--no-numeric"],
        lambda: certify("zoo:cnn2-gap", numeric=False),
        read_certificate,
    ),
}


def fields(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a document, by its place."""
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if inner is None:
        yield place, value
        return
    yield f"{place}.", len(value)
    for name, each in inner:
        yield from fields(each, f"{place}.{name}")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_the_record(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    arguments, library, read = COMMANDS[command]
    record = library()
    capsys.readouterr()
    assert main([*arguments, "--json"]) in (0, 1, 3), "not an error"
    printed = capsys.readouterr().out
    document = json.loads(printed)
    said, wanted = dict(fields(document)), dict(fields(record.to_dict()))
    assert said == wanted
    assert len(wanted) > 20, "a whole record"
    assert printed == record.to_json(), "the same bytes"
    assert read(document) == record
    assert report_html(record) == report_html(document)
