"""The figure of costs in the README is that of the record beside it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from shiftproof.report import pareto_svg, read_study

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SVG = "{http://www.w3.org/2000/svg}"


def shape(svg: str) -> tuple[list[str], int, int]:
    """Its words in order, its markers and its lines; not its bytes, which are those of one matplotlib."""
    tree = ElementTree.fromstring(svg)
    words = ["".join(element.itertext()) for element in tree.iter(f"{SVG}text")]
    return words, len(list(tree.iter(f"{SVG}use"))), len(list(tree.iter(f"{SVG}path")))


def test_reference_the_published_figure_is_drawn_again() -> None:
    pytest.importorskip("matplotlib")
    again = pareto_svg(read_study(RESULTS / "alternatives-quick.json"))
    published = (RESULTS / "alternatives-quick.svg").read_text(encoding="utf-8")
    assert shape(again) == shape(published)
    assert len(shape(again)[0]) > 20
