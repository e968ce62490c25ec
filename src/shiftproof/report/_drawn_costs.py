"""What robustness costs, as a drawing: every row by its cost and its gain, with a line of those to prefer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shiftproof.report._drawing import Axis, axis_for, drawing, line, number, short, tag, words
from shiftproof.report._drawn_charts import points_of

WIDTH, HEIGHT = 460.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 26.0, 14.0, 48.0
ROUND = (1.0, 2.0, 5.0)
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Priced:
    """A row by what it costs and what it buys.

    Args:
        number: By which the table beside the drawing calls it.
        cost: More than 0.
        value, low, high: What it buys, with its interval.
        on_front: Whether nothing as cheap buys more.
    """

    number: int
    cost: float
    value: float
    low: float
    high: float
    on_front: bool


def costs_chart(rows: Sequence[Priced], *, cost_title: str, title: str, label: str) -> Markup:
    """A logarithmic axis of costs, and one of what they buy; further up and left is better.

    Args:
        rows: At least one.
        cost_title, title: Of the axes.
        label: What the chart shows, for those who cannot see it.
    """
    low, high = math.log10(min(row.cost for row in rows)), math.log10(max(row.cost for row in rows))
    room = 0.06 * (high - low) or 0.2
    x = Axis(low - room, high + room, LEFT, WIDTH - RIGHT)
    ends = [end for row in rows for end in (row.low, row.high)]
    y = axis_for(ends, HEIGHT - BOTTOM, TOP, within=(0.0, 100.0))
    inside = [line(LEFT, y.at(at), WIDTH - RIGHT, y.at(at), "grid") for at in y.ticks]
    inside += [words(number(at), LEFT - 8, y.at(at) + 4, anchor="end", kind="small") for at in y.ticks]
    for at in ticks(x):
        place = x.at(math.log10(at))
        inside += [
            line(place, TOP, place, HEIGHT - BOTTOM, "grid"),
            words(with_unit(at), place, HEIGHT - BOTTOM + 18, anchor="middle", kind="small"),
        ]
    front = sorted((row for row in rows if row.on_front), key=lambda row: row.cost)
    places = points_of([(x.at(math.log10(row.cost)), y.at(row.value)) for row in front])
    inside.append(tag("polyline", class_="curve s1", points=places))
    for row in rows:
        inside += _mark(row, x.at(math.log10(row.cost)), y)
    inside.append(words(cost_title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, anchor="middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"translate(14 {middle:g}) rotate(-90)"
    inside.append(tag("text", short(title, 44), class_="ink", text_anchor="middle", transform=turned))
    return drawing(WIDTH, HEIGHT, label, inside)


def ticks(x: Axis) -> list[float]:
    """Round numbers within an axis of logarithms.

    Example:
        >>> ticks(Axis(1.9, 3.1, 0.0, 1.0))
        [100.0, 200.0, 500.0, 1000.0]
    """
    powers = range(math.floor(x.low), math.ceil(x.high) + 1)
    found = [factor * 10.0**power for power in powers for factor in ROUND]
    return [each for each in found if x.low <= math.log10(each) <= x.high]


def with_unit(value: float) -> str:
    """A round number in brief.

    Example:
        >>> with_unit(2e6), with_unit(500.0), with_unit(0.05)
        ('2 M', '500', '0.05')
    """
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def _mark(row: Priced, x: float, y: Axis) -> list[Markup]:
    place = y.at(row.value)
    kind = "mark s0" if row.on_front else "hollow s0"
    return [
        line(x, y.at(row.low), x, y.at(row.high), "curve s0"),
        tag("circle", class_=kind, cx=x, cy=place, r=4.0),
        words(str(row.number), x + 7, place - 4, kind="small"),
    ]
