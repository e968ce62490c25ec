"""What stands under every figure: places, units, names, and the same bytes for the same numbers."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftproof._charts import (
    HasInterval,
    Quantity,
    draw_bars,
    draw_curve,
    draw_difference,
    draw_map,
    draw_phases,
    head,
    placed,
)
from shiftproof._figures import image_bytes
from shiftproof.errors import ComparisonError, DataError, MissingDependencyError

pytest.importorskip("matplotlib")

AGREEMENT = Quantity("agreement", "share of images")
FLIP = Quantity("smallest-flip", "px")


def number(value: float, low: float | None = None, high: float | None = None) -> HasInterval:
    return SimpleNamespace(
        value=value, low=value if low is None else low, high=value if high is None else high
    )


def test_shares_are_drawn_in_percent_and_other_units_as_they_are() -> None:
    drift = Quantity("drift", "share of the norm of the logits")
    assert (drift.factor, drift.title) == (1, "drift (share of the norm of the logits)")
    kept = Quantity("kept-when-right", "share of images right when unshifted")
    assert (kept.factor, kept.title) == (100, "kept-when-right (% of images right when unshifted)")
    assert (kept.unit_of_change, FLIP.unit_of_change) == ("points", "px")


@pytest.mark.parametrize("draw", [draw_map, draw_curve, draw_phases, draw_bars], ids=lambda f: f.__name__)
def test_nothing_is_no_figure(draw: object) -> None:
    options = {"stride_px": 2} if draw is draw_phases else {}
    with placed(None) as (_, axes), pytest.raises(DataError, match="Expected a number to draw, got none"):
        draw(axes, {}, AGREEMENT, **options)  # type: ignore[operator]


def test_a_scale_of_colours_holds_every_number_and_does_not_magnify_noise() -> None:
    def limits(*values: float, unit: str = "share of images") -> tuple[float, float]:
        with placed(None) as (_, axes):
            draw_map(axes, {(0.0, float(i)): number(v) for i, v in enumerate(values)}, Quantity("m", unit))
        return axes.collections[0].get_clim()

    assert limits(0.2, 0.9) == pytest.approx((20, 90))
    assert limits(1, 1) == (99, 100), "one point, not a scale to 110 %"
    assert limits(0.9999, 1) == (99, 100)
    assert limits(2, 5, unit="px") == (2, 5)


@settings(max_examples=25)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
)
def test_every_curve_of_a_figure_is_in_view_and_nothing_beyond_a_share(
    first: list[float], second: list[float]
) -> None:
    with placed(None) as (_, axes):
        for values in (first, second):
            draw_curve(axes, {i: number(v) for i, v in enumerate(values)}, AGREEMENT)
    low, high = axes.get_ylim()
    assert low <= 100 * min(first + second) + 1e-6
    assert high >= 100 * max(first + second) - 1e-6
    assert -20 < low < high < 110, "the room for a marker, no more"


def test_the_band_is_the_interval() -> None:
    curve = {1: number(0.5, 0.25, 0.75), 3: number(0.5, 0.4, 0.7)}
    with placed(None) as (_, axes):
        draw_curve(axes, curve, AGREEMENT)
    corners = {tuple(corner) for corner in axes.collections[0].get_paths()[0].vertices.tolist()}  # type: ignore[union-attr]
    assert corners == {(1.0, 25.0), (1.0, 75.0), (3.0, 40.0), (3.0, 70.0)}


def test_a_curve_of_one_radius_still_has_its_interval() -> None:
    with placed(None) as (_, axes):
        draw_curve(axes, {0: number(0.5, 0.25, 0.75)}, AGREEMENT)
    low, high = axes.get_ylim()
    assert low < 25 < 75 < high
    assert axes.get_xlim() == (-1, 1)
    segments = axes.collections[-1].get_segments()  # type: ignore[attr-defined]
    assert segments[0].tolist() == [[0, 25], [0, 75]]


def test_the_worst_of_many_classes_are_shown() -> None:
    many = {i: number(i / 100) for i in range(30)}
    with placed(None) as (_, axes):
        draw_bars(axes, many, AGREEMENT)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(range(20))  # type: ignore[attr-defined]
    assert axes.get_title() == "the 20 worst of 30 classes"
    with placed(None) as (_, axes):
        draw_bars(axes, many, Quantity("flip-rate", "share of images", higher_is_better=False))
    assert [tick.get_text() for tick in axes.get_yticklabels()][:2] == ["29", "28"]


def test_classes_of_one_name_are_two_and_long_ones_are_cut() -> None:
    with placed(None) as (figure, axes):
        draw_bars(axes, {0: number(1), 1: number(0.5), 2: number(0)}, AGREEMENT, class_names=["a", "a"])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "a", "2"]
    with placed(None) as (figure, axes):
        draw_bars(axes, {0: number(1)}, AGREEMENT, class_names=["x" * 60])
    assert b"x" * 27 + "…".encode() in image_bytes(figure)
    assert b"x" * 28 not in image_bytes(figure)


def test_a_heading_that_is_wider_than_the_figure_goes_on_below() -> None:
    with placed(None) as (figure, _):
        head(figure, "short", "$" + 40 * " four", "x" * 200)
    lines = figure.get_suptitle().replace("\\$", "$").split("\n")
    assert lines[0] == "short"
    assert " ".join("".join(lines[1:]).replace("x", " ").split()).count("four") == 40
    assert max(map(len, lines)) <= 77
    figure.draw_without_rendering()
    assert figure._suptitle.get_window_extent().width <= figure.bbox.width  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["$\\frac{1}$", "_private", "犬", "a\x1b[2J\u202e", "a<b>&'\"", "\\$x$"])
def test_any_name_is_a_name(name: str) -> None:
    """No formula, no broken XML, no warning, and in the legend."""
    from xml.etree import ElementTree

    with placed(None) as (figure, axes):
        draw_curve(axes, {1: number(0.5), 2: number(0.25)}, AGREEMENT, label=name)
    tree = ElementTree.fromstring(image_bytes(figure))
    texts = ["".join(e.itertext()) for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    visible = name.replace("\x1b", "�").replace("\u202e", "�")
    assert visible in [text.strip() for text in texts]


def test_differences_stand_below_each_other_in_one_unit() -> None:
    with placed(None) as (_, axes):
        draw_difference(axes, number(0.1, 0.05, 0.2), AGREEMENT, label="agreement")
        draw_difference(axes, number(-0.1, -0.2, 0.05), AGREEMENT, label="accuracy $")
        with pytest.raises(ComparisonError, match=r"differences in one unit, got difference \(px\) beside"):
            draw_difference(axes, number(1), FLIP, label="flip")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["agreement", r"accuracy \$"]
    first, second = axes.containers
    assert first.lines[0].get_data()[0] == pytest.approx([10])  # type: ignore[attr-defined]
    segment = second.lines[2][0].get_segments()[0]  # type: ignore[attr-defined]
    assert segment.tolist() == [[pytest.approx(-20), 1], [pytest.approx(5), 1]]
    assert axes.get_ylim() == (1.5, -0.5), "the first on top"


def test_equal_numbers_are_equal_bytes() -> None:
    def draw() -> bytes:
        with placed(None) as (figure, axes):
            draw_map(axes, {(dy, dx): number(dy * dx / 9) for dy in range(3) for dx in range(3)}, AGREEMENT)
        return image_bytes(figure)

    first = draw()
    assert first == draw()
    assert b"<dc:date>" not in first


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[plot\]'"), placed(None):
        pass
