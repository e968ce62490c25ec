"""The charts of a page: curves with the bands of their intervals, and dots with intervals on a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shiftproof._charts import HasInterval, Quantity
from shiftproof.report._drawing import (
    SIZE,
    Axis,
    axis_for,
    drawing,
    line,
    number,
    short,
    tag,
    width_of,
    words,
)

WIDTH, HEIGHT = 460.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 16.0, 14.0, 48.0
ROW = 24.0
# A series is told apart by its marker, its dashes and its class, which is a colour.
MARKERS = ("circle", "square", "diamond", "triangle")
UNBOUNDED = (float("-inf"), float("inf"))


@dataclass(frozen=True, slots=True)
class Dot:
    """A number with its interval and its name."""

    name: str
    value: float
    low: float
    high: float


def dot(name: str, found: HasInterval) -> Dot:
    """A number with its name."""
    return Dot(name, found.value, found.low, found.high)


def curves(
    series: Mapping[str, Mapping[int, HasInterval]], quantity: Quantity, *, x_title: str, label: str
) -> Markup:
    """Numbers against whole ones, each curve with the band of its interval.

    Args:
        series: For each curve its name, and its numbers by where they are; at least one number in each.
        quantity: What they are.
        x_title: What they are drawn against.
        label: What the chart shows, for those who cannot see it.
    """
    drawn = {name: _drawn(points, quantity) for name, points in series.items()}
    places = [at for points in series.values() for at in points]
    ends = [end for dots in drawn.values() for each in dots.values() for end in (each.low, each.high)]
    x = Axis(min(places) - 0.4, max(places) + 0.4, LEFT, WIDTH - RIGHT)
    y = axis_for(ends, HEIGHT - BOTTOM, TOP, within=_within(quantity))
    inside = [*_grid_up(y), *_below(x, x_title), _beside(quantity.title)]
    for place, (name, dots) in enumerate(drawn.items()):
        inside += _curve(dots, x, y, place)
        if len(drawn) > 1:
            inside += _key(name, place)
    return drawing(WIDTH, HEIGHT, label, inside)


def dots(
    rows: Sequence[Dot], quantity: Quantity, *, label: str, title: str = "", reference: float | None = None
) -> Markup:
    """A line for each row: its name, its interval, and a dot at its number.

    Args:
        rows: From top to bottom, at least one.
        quantity: What they are.
        label: What the chart shows, for those who cannot see it.
        title: Of the axis; the quantity by default.
        reference: Where to draw a line across, in the unit of the metric.
    """
    shown = [
        Dot(row.name, *(quantity.factor * end for end in (row.value, row.low, row.high))) for row in rows
    ]
    left = 24 + max(width_of(short(row.name)) for row in rows)
    ends = [end for row in shown for end in (row.low, row.high)]
    marks = [] if reference is None else [quantity.factor * reference]
    x = axis_for(
        [*ends, *marks], left, WIDTH - RIGHT - 10, within=_within(quantity) if not marks else UNBOUNDED
    )
    bottom = TOP + ROW * len(rows)
    inside = [line(x.at(at), TOP, x.at(at), bottom, "grid") for at in x.ticks]
    inside += [words(number(at), x.at(at), bottom + 18, anchor="middle", kind="small") for at in x.ticks]
    inside += [line(x.at(at), TOP - 4, x.at(at), bottom, "reference") for at in marks]
    for place, row in enumerate(shown):
        inside += _row(row, x, TOP + ROW * (place + 0.5), left)
    inside.append(words(title or quantity.title, (left + WIDTH - RIGHT) / 2, bottom + 38, anchor="middle"))
    return drawing(WIDTH, bottom + BOTTOM, label, inside)


def _drawn(points: Mapping[int, HasInterval], quantity: Quantity) -> dict[int, Dot]:
    factor = quantity.factor
    return {
        at: Dot(str(at), factor * points[at].value, factor * points[at].low, factor * points[at].high)
        for at in sorted(points)
    }


def _within(quantity: Quantity) -> tuple[float, float]:
    return (0.0, 100.0) if quantity.is_share else UNBOUNDED


def _grid_up(y: Axis) -> list[Markup]:
    found = [line(LEFT, y.at(at), WIDTH - RIGHT, y.at(at), "grid") for at in y.ticks]
    return found + [words(number(at), LEFT - 8, y.at(at) + 4, anchor="end", kind="small") for at in y.ticks]


def _below(x: Axis, title: str) -> list[Markup]:
    whole = [at for at in x.ticks if at == round(at)]
    found = [words(number(at), x.at(at), HEIGHT - 28, anchor="middle", kind="small") for at in whole]
    return [*found, words(title, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, anchor="middle")]


def _beside(title: str) -> Markup:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return tag(
        "text",
        short(title, 44),
        class_="ink",
        text_anchor="middle",
        transform=f"translate(14 {middle:g}) rotate(-90)",
    )


def _curve(dots: Mapping[int, Dot], x: Axis, y: Axis, place: int) -> list[Markup]:
    kind = f"s{place % len(MARKERS)}"
    above = [(x.at(at), y.at(dot.high)) for at, dot in dots.items()]
    below = [(x.at(at), y.at(dot.low)) for at, dot in reversed(list(dots.items()))]
    middle = [(x.at(at), y.at(dot.value)) for at, dot in dots.items()]
    found = [
        tag("polygon", class_=f"band {kind}", points=points_of([*above, *below])),
        tag("polyline", class_=f"curve {kind}", points=points_of(middle)),
    ]
    if len(dots) == 1:
        found += [line(middle[0][0], above[0][1], middle[0][0], below[0][1], f"curve {kind}")]
    return found + [marker(at_x, at_y, place) for at_x, at_y in middle]


def points_of(places: Sequence[tuple[float, float]]) -> Markup:
    """Places as a curve or an outline has them."""
    return Markup(" ".join(f"{x:.1f},{y:.1f}" for x, y in places))


def marker(x: float, y: float, place: int) -> Markup:
    """The mark of a series at a place."""
    kind, shape, r = f"mark s{place % len(MARKERS)}", MARKERS[place % len(MARKERS)], 3.6
    if shape == "circle":
        return tag("circle", class_=kind, cx=x, cy=y, r=r)
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "diamond": [(0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)],
        "triangle": [(0, -1.2 * r), (1.2 * r, r), (-1.2 * r, r)],
    }[shape]
    return tag("polygon", class_=kind, points=points_of([(x + dx, y + dy) for dx, dy in corners]))


def _key(name: str, place: int) -> list[Markup]:
    top = HEIGHT - BOTTOM - 14 - 18 * place
    return [
        line(LEFT + 8, top, LEFT + 32, top, f"curve s{place % len(MARKERS)}"),
        marker(LEFT + 20, top, place),
        words(short(name, 60), LEFT + 40, top + 4, kind="small"),
    ]


def _row(row: Dot, x: Axis, y: float, left: float) -> list[Markup]:
    low, high = x.at(row.low), x.at(row.high)
    return [
        words(short(row.name), left - 12, y + SIZE / 3, anchor="end"),
        line(low, y, high, y, "curve s0"),
        *(line(end, y - 4, end, y + 4, "curve s0") for end in (low, high)),
        marker(x.at(row.value), y, 0),
    ]
