"""The figure of weight sharing and pooling: learning curves above, what each network costs below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from shiftproof._figures import COLOURS, drawing
from shiftproof.article._resampling import Floats
from shiftproof.metrics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Curve(NamedTuple):
    """Accuracy before training and after each epoch, (epochs + 1,)."""

    train: Floats
    test: Floats


def draw_sharing(
    curves: Mapping[str, Mapping[str, Curve]],
    bars: Mapping[str, Mapping[str, Estimate | float]],
    goal: float,
) -> tuple[Figure, list[Axes]]:
    """Draw both rows; a network has one colour in all axes.

    Args:
        curves: By title, by network.
        bars: By what is counted, by network: a number, or one with its interval.
        goal: Accuracy that is marked.

    Returns:
        The figure and its axes, row by row.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for by_name in bars.values() for name in by_name))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    n_columns = max(len(curves), len(bars))
    with drawing(2, n_columns, inches=(11.0, 5.6)) as (figure, axes):
        grid = axes[0].get_gridspec()
        assert grid is not None, "the axes stand in a grid"
        for unused in axes[:n_columns]:
            unused.remove()
        width = n_columns // len(curves)
        above = [
            figure.add_subplot(grid[0, place * width : (place + 1) * width]) for place in range(len(curves))
        ]
        for place, (title, by_name) in zip(above, curves.items(), strict=True):
            _draw_curves(place, title, by_name, colour, goal)
        below = axes[n_columns : n_columns + len(bars)]
        for place, (title, by_bar) in zip(below, bars.items(), strict=True):
            _draw_bars(place, title, by_bar, colour, named=place is below[0])
    return figure, [*above, *below]


def _draw_curves(
    axes: Axes, title: str, curves: Mapping[str, Curve], colour: Mapping[str, str], goal: float
) -> None:
    axes.axhline(100 * goal, color="0.7", linewidth=0.8, linestyle=":")
    for name, curve in curves.items():
        axes.plot(100 * curve.train, color=colour[name], linestyle="--", linewidth=1.2)
        axes.plot(100 * curve.test, color=colour[name], label=name, linewidth=1.6)
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("epochs (dashed: training images)")
    axes.set_ylabel("accuracy (%)")
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="lower right", frameon=False)


def _draw_bars(
    axes: Axes, title: str, bars: Mapping[str, Estimate | float], colour: Mapping[str, str], *, named: bool
) -> None:
    for row, (name, bar) in enumerate(bars.items()):
        if isinstance(bar, Estimate):  # a share of images
            errors = [[100 * (bar.value - bar.low)], [100 * (bar.high - bar.value)]]
            look = {"capsize": 2, "elinewidth": 1, "ecolor": "0.5"}
            axes.barh(row, 100 * bar.value, color=colour[name], xerr=errors, error_kw=look)
        else:
            axes.barh(row, bar, color=colour[name])
            axes.annotate(f" {bar:.3g}", (bar, row), va="center", fontsize="small")
    axes.set_yticks(range(len(bars)), list(bars) if named else [""] * len(bars))
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlabel(title)
    axes.grid(visible=True, axis="x", alpha=0.25)
