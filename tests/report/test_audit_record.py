"""The schema of an audit: what run_audit writes is read, anything else is refused in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from shiftproof.errors import DataError
from shiftproof.report import read_audit, read_comparison


def test_a_file_and_a_mapping_are_the_same(with_gates: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(with_gates, sort_keys=True, ensure_ascii=False), encoding="utf-8")
    assert read_audit(path) == read_audit(with_gates)


def test_a_number_is_an_estimate_a_difference_or_a_reason(with_gates: dict[str, Any]) -> None:
    record = read_audit(with_gates)
    kinds = [type(gate.measured).__name__ for gate in record.gates]
    assert kinds == ["Estimate"] * 3 + ["NotApplicable", "Difference"]
    part = record.protocols[0]
    assert part.by_shift["agreement"].points[0].at == (-1.0, -1.0)
    assert part.by_radius["agreement"].points[0].at == 1


def test_names_are_printable_from_the_start(hostile: dict[str, Any]) -> None:
    record = read_audit(hostile)
    names = [record.verdict, record.model.name, record.protocols[0].worst[0].name, record.gates[0].demand]
    assert all(name.isprintable() for name in names)
    assert names[0] == "a</td><script>[bold]x[/bold] # y�[2J|`z`��_é.png"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 1, "schema_version: Input should be 2"),
        (["kind"], "study", "kind: Input should be 'audit'"),
        (["protocols"], [], "protocols: Tuple should have at least 1 item"),
        (["surprise"], 1, "surprise: Extra inputs are not permitted"),
        (["headline"], ["unheard-of"], "'unheard-of' is not described, or not measured under 'grid:1'"),
        (["protocols", 0, "estimates", "agreement"], {"value": 1}, "estimates.agreement.estimate.low: Field"),
        (["protocols", 0, "estimates", "agreement"], 0.5, "estimates.agreement.estimate: Input should be"),
        (["protocols", 0, "worst", 0, "flip_offset_px"], [1], "flip_offset_px.1: Field required"),
    ],
)
def test_other_records_are_refused(
    audit_json: dict[str, Any], path: list[str | int], value: Any, message: str
) -> None:
    changed = copy.deepcopy(audit_json)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(DataError, match="the record of an audit") as caught:
        read_audit(changed)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_map_holds_numbers_only(audit_json: dict[str, Any]) -> None:
    audit_json["protocols"][0]["by_shift"]["agreement"]["points"][0]["value"] = float("nan")
    with pytest.raises(DataError, match="finite number"):
        read_audit(audit_json)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"report\.json as the record of an audit"):
        read_audit(path)
    with pytest.raises(DataError, match=r"missing\.json as the record of a comparison"):
        read_comparison(tmp_path / "missing.json")


def test_a_comparison_is_no_audit(comparison_json: dict[str, Any], audit_json: dict[str, Any]) -> None:
    assert [m.name for m in read_comparison(comparison_json).models] == ["zoo:cnn1", "zoo:cnn2"]
    with pytest.raises(DataError, match="the record of an audit"):
        read_audit(comparison_json)
    with pytest.raises(DataError, match="the record of a comparison"):
        read_comparison(audit_json)
