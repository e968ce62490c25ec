"""Every kind of record has a page: studies, claims, certificates, and kinds that are known by shape alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.report.reading import tables, text_of
from tests.report.test_claims import record as claims_record

from shiftproof.certify import certify
from shiftproof.cli import main
from shiftproof.explain import explain
from shiftproof.records import Estimate, NotApplicable, StrictRecord
from shiftproof.report import report_html
from shiftproof.report._html import page_html
from shiftproof.report._html_any import record_page

SHARE = "share of images"


def estimate(value: float) -> Estimate:
    return Estimate(
        value=value, low=value - 0.1, high=value + 0.1, n_images=9, n_seeds=1, unit=SHARE, confidence=0.95,
        method="by hand",
    )  # fmt: skip


class Row(StrictRecord):
    layer: str
    loss: Estimate | NotApplicable
    by_cause: dict[str, float]
    sentence: str


class Unknown(StrictRecord):
    kind: str
    total: Estimate
    rows: tuple[Row, ...]
    offsets_px: tuple[tuple[float, float], ...]
    about: dict[str, Any]
    notes: tuple[str, ...]
    extra: BaseModel | None = None


def test_a_record_of_any_shape_is_shown_whole() -> None:
    record = Unknown(
        kind="new",
        total=estimate(0.5),
        rows=(
            Row(
                layer="conv1", loss=estimate(0.25), by_cause={"border": -0.125}, sentence="<b>loses</b> " * 7
            ),
            Row(layer="head", loss=NotApplicable("no maps"), by_cause={}, sentence=""),
            Row(layer="pool", loss=estimate(0.75), by_cause={"border": 0.5}, sentence="most"),
        ),
        offsets_px=((1.0, -2.5), (0.0, 3.0)),
        about={"model": {"name": "net", "size": 28}},
        notes=("first note", "second note"),
    )
    page = page_html(record_page(record, kind="new", headline="What was found"))
    text = text_of(page)
    assert "50.0 % (40.0 % to 60.0 %, n = 9 images)" in text
    assert "1, −2.5; 0, 3" in text
    assert "first note" in text
    assert "model.name net" in text
    (table,) = tables(page)
    assert table[0] == ["layer", "loss", "by cause.border", "sentence"]
    assert table[1][:3] == ["conv1", "25.0 % (15.0 % to 35.0 %)", "−0.125"]
    assert table[1][3].startswith("<b>loses</b>")
    assert table[2][:3] == ["head", "no maps", ""]
    assert page.count("<svg") == 1


def test_an_explanation_has_a_page() -> None:
    found = explain("zoo:cnn1", "demo:mnist", limit=2, n_remedies=0)
    page = report_html(found)
    assert page == report_html(found.to_dict())
    for row in found.rows:
        assert any(row.layer in cells for table in tables(page) for cells in table), row.layer


def test_claims_have_a_page() -> None:
    page = report_html(claims_record())
    text = text_of(page)
    assert "12 claims of the article: 11 reproduced, 1 partly." in text
    assert "All [red]of it[/red]." in text
    assert "<b>0</b>." in text
    assert len(tables(page)) == 13
    assert "incomplete" in text_of(report_html(claims_record(status="incomplete", errors={"x": "y"})))


@pytest.mark.parametrize("network", ["cnn2-circular", "cnn2"])
def test_certificates_have_a_page(network: str) -> None:
    found = certify(f"zoo:{network}", n_images=1, n_moves=3)
    page = report_html(found.to_dict())
    assert found.headline in text_of(page)
    assert ('class="outcome pass"' in page) == (found.verdict != "nothing")
    steps = next(table for table in tables(page) if table[0][0] == "layer")
    assert len(steps) == 1 + len(found.stages)


@pytest.mark.slow
def test_a_study_and_a_reproduction_leave_a_page(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", str(tiny_study), "--out", "s", "--limit", "60", "--quiet", "--workers", "1"]) == 0
    assert main(["reproduce", "--out", "r", "--minutes", "0", "--networks", "cnn1", "--quiet"]) == 0
    capsys.readouterr()
    for folder in ("s", "r"):
        record = json.loads(Path(folder, "report.json").read_text())
        page = Path(folder, "report.html").read_text()
        assert page == report_html(record)
        study = record["table"] if folder == "r" else record
        text = text_of(page)
        for row in study["rows"]:
            for cell in row["cells"]:
                assert f"{cell['metrics']['accuracy']['value']:.4f}" in text
