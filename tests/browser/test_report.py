"""The report as its readers meet it: pointer, touch, keys, no scripts, paper, small screens, dark rooms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.seen import NARROW, Visit, offset_text, overflow_px

from shiftproof._text import percent
from shiftproof.audits import Audit, compare_audits
from shiftproof.certify import certify
from shiftproof.records import Offset, PointRecord
from shiftproof.report import in_frame, report_html

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Points = dict[str, dict[Offset, PointRecord[Offset]]]
SIDE = range(-2, 3)
HOSTILE = (
    "</title></script><img src=x onerror=window.hacked=1><svg onload=window.hacked=1>{{7*7}}\u202e\x1b[2J"
)


def said_of(point: PointRecord[Offset]) -> str:
    """A share of images in full, computed here from the record."""
    value, low, high = (percent(end) for end in (point.value, point.low, point.high))
    return f"agreement {value} ({low} to {high}, n = {point.n_images} images)"


def cell(page: Page, dy: int, dx: int) -> tuple[float, float]:
    """Where on the canvas a cell has its middle, in px."""
    box = canvas(page).bounding_box()
    assert box
    return (dx + 2.5) * box["width"] / 5, (dy + 2.5) * box["height"] / 5


def canvas(page: Page) -> Locator:
    return page.locator(".plane-frame canvas")


def readout(page: Page) -> str:
    return page.locator(".plane-readout").inner_text()


def test_every_cell_says_what_the_record_says(visit: Visit, report: Path, points: Points) -> None:
    page = visit.open(report)
    for dy in SIDE:
        for dx in SIDE:
            x, y = cell(page, dy, dx)
            canvas(page).hover(position={"x": x, "y": y})
            expected = said_of(points["agreement"][dy, dx]) if dy or dx else "the unshifted image"
            assert readout(page) == f"{offset_text(dy, dx)}: {expected}"
    visit.keep(page, "report-wide")


@pytest.mark.slow
def test_another_metric_has_its_own_numbers(visit: Visit, report: Path, points: Points) -> None:
    page = visit.open(report)
    page.locator("select").select_option(label="drift (share of the norm of the logits)")
    page.get_by_role("button", name="unshifted").click()
    canvas(page).press("ArrowDown")
    found = re.search(r"drift ([\d.]+) \(", readout(page))
    assert found
    assert float(found[1]) == pytest.approx(points["drift"][1, 0].value, rel=0.005)


def test_keys_move_by_cells_and_stop_at_the_border(visit: Visit, report: Path) -> None:
    page = visit.open(report)
    canvas(page).press("Home")
    for key, expected in (
        ("ArrowUp", (-1, 0)), ("ArrowLeft", (-1, -1)), ("ArrowDown", (0, -1)), ("ArrowRight", (0, 0)),
        ("Shift+ArrowRight", (0, 2)), ("ArrowRight", (0, 2)), ("Home", (0, 0)),
    ):  # fmt: skip
        canvas(page).press(key)
        assert readout(page).startswith(offset_text(*expected)), key
        assert page.locator("output").all_inner_texts() == [f"{end} px".replace("-", "−") for end in expected]


def test_a_click_shows_the_images_that_change_there(visit: Visit, report: Path, measured: Audit) -> None:
    part = measured.record.protocols[0]
    found = max(part.changed, key=lambda each: each.n_images)
    page = visit.open(report)
    x, y = cell(page, *(int(end) for end in found.at))
    canvas(page).click(position={"x": x, "y": y})
    detail = page.locator(".plane-detail")
    assert detail.locator("p").inner_text().startswith(f"{found.n_images} image")
    names = [part.changed_images[str(index)].name for index, _ in found.examples]
    answers = [f"{part.changed_images[str(index)].unshifted} → {answer}" for index, answer in found.examples]
    assert detail.locator("li > span:last-child").all_inner_texts() == [
        f"{name}\n{answer}" for name, answer in zip(names, answers, strict=True)
    ]
    page.get_by_role("button", name="unshifted").click()
    assert "Choose a shift" in detail.inner_text()


@pytest.mark.slow
def test_a_finger_does_the_same(visit: Visit, report: Path, points: Points) -> None:
    page = visit.open(report, viewport=NARROW, has_touch=True, is_mobile=True, device_scale_factor=2)
    x, y = cell(page, 2, -1)
    canvas(page).tap(position={"x": x, "y": y})
    assert readout(page) == f"{offset_text(2, -1)}: {said_of(points['agreement'][2, -1])}"


@pytest.mark.slow
def test_sliders_are_the_way_without_pointing(visit: Visit, report: Path, points: Points) -> None:
    page = visit.open(report)
    for name, key in (("dy", "End"), ("dx", "Home")):
        page.get_by_role("slider", name=name).press(key)
    assert readout(page) == f"{offset_text(2, -2)}: {said_of(points['agreement'][2, -2])}"
    assert page.get_by_role("slider", name="dx").get_attribute("aria-valuetext") == "−2 px"


@pytest.mark.slow
def test_without_scripts_every_number_is_in_tables(visit: Visit, report: Path, points: Points) -> None:
    page = visit.open(report, java_script_enabled=False)
    assert page.locator(".plane-widget").count() == 0
    assert page.locator("figure.plane svg").count() == 3
    assert page.locator("figure.plane svg").first.is_visible()
    page.locator("summary", has_text="The numbers of 25 shifts").click()
    rows = page.locator("details[open] tbody tr").all_inner_texts()
    found = {tuple(cells[:3]) for cells in (row.split("\t") for row in rows)}
    for (dy, dx), point in points["agreement"].items():
        value = 100 * point.value
        shown = f"{value:.0f}" if value in (0, 100) else f"{value:.2f}"
        assert (f"{dy:g}".replace("-", "−"), f"{dx:g}".replace("-", "−"), shown) in found
    visit.keep(page, "report-without-scripts")


@pytest.mark.slow
def test_it_prints_on_a4(visit: Visit, report: Path) -> None:
    page = visit.open(report)
    paper = page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", paper)
    assert 2 <= len(boxes) <= 10
    for width, height in boxes:
        assert (round(float(width)), round(float(height))) == (595, 842)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})
    visit.keep(page, "report-print")
    assert not page.locator(".plane-widget").is_visible()
    assert page.locator("figure.plane svg").first.is_visible()
    assert page.locator("table", has_text="radius").first.is_visible()
    assert overflow_px(page) <= 0
    for table in page.locator("table").all():
        box = table.bounding_box()
        assert box is None or box["x"] + box["width"] <= 689, table.inner_text()[:80]


@pytest.mark.parametrize("width", [320, *(pytest.param(px, marks=pytest.mark.slow) for px in (360, 1600))])
def test_no_page_is_wider_than_its_window(visit: Visit, report: Path, width: int) -> None:
    page = visit.open(report, viewport={"width": width, "height": 740})
    for summary in page.locator("summary").all():
        summary.click()
    assert overflow_px(page) <= 0
    box = canvas(page).bounding_box()
    assert box
    assert box["width"] <= width
    visit.keep(page, f"report-{width}px")


@pytest.mark.slow
def test_what_is_pressed_is_large_enough(visit: Visit, report: Path) -> None:
    page = visit.open(report, viewport=NARROW)
    for control in page.locator("select, button, input, summary, nav a").all():
        box = control.bounding_box()
        assert box
        assert box["height"] >= 24, control.inner_text()


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [
        ("audit", "light"),
        pytest.param("audit", "dark", marks=pytest.mark.slow),
        pytest.param("comparison", "light", marks=pytest.mark.slow),
        pytest.param("certificate", "dark", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing(visit: Visit, measured: Audit, tmp_path: Path, scheme: Any, kind: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    records: dict[str, Any] = {
        "audit": lambda: measured.record,
        "comparison": lambda: compare_audits(measured, measured, confidence=0.95),
        "certificate": lambda: certify("zoo:cnn2-gap", numeric=False).to_dict(),
    }
    path = tmp_path / f"{kind}.html"
    path.write_text(report_html(records[kind]()))
    page = visit.open(path, color_scheme=scheme, bypass_csp=True)
    for summary in page.locator("summary").all():
        summary.click()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    visit.keep(page, f"{kind}-{scheme}")


def test_hostile_names_do_nothing(visit: Visit, measured: Audit, tmp_path: Path) -> None:
    record: dict[str, Any] = measured.record.to_dict()
    record["model"] = {**record["model"], "name": HOSTILE}
    record["data"] = {**record["data"], "name": HOSTILE, "class_names": [HOSTILE + "x" * 300] * 10}
    record["verdict"] = HOSTILE
    record["protocols"] = [{**part, "name": HOSTILE} for part in record["protocols"]]
    path = tmp_path / "hostile.html"
    path.write_text(report_html(record))
    page = visit.open(path, viewport=NARROW)
    canvas(page).press("ArrowDown")
    assert page.evaluate("window.hacked") is None
    assert page.locator("h1").inner_text().startswith("</title></script><img")
    assert overflow_px(page) <= 0


@pytest.mark.slow
def test_a_notebook_shows_it_in_a_frame(visit: Visit, measured: Audit, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><title>cell</title>{measured._repr_html_()}")
    page = visit.open(path)
    assert in_frame("") != measured._repr_html_()
    frame = page.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == measured.record.verdict
    frame.locator(".plane-frame canvas").press("Home")
    assert frame.locator(".plane-readout").inner_text() == f"{offset_text(0, 0)}: the unshifted image"
