"""Every kind of report, from real records: light and dark, wide and narrow, on paper, without scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.seen import NARROW, WIDE, Visit, overflow_px

from shiftproof.audits import Audit, compare_audits
from shiftproof.report import report_html

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# Records that the benchmarks leave behind: a file, and where in it.
KEPT = {
    "study": "article-full",
    "study-with-costs": "alternatives-quick",
    "claims": "claims-quick",
    "explanation": "explain-lite0",
    "fix": "fixing/mnist/labelled/record",
    "certificate": "fixing/circle/aps/record",
}
KINDS = ("audit", "comparison", *KEPT)
LOOKS = (("light", WIDE), ("dark", NARROW))
# A4, in points.
PAPER = (595, 842)
# What no page is without, whatever it is about.
SECTIONS = ("Not measured", "Method", "To reproduce it", "Words")


def kept(what: str) -> Any:
    file, *path = KEPT[what].split("/")
    found = json.loads((RESULTS / f"{file}.json").read_text())
    for name in path:
        found = found[name]
    return found


@pytest.fixture(scope="module")
def page_of(measured: Audit, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the page of a kind of record."""
    folder = tmp_path_factory.mktemp("kinds")
    made: dict[str, Callable[[], Any]] = {
        "audit": lambda: measured.record,
        "comparison": lambda: compare_audits(measured, measured, confidence=0.95),
    }

    def write(kind: str) -> Path:
        path = folder / f"{kind}.html"
        if not path.exists():
            path.write_text(report_html(made[kind]() if kind in made else kept(kind)))
        return path

    return write


def unfold(page: Page) -> None:
    for summary in page.locator("summary").all():
        summary.click()


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    visit: Visit, page_of: Callable[[str], Path], kind: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for scheme, window in LOOKS:
        page = visit.open(page_of(kind), color_scheme=scheme, viewport=window, bypass_csp=True)
        visit.keep(page, f"{kind}-{scheme}-{window['width']}px")
        unfold(page)
        found = axe.run(page)
        assert found.violations_count == 0, found.generate_report()
        assert overflow_px(page) <= 0


@pytest.mark.parametrize("kind", KINDS)
def test_without_scripts_and_on_paper_it_is_whole(
    visit: Visit, page_of: Callable[[str], Path], kind: str
) -> None:
    page = visit.open(page_of(kind), java_script_enabled=False)
    titles = [title.strip() for title in page.locator("main > section > h2").all_inner_texts()]
    wanted = [name for name in SECTIONS if not (kind in ("claims", "certificate") and name == "Method")]
    assert [title for title in titles if title in SECTIONS] == wanted
    assert len(set(titles)) == len(titles)
    for link in page.locator("nav a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1
    for drawing in page.locator("figure svg").all():
        assert drawing.is_visible()
    paper = page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", paper)
    assert boxes
    assert {(round(float(width)), round(float(height))) for width, height in boxes} == {PAPER}


def test_the_costs_of_a_study_are_drawn_as_its_record_has_them(
    visit: Visit, page_of: Callable[[str], Path]
) -> None:
    page = visit.open(page_of("study-with-costs"), java_script_enabled=False)
    record = kept("study-with-costs")
    priced = [row for row in record["rows"] if row["costs"]]
    section = page.locator("section#what-it-costs")
    assert section.locator("svg").count() == 2
    for chart in section.locator("svg").all():
        assert chart.locator("circle").count() == len(priced)
    section.locator("summary").click()
    rows = [row.split("\t") for row in section.locator("tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == [row["name"] for row in priced]
    found = {row[0]: float(row[5]) for row in rows}
    for row in priced:
        assert found[row["name"]] == pytest.approx(row["costs"]["ms_per_image"]["value"], rel=0.006)


def test_training_and_staircase_are_drawn(visit: Visit, page_of: Callable[[str], Path]) -> None:
    page = visit.open(page_of("study"), java_script_enabled=False)
    networks = [row for row in kept("study")["rows"] if row["curves"]]
    charts = page.locator("section#while-training svg")
    assert charts.count() == 2 * -(-len(networks) // 4)
    for row in networks:
        assert charts.get_by_text(row["name"], exact=True).count() == 2
    lengths = [
        len(str(line.get_attribute("points")).split())
        for line in charts.first.locator("polyline.curve").all()
    ]
    assert lengths == [max(map(len, row["curves"])) for row in networks[:4]]
    page = visit.open(page_of("explanation"), java_script_enabled=False)
    stairs = kept("explanation")["stairs"]
    section = page.locator("section#the-staircase")
    assert (
        section.locator("svg").first.locator("text.small").get_by_text(stairs[0]["after"], exact=True).count()
        == 1
    )
    section.locator("summary").click()
    assert section.locator("tbody tr").count() == len(stairs)
    first = section.locator("tbody tr").first.inner_text().split("\t")
    assert f"{stairs[0]['change']['with-border']['logits']:.4g}" in first
