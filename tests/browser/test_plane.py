"""The widget by itself, as the report and other pages use it: answers as colours, and cells that fill in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.browser.seen import Visit

from shiftproof.report import SCALE, plane_module

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = """<!doctype html><meta charset="utf-8"><title>plane</title>
<style>.plane-left {{ width: 300px }}</style><div id="host"></div>
<script type="module">{module}
window.chosen = [];
window.plane = mountPlane(document.getElementById("host"), {data}, {{
  onSelect: (dy, dx) => window.chosen.push([dy, dx]),
}});
</script>"""
# The colour of a cell near its corner, where no ink is; from a copy, since reading slows a canvas down.
COLOUR = """([row, column]) => {
  const canvas = document.querySelector(".plane-frame canvas");
  const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const [x, y] = [((column + 0.12) * canvas.width) / 3, ((row + 0.12) * canvas.height) / 3];
  copy.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
  return [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


def answers(**changes: Any) -> dict[str, Any]:
    metric = {
        "name": "answer", "title": "answer", "better": "higher", "ends": [0, 2],
        "end_texts": ["", ""], "classes": True,
        "value": [0, 0, 1, 0, 2, 1, None, None, None], "cell": [*"aabacb", "", "", ""],
        "text": ["a, 90 %", "a, 80 %", "b, 70 %", "a, 60 %", "c, 99 %", "b, 50 %", "", "", ""],
    }  # fmt: skip
    return {
        "dy": [-1, 0, 1],
        "dx": [-1, 0, 1],
        "colours": list(SCALE),
        "bright": 0.5,
        "metrics": [metric | changes],
    }


@pytest.fixture
def page(visit: Visit, tmp_path: Path) -> Page:
    path = tmp_path / "plane.html"
    path.write_text(PAGE.format(module=plane_module(), data=json.dumps(answers())))
    return visit.open(path)


def readout(page: Page) -> str:
    return page.locator(".plane-readout").inner_text()


def test_answers_have_a_colour_each_and_words(page: Page) -> None:
    assert readout(page) == "dy 0 px, dx 0 px: answer c, 99 %"
    colours = {at: tuple(page.evaluate(COLOUR, at)) for at in ((0, 0), (0, 1), (0, 2), (1, 2))}
    assert colours[0, 0] == colours[0, 1] == (0x00, 0x72, 0xB2)
    assert colours[0, 2] == colours[1, 2] == (0xE6, 0x9F, 0x00)
    assert page.locator(".plane-scale canvas").count() == 0


def test_cells_fill_in_while_one_looks(page: Page) -> None:
    page.evaluate("plane.select(1, 1)")
    assert readout(page) == "dy 1 px, dx 1 px: no number here"
    full = answers(value=[0] * 9, cell=["a"] * 9, text=[f"a, {n} %" for n in range(9)])
    page.evaluate("metrics => plane.set({ metrics })", full["metrics"])
    assert readout(page) == "dy 1 px, dx 1 px: answer a, 8 %"
    assert page.evaluate(COLOUR, [0, 2]) == [0x00, 0x72, 0xB2]


def test_who_mounts_it_hears_of_every_choice(page: Page) -> None:
    page.locator(".plane-frame canvas").press("ArrowDown")
    page.locator(".plane-frame canvas").press("ArrowLeft")
    page.evaluate("plane.select(-1, 1)")
    assert page.evaluate("window.chosen") == [[1, 0], [1, -1], [-1, 1]]
    assert page.evaluate("plane.selected()") == [-1, 1]


def test_a_thousand_choices_leave_nothing_behind(page: Page) -> None:
    count = "document.querySelectorAll('*').length"
    before = page.evaluate(count)
    page.evaluate("for (let i = 0; i < 1000; i += 1) plane.select(i % 3 - 1, i % 2)")
    assert page.evaluate(count) == before
    assert len(page.evaluate("window.chosen")) == 1000
    page.evaluate("plane.unmount()")
    assert page.locator("canvas").count() == 0
