"""What the figures show: numbers with intervals by shift, radius, phase and class, and differences.

Every function draws into axes that it is given, so that the same chart stands alone or beside others.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from shiftproof._figures import COLOURS, MAP, MARKERS, drawing
from shiftproof._text import is_share, printable
from shiftproof.errors import ComparisonError, DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

Key = TypeVar("Key")
MAX_BARS = 20
MAX_LEVEL_LABELS = 9
LONGEST_NAME = 28
CHARACTERS_PER_INCH = 12
# Below this share of filled cells a map is drawn as single places, not as a grid that is mostly empty.
SPARSE = 0.25
# The least width of a scale of colours in what it shows: less is noise that colours would magnify.
NARROWEST = {True: 1.0, False: 1e-3}


class HasInterval(Protocol):
    """A number and both ends of its interval, as in `Estimate` and in the points of a record."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is drawn: shares of images in percent, everything else in its own unit.

    Args:
        name: Of the metric.
        unit: Of its numbers.
        higher_is_better: Direction.

    Example:
        >>> Quantity("agreement", "share of images").title
        'agreement (% of images)'
        >>> Quantity("smallest-flip", "px").title
        'smallest-flip (px)'
    """

    name: str
    unit: str
    higher_is_better: bool = True

    @property
    def is_share(self) -> bool:
        """Whether it is read as a percentage; a "share of the norm of the logits" may be above 1."""
        return is_share(self.unit)

    @property
    def factor(self) -> int:
        """From a number to what is drawn."""
        return 100 if self.is_share else 1

    @property
    def unit_drawn(self) -> str:
        """Unit of what is drawn."""
        return self.unit.replace("share of", "% of", 1) if self.is_share else self.unit

    @property
    def unit_of_change(self) -> str:
        """Unit of a difference of two, as drawn."""
        return "points" if self.is_share else self.unit

    @property
    def title(self) -> str:
        """For an axis."""
        return f"{self.name} ({self.unit_drawn})"


@contextmanager
def placed(axes: Axes | None, *, inches: tuple[float, float] = (6.4, 4.0)) -> Iterator[tuple[Figure, Axes]]:
    """The axes that were given, with their figure, or those of a new figure."""
    if axes is not None:
        yield cast("Figure", axes.figure), axes
        return
    with drawing(inches=inches) as (figure, (own,)):
        yield figure, own


def head(figure: Figure, *lines: str) -> None:
    """Lines above a figure; one that is wider than the figure goes on below."""
    width = int(CHARACTERS_PER_INCH * figure.get_figwidth())
    wrapped = [part for line in lines for part in textwrap.wrap(printable(line), width)]
    figure.suptitle("\n".join(map(plain, wrapped)), fontsize="medium")


def draw_map(
    axes: Axes,
    points: Mapping[tuple[float, float], HasInterval],
    quantity: Quantity,
    *,
    limits: tuple[float, float] | None = None,
) -> None:
    """A number at each offset (dy, dx) as a colour; brighter is more, down is positive as in the image.

    Args:
        axes: Where to.
        points: By offset in pixels, at least one.
        quantity: What they are.
        limits: Ends of the scale of colours in the unit of the metric; those of the points by default.
    """
    _check_any(points)
    drawn = {(dy + 0.0, dx + 0.0): quantity.factor * found.value for (dy, dx), found in points.items()}
    low, high = _scale(list(drawn.values()), quantity, limits)
    rows, columns = (sorted({offset[axis] for offset in drawn}) for axis in (0, 1))
    colours: ScalarMappable
    if len(drawn) < SPARSE * len(rows) * len(columns):
        dy, dx = zip(*drawn, strict=True)
        colours = axes.scatter(
            dx, dy, c=list(drawn.values()), cmap=MAP, vmin=low, vmax=high, marker="s", s=36
        )
    else:
        cells = [[drawn.get((dy, dx), math.nan) for dx in columns] for dy in rows]
        # A hair around each cell in its own colour: viewers show gaps between neighbours otherwise.
        colours = axes.pcolormesh(
            _edges(columns), _edges(rows), cells, cmap=MAP, vmin=low, vmax=high,
            edgecolors="face", linewidth=0.1,
        )  # fmt: skip
    axes.plot([0], [0], marker="o", color="0.35", markerfacecolor="none", linestyle="none")
    axes.set_aspect("equal")
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    axes.locator_params(integer=True, nbins=9)
    axes.set_xlabel("dx (px)")
    axes.set_ylabel("dy (px)")
    axes.set_title("○ unshifted", fontsize="medium")
    axes.figure.colorbar(colours, ax=axes, label=quantity.title)


def draw_curve(axes: Axes, points: Mapping[int, HasInterval], quantity: Quantity, *, label: str = "") -> None:
    """A number against max(|dy|, |dx|) with the band of its interval; a further curve gets other colours.

    Args:
        axes: Where to; may hold curves already.
        points: By radius in pixels, at least one.
        quantity: What they are.
        label: Name of the curve in a legend; none where empty.
    """
    _check_any(points)
    number = len(axes.lines)
    colour = COLOURS[number % len(COLOURS)]
    radii = sorted(points)
    value, low, high = (
        [quantity.factor * getattr(points[radius], name) for radius in radii]
        for name in ("value", "low", "high")
    )
    axes.plot(
        radii, value, color=colour, marker=MARKERS[number % len(MARKERS)], markersize=3.5, label=plain(label)
    )
    axes.fill_between(radii, low, high, color=colour, alpha=0.2, linewidth=0)
    if len(radii) == 1:
        axes.vlines(radii, low, high, color=colour)
    _bound(axes, quantity)
    axes.locator_params(axis="x", integer=True)
    if len(radii) == 1 and not number:
        axes.set_xlim(radii[0] - 1, radii[0] + 1, auto=True)
    axes.set_xlabel("max(|dy|, |dx|) (px)")
    axes.set_ylabel(quantity.title)
    axes.grid(visible=True, alpha=0.25)
    if label:
        axes.legend(frameon=False)


def draw_phases(
    axes: Axes, points: Mapping[tuple[int, int], HasInterval], quantity: Quantity, *, stride_px: int
) -> None:
    """A number with its interval for each phase of the offset, and a line where it is that of (0, 0).

    Args:
        axes: Where to.
        points: By (dy mod stride, dx mod stride), at least one.
        quantity: What they are.
        stride_px: Of the phases.
    """
    _check_any(points)
    if (0, 0) in points:
        axes.axhline(quantity.factor * points[0, 0].value, color="0.6", linewidth=0.8, linestyle=":")
    value, errors = _errors(list(points.values()), quantity)
    axes.errorbar(
        range(len(points)), value, yerr=errors, fmt=MARKERS[0], color=COLOURS[0], markersize=4, capsize=2
    )
    labels = [f"{dy:g}, {dx:g}" for dy, dx in points]
    axes.set_xticks(range(len(points)), labels, rotation=90 if len(points) > MAX_LEVEL_LABELS else 0)
    _bound(axes, quantity)
    axes.set_xlabel(f"dy mod {stride_px}, dx mod {stride_px} (px)")
    axes.set_ylabel(quantity.title)
    axes.grid(visible=True, axis="y", alpha=0.25)


def draw_bars(
    axes: Axes, points: Mapping[int, HasInterval], quantity: Quantity, *, class_names: Sequence[str] = ()
) -> None:
    """A bar from 0 with its interval for each class, the first on top; of many, the worst.

    Args:
        axes: Where to.
        points: By the number of the class, at least one.
        quantity: What they are.
        class_names: By number; a class beyond them has its number as its name.
    """
    _check_any(points)
    shown = _worst(points, quantity)
    value, errors = _errors(list(shown.values()), quantity)
    axes.barh(
        range(len(shown)), value, xerr=errors, color=COLOURS[5], height=0.7,
        error_kw={"ecolor": "0.2", "elinewidth": 0.9, "capsize": 2},
    )  # fmt: skip
    names = [class_names[number] if number < len(class_names) else str(number) for number in shown]
    axes.set_yticks(range(len(shown)), [_short(name) for name in names])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    if quantity.is_share:
        axes.set_xlim(0, 101)
    axes.set_xlabel(quantity.title)
    axes.set_ylabel("class")
    axes.grid(visible=True, axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    if len(shown) < len(points):
        axes.set_title(f"the {len(shown)} worst of {len(points):,} classes", fontsize="medium")


def draw_difference(axes: Axes, found: HasInterval, quantity: Quantity, *, label: str) -> None:
    """A difference with its interval beside a line at 0, below those that the axes hold already.

    Args:
        axes: Where to.
        found: The difference.
        quantity: What it is a difference of.
        label: Its name.

    Raises:
        ComparisonError: The axes hold differences in another unit.
    """
    title = f"difference ({quantity.unit_of_change})"
    row = len(axes.containers)
    if row and axes.get_xlabel() != title:
        raise ComparisonError(
            "differences in one unit",
            f"{title} beside {axes.get_xlabel()}",
            fix="Give each unit its own axes.",
        )
    labels = [tick.get_text() for tick in axes.get_yticklabels()] if row else []
    if not row:
        axes.axvline(0, color="0.6", linewidth=0.8)
    value, errors = _errors([found], quantity)
    axes.errorbar(value, [row], xerr=errors, fmt=MARKERS[0], color=COLOURS[0], markersize=4, capsize=2)
    axes.set_yticks(range(row + 1), [*labels, _short(label)])
    axes.set_ylim(row + 0.5, -0.5)
    axes.set_xlabel(title)
    axes.grid(visible=True, axis="x", alpha=0.25)


def _check_any(points: Mapping[Key, HasInterval]) -> None:
    if not points:
        raise DataError("a number to draw", "none")


def _scale(
    drawn: Sequence[float], quantity: Quantity, limits: tuple[float, float] | None
) -> tuple[float, float]:
    if limits is not None:
        return quantity.factor * limits[0], quantity.factor * limits[1]
    low, high = min(drawn), max(drawn)
    return (low if high - low >= NARROWEST[quantity.is_share] else high - NARROWEST[quantity.is_share]), high


def _edges(centres: Sequence[float]) -> list[float]:
    """Between neighbours, and as far beyond the first and the last.

    Example:
        >>> _edges([-2.0, 0.0, 1.0]), _edges([3.0])
        ([-3.0, -1.0, 0.5, 1.5], [2.5, 3.5])
    """
    if len(centres) == 1:
        return [centres[0] - 0.5, centres[0] + 0.5]
    inner = [(a + b) / 2 for a, b in pairwise(centres)]
    return [2 * centres[0] - inner[0], *inner, 2 * centres[-1] - inner[-1]]


def _errors(found: Sequence[HasInterval], quantity: Quantity) -> tuple[list[float], list[list[float]]]:
    """Values, and the distances to both ends of their intervals."""
    factor = quantity.factor
    below = [factor * (each.value - each.low) for each in found]
    above = [factor * (each.high - each.value) for each in found]
    return [factor * each.value for each in found], [below, above]


def _bound(axes: Axes, quantity: Quantity) -> None:
    """No scale beyond what a share can be, but for room for a marker."""
    if not quantity.is_share:
        return
    low, high = axes.get_ylim()
    room = 0.03 * (high - low)
    # Still on its own, so that a further curve widens it.
    axes.set_ylim(max(low, -room), min(high, 100 + room), auto=True)


def _worst(points: Mapping[int, HasInterval], quantity: Quantity) -> dict[int, HasInterval]:
    """All of a few, in their order; of many those with the worst values, the worst first."""
    if len(points) <= MAX_BARS:
        return dict(points)
    sign = 1 if quantity.higher_is_better else -1
    return dict(sorted(points.items(), key=lambda pair: sign * pair[1].value)[:MAX_BARS])


def _short(name: str) -> str:
    return plain(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


def plain(name: str) -> str:
    r"""A name as it is: no formula between dollars, and in the legend also with an underscore in front.

    Example:
        >>> plain("$x$"), plain("_a"), plain("b")
        ('\\$x\\$', ' _a', 'b')
    """
    text = printable(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
