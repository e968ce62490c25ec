"""Figures of views: each number at its place, units on the axes, reasons where there is nothing to draw."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Callable

import numpy as np
import pytest

from shiftproof.errors import ComparisonError, DataError, MissingDependencyError
from shiftproof.metrics import (
    Difference,
    Estimate,
    ShiftMap,
    by_class,
    by_phase,
    by_radius,
    by_shift,
    compare_responses,
    metrics,
)
from shiftproof.probe import Response

pytest.importorskip("matplotlib")

Make = Callable[..., Response]
AGREEMENT = metrics.get("agreement")


@pytest.fixture
def grid(build: Make) -> Response:
    """Eight shifts around the centre; of two images both keep the answer only below it, at (1, 0)."""
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    answers = [1 if offset == (1, 0) else 0 for offset in offsets]
    return build([answers, answers], [1, 2], [1, 1], offsets_px=offsets)


def drawn(parts: object) -> ShiftMap:
    assert isinstance(parts, ShiftMap)
    return parts


def test_convention_down_is_positive_and_is_drawn_downwards(grid: Response) -> None:
    """Seen in the pixels: of the neighbours of the centre only the one below is bright."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, axes = drawn(by_shift(AGREEMENT, grid)).plot()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    buffer = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    pixels = np.asarray(buffer).astype(int)
    x, y = axes.transData.transform((0, 0))
    right, _ = axes.transData.transform((1, 0))
    cell_px = round(right - x)
    row, column = round(pixels.shape[0] - y), round(x)
    steps = {"below": (1, 0), "above": (-1, 0), "right": (0, 1), "left": (0, -1)}
    brightness = {
        name: pixels[row + down * cell_px, column + across * cell_px, :3].sum()
        for name, (down, across) in steps.items()
    }
    assert cell_px > 20
    assert brightness["below"] > 2 * brightness["above"]
    assert brightness["above"] == brightness["left"] == brightness["right"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("dx (px)", "dy (px)")
    assert "agreement (% of images)" in {each.get_ylabel() for each in figure.axes}


def test_two_maps_can_share_a_scale(grid: Response) -> None:
    _, axes = drawn(by_shift(AGREEMENT, grid)).plot(limits=(0.5, 1.0))
    assert axes.collections[0].get_clim() == (50, 100)


def test_offsets_that_fill_no_grid_are_places(build: Make) -> None:
    offsets = [(t, t) for t in range(-3, 4)]
    diagonal = build([[1] * 7], [1], [1], offsets_px=offsets)
    _, axes = drawn(by_shift(metrics.get("accuracy"), diagonal)).plot()
    places = axes.collections[0].get_offsets()
    assert np.asarray(places).tolist() == [[t, t] for t in range(-3, 4)]


def test_curves_of_several_responses_share_axes(simulate: Make) -> None:
    calm, nervous = (by_radius(AGREEMENT, simulate(0, tremor=tremor)) for tremor in (0.5, 3.0))
    figure, axes = calm.plot(label="calm")
    again, same = nervous.plot(axes=axes, label="nervous")
    assert (again, same) == (figure, axes)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["calm", "nervous"]
    first, second = axes.lines
    assert first.get_color() != second.get_color()
    for line, curve in ((first, calm), (second, nervous)):
        numbers = curve.numbers()
        assert np.asarray(line.get_xdata()).tolist() == sorted(numbers)
        assert np.asarray(line.get_ydata()) == pytest.approx([100 * n.value for n in numbers.values()])
    assert axes.get_xlabel() == "max(|dy|, |dx|) (px)"


def test_phases_are_named_by_what_is_left_of_the_stride(simulate: Make) -> None:
    phases = by_phase(AGREEMENT, simulate(3, n_shifts=60), stride_px=2)
    assert not hasattr(phases, "reason")
    _, axes = phases.plot()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0, 0", "0, 1", "1, 0", "1, 1"]
    assert axes.get_xlabel() == "dy mod 2, dx mod 2 (px)"


def test_classes_have_their_names_from_the_top(simulate: Make) -> None:
    classes = by_class(metrics.get("clean-accuracy"), simulate(0, n_classes=3))
    _, axes = classes.plot(class_names=["cat", "dog"])  # type: ignore[union-attr]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["cat", "dog", "2"]
    low, high = axes.get_ylim()
    assert low > high
    zero, _ = axes.transData.transform((0, 0))
    assert [bar.get_window_extent().x0 for bar in axes.patches] == pytest.approx([zero] * 3)


def test_meaning_a_nervous_network_has_the_lower_curve(simulate: Make) -> None:
    figure, axes = by_radius(AGREEMENT, simulate(0, tremor=0.2)).plot()
    by_radius(AGREEMENT, simulate(0, tremor=5.0)).plot(axes=axes)
    calm, nervous = (np.asarray(line.get_ydata(), dtype=float) for line in axes.lines)
    assert calm.mean() > nervous.mean() + 10
    assert figure is axes.figure


def test_a_difference_beside_zero(simulate: Make) -> None:
    a, b = (dataclasses.replace(simulate(0, tremor=t), provenance={}) for t in (0.2, 5.0))
    found = compare_responses(a, b, AGREEMENT)
    assert isinstance(found, Difference)
    _, axes = found.plot(label="agreement")
    assert axes.get_xlabel() == "difference (points)"
    assert axes.containers[0].lines[0].get_data()[0] == pytest.approx([100 * found.value])  # type: ignore[attr-defined]
    with pytest.raises(ComparisonError, match="differences in one unit"):
        dataclasses.replace(found, unit="px").plot(axes=axes)


def test_where_nothing_has_a_number_the_reason_is_said(build: Make) -> None:
    still = build([[1, 1]], [1], [1], offsets_px=[(0, 0), (0, 0)])
    with pytest.raises(DataError, match=r"a part with agreement to draw, got none\. No "):
        by_radius(AGREEMENT, still).plot()


def test_without_matplotlib_there_are_numbers_and_the_extra_is_named(
    grid: Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = drawn(by_shift(AGREEMENT, grid))
    assert isinstance(found[1.0, 0.0], Estimate)
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[plot\]'"):
        found.plot()


def test_views_are_mappings_that_can_be_sent(grid: Response) -> None:
    found = drawn(by_shift(AGREEMENT, grid))
    copy = pickle.loads(pickle.dumps(found))
    assert copy == found == dict(found)
    assert copy.metric == AGREEMENT
