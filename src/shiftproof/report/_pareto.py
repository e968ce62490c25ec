"""What robustness costs: a figure of every row, with those that nothing cheaper reaches joined by a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shiftproof._figures import COLOURS, MARKERS, drawing, image_bytes
from shiftproof._optional import require
from shiftproof.errors import DataError
from shiftproof.records import ColumnRecord, RowRecord, StudyRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (9.6, 4.6)


@dataclass(frozen=True, slots=True)
class Point:
    """A row in the figure.

    Args:
        row: Its name.
        network: By which it is drawn.
        plain: Trained without augmentation: drawn hollow.
        multiply_adds, ms_per_image: What one image costs.
        value, low, high: What it buys, with its interval.
    """

    row: str
    network: str
    plain: bool
    multiply_adds: float
    ms_per_image: float
    value: float
    low: float
    high: float


def pareto_svg(record: StudyRecord, *, column: int | None = None) -> str:
    """Every row of a study by what it costs and what it buys, as SVG.

    Args:
        record: Of a study with columns and costs.
        column: Number of the column that is bought, from 0; by default the first with worst-case accuracy,
            else the first one.

    Returns:
        Two panels, multiply-adds and milliseconds for one image, both on logarithmic axes; higher and
        further left is better. Vertical bars are 95 % intervals. A line joins the rows that none at most as
        dear reaches. Equal records give equal bytes with one version of matplotlib.

    Raises:
        DataError: The record has no such column, or no row with costs and a number.
        MissingDependencyError: matplotlib is not installed.
    """
    shown = column_bought(record, column)
    points = cost_points(record, shown)
    if not points:
        raise DataError("a row with costs and a number to draw", "none")
    ticker = require("matplotlib.ticker", extra="plot", purpose="A figure")
    with drawing(1, 2, inches=INCHES, share_y=True) as (figure, (left, right)):
        _draw(left, points, [p.multiply_adds for p in points], "multiply-adds per image")
        _draw(right, points, [p.ms_per_image for p in points], "milliseconds per image")
        for axes, label in ((left, ticker.EngFormatter(sep="")), (right, "{x:g}")):
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(label)
            axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        left.set_ylabel(f"{shown.title} (%, {shown.metric} under {shown.protocol})")
        figure.legend(*left.get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.suptitle("\n".join([record.title, _how(record)]), fontsize=9)
    return image_bytes(figure).decode()


def frontier(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Places of the points that no other reaches at the same cost or less, the cheapest first.

    Example:
        >>> frontier([1, 2, 3, 4], [0.5, 0.9, 0.8, 0.95])
        [0, 1, 3]
    """
    best = float("-inf")
    found = []
    for place in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        if values[place] > best:
            best = values[place]
            found.append(place)
    return found


def column_bought(record: StudyRecord, column: int | None) -> ColumnRecord:
    """The column of that number, or the one that is drawn by default."""
    worst = [i for i, each in enumerate(record.columns) if each.metric == "worst-case-accuracy"]
    number = column if column is not None else next(iter(worst), 0)
    if not 0 <= number < len(record.columns):
        raise DataError("a study with a column to draw", f"column {number} of {len(record.columns)}")
    return record.columns[number]


def cost_points(record: StudyRecord, column: ColumnRecord) -> list[Point]:
    """Every row that has costs and a number in this column, in the order of the table."""
    return [point for row in record.rows if (point := _point(record, row, column)) is not None]


def _point(record: StudyRecord, row: RowRecord, column: ColumnRecord) -> Point | None:
    found = record.shown(row, column)
    if found is None or row.costs is None:
        return None
    return Point(
        row=row.name,
        network=row.network,
        plain=row.recipe.augmentation == "none",
        multiply_adds=row.costs.multiply_adds,
        ms_per_image=row.costs.ms_per_image.value,
        value=100 * found.value,
        low=100 * found.low,
        high=100 * found.high,
    )


def _draw(axes: Axes, points: Sequence[Point], costs: Sequence[float], label: str) -> None:
    networks = list(dict.fromkeys(point.network for point in points))
    for point, cost in zip(points, costs, strict=True):
        place = networks.index(point.network)
        colour = COLOURS[place % len(COLOURS)]
        axes.errorbar(
            [cost],
            [point.value],
            yerr=[[point.value - point.low], [point.high - point.value]],
            fmt=MARKERS[place // len(COLOURS) % len(MARKERS)],
            color=colour,
            markerfacecolor="white" if point.plain else colour,
            elinewidth=0.8,
            label=point.row,
        )
    best = frontier(costs, [point.value for point in points])
    axes.plot([costs[i] for i in best], [points[i].value for i in best], color="0.6", linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.grid(alpha=0.25)


def _how(record: StudyRecord) -> str:
    test = record.data["test"]
    hollow = "hollow: trained without augmentation"
    return f"{test.name}, {test.n_images:,} images; preset {record.preset}; {hollow}"
