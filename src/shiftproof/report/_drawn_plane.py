"""The plane of shifts: a coloured cell for each offset, as a picture and as data of the page's own widget."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from shiftproof._charts import Quantity
from shiftproof.records import Estimate, Offset, PointRecord
from shiftproof.report._drawing import BRIGHT, SCALE, colour, drawing, number, tag, words
from shiftproof.report._numbers import amount, in_full, narrow

CELL = 30.0
MARGIN_LEFT, MARGIN_TOP, MARGIN_BOTTOM = 52.0, 20.0, 74.0
# Wider planes have no room for a number in each cell.
MOST_NUMBERED = 21
LEAST_WIDTH = 330.0
# Colours that are drawn apart; finer ones nobody sees, and cells of one colour are one element.
LEVELS = 64
AXIS_LABELS = 9
# The least width of a scale of colours: less is noise that colours would magnify.
NARROWEST = {True: 0.01, False: 1e-3}

Points = Mapping[Offset, PointRecord[Offset]]


@dataclass(frozen=True, slots=True)
class Plane:
    """A number at each offset.

    Args:
        quantity: What they are.
        points: By offset (dy, dx) in pixels; at least one.
    """

    quantity: Quantity
    points: Points

    @property
    def rows(self) -> list[float]:
        """Every dy, and 0."""
        return sorted({dy + 0.0 for dy, _ in self.points} | {0.0})

    @property
    def columns(self) -> list[float]:
        """Every dx, and 0."""
        return sorted({dx + 0.0 for _, dx in self.points} | {0.0})

    @property
    def ends(self) -> tuple[float, float]:
        """Of the scale of colours, in the unit of the metric."""
        values = [point.value for point in self.points.values()]
        low, high = min(values), max(values)
        return min(low, high - NARROWEST[self.quantity.is_share]), high

    def part(self, value: float) -> float:
        """Where a number is on the scale, from 0 to 1."""
        low, high = self.ends
        return (value - low) / (high - low)


def plane_svg(plane: Plane, *, label: str) -> Markup:
    """A coloured cell for each offset, with its number in it where there is room.

    Args:
        plane: What to draw.
        label: What it shows, for those who cannot see it.
    """
    rows, columns = plane.rows, plane.columns
    width = max(LEAST_WIDTH, MARGIN_LEFT + CELL * len(columns) + 12)
    bottom = MARGIN_TOP + CELL * len(rows)
    inside = [tag("path", d=path, fill=fill) for fill, path in _cells(plane)]
    if max(len(rows), len(columns)) <= MOST_NUMBERED:
        inside += _numbers(plane)
    inside += [*_axes(rows, columns), *_legend(plane, bottom + 42)]
    return drawing(width, bottom + MARGIN_BOTTOM, label, inside)


def _places(plane: Plane) -> Iterable[tuple[float, float, PointRecord[Offset] | None]]:
    """The left upper corner of each cell and what is there, row by row."""
    known = {(dy + 0.0, dx + 0.0): point for (dy, dx), point in plane.points.items()}
    for row, dy in enumerate(plane.rows):
        for column, dx in enumerate(plane.columns):
            yield MARGIN_LEFT + CELL * column, MARGIN_TOP + CELL * row, known.get((dy, dx))


def _cells(plane: Plane) -> list[tuple[str, str]]:
    """For each colour the path of its cells; those without a number are left out."""
    found: dict[int, list[str]] = {}
    for x, y, point in _places(plane):
        if point is not None:
            level = round(plane.part(point.value) * (LEVELS - 1))
            # A hair more than the cell: viewers show gaps between neighbours otherwise.
            found.setdefault(level, []).append(f"M{x:g} {y:g}h{CELL + 0.3:g}v{CELL + 0.3:g}h-{CELL + 0.3:g}z")
    return [(colour(level / (LEVELS - 1)), "".join(found[level])) for level in sorted(found)]


def _numbers(plane: Plane) -> list[Markup]:
    return [
        words(
            in_cell(point.value, plane.quantity),
            x + CELL / 2,
            y + CELL / 2 + 4,
            anchor="middle",
            kind="on-bright" if plane.part(point.value) >= BRIGHT else "on-dark",
        )
        for x, y, point in _places(plane)
        if point is not None
    ]


def in_cell(value: float, quantity: Quantity) -> str:
    """A number of at most four characters: whole percents, never 100 or 0 for what is not quite that.

    Example:
        >>> share = Quantity("agreement", "share of images")
        >>> in_cell(0.9996, share), in_cell(0.421, share), in_cell(0.1234, Quantity("drift", "norm"))
        ('99', '42', '.12')
    """
    if quantity.is_share:
        return str(round(100 * value) if value in (0, 1) else min(max(round(100 * value), 1), 99))
    return f"{value:.2f}".removeprefix("0") if 0 <= value < 1 else f"{value:.3g}"


def _axes(rows: Sequence[float], columns: Sequence[float]) -> list[Markup]:
    bottom = MARGIN_TOP + CELL * len(rows)
    found = [
        words(number(dx), MARGIN_LEFT + CELL * (place + 0.5), bottom + 14, anchor="middle", kind="small")
        for place, dx in _labelled(columns)
    ]
    found += [
        words(number(dy), MARGIN_LEFT - 6, MARGIN_TOP + CELL * (place + 0.5) + 4, anchor="end", kind="small")
        for place, dy in _labelled(rows)
    ]
    found.append(words("dx (px), right is positive", MARGIN_LEFT, bottom + 30, kind="small"))
    found.append(words("dy (px), down is positive", 2.0, 12.0, kind="small"))
    x, y = MARGIN_LEFT + CELL * columns.index(0.0), MARGIN_TOP + CELL * rows.index(0.0)
    found.append(tag("rect", class_="centre", x=x + 2, y=y + 2, width=CELL - 4, height=CELL - 4))
    return found


def _labelled(axis: Sequence[float]) -> list[tuple[int, float]]:
    """A few places of an axis, evenly from 0, and what is there."""
    every = max(1, -(-len(axis) // AXIS_LABELS))
    return [(place, at) for place, at in enumerate(axis) if (place - axis.index(0.0)) % every == 0]


def _legend(plane: Plane, y: float) -> list[Markup]:
    steps, wide = 24, 160.0
    low, high = plane.ends
    bars = [
        tag(
            "rect", x=MARGIN_LEFT + wide * step / steps, y=y, width=wide / steps + 0.3, height=10,
            fill=colour(step / (steps - 1)),
        )
        for step in range(steps)
    ]  # fmt: skip
    unit = plane.quantity.unit
    ends = f"{plane.quantity.name}: {amount(low, unit)} to {amount(high, unit)}"
    return [*bars, words(ends, MARGIN_LEFT, y + 24, kind="small")]


def plane_data(
    planes: Sequence[Plane], *, images: Mapping[str, Any] | None = None, unit_confidence: float
) -> dict[str, Any]:
    """What the widget of `plane.js` is given: numbers to colour by, and every text that it shows.

    Args:
        planes: Over the same offsets, the first one is shown first.
        images: Which images change their answer where; see `plane.js`.
        unit_confidence: Nominal coverage of the intervals.
    """
    rows = sorted({dy for plane in planes for dy in plane.rows})
    columns = sorted({dx for plane in planes for dx in plane.columns})
    return {
        "dy": rows,
        "dx": columns,
        "start": list(_weakest_near(planes[0])),
        "colours": list(SCALE),
        "bright": BRIGHT,
        "metrics": [_metric_data(plane, rows, columns, unit_confidence) for plane in planes],
        **({"images": dict(images)} if images else {}),
    }


def _weakest_near(plane: Plane) -> Offset:
    """Where to look first: the worst of the shifts that are nearest to 0."""
    sign = 1 if plane.quantity.higher_is_better else -1
    moved = [at for at in plane.points if _radius(at)] or list(plane.points)
    dy, dx = min(moved, key=lambda at: (_radius(at), sign * plane.points[at].value, at))
    return dy + 0.0, dx + 0.0


def _metric_data(
    plane: Plane, rows: Sequence[float], columns: Sequence[float], confidence: float
) -> dict[str, Any]:
    known = {(dy + 0.0, dx + 0.0): point for (dy, dx), point in plane.points.items()}
    found = [known.get((dy, dx)) for dy in rows for dx in columns]
    low, high = plane.ends
    unit = plane.quantity.unit
    return {
        "name": plane.quantity.name,
        "title": plane.quantity.title,
        "better": "higher" if plane.quantity.higher_is_better else "lower",
        "ends": [low, high],
        "end_texts": [amount(low, unit), amount(high, unit)],
        "value": [None if point is None else float(f"{point.value:.6g}") for point in found],
        "cell": ["" if point is None else in_cell(point.value, plane.quantity) for point in found],
        "text": ["" if point is None else point_in_full(point, unit, confidence) for point in found],
    }


def point_in_full(point: PointRecord[Any], unit: str, confidence: float) -> str:
    """A number of a map with its interval and n, as everywhere else."""
    return in_full(
        Estimate(
            value=point.value, low=point.low, high=point.high, n_images=point.n_images, n_seeds=1, unit=unit,
            confidence=confidence, method="",
        )
    )  # fmt: skip


def offset_rows(planes: Sequence[Plane], most: int) -> tuple[list[str], list[list[str]], str]:
    """Every offset with its numbers as a table: titles, rows, and a remark where some are left out."""
    offsets = sorted({at for plane in planes for at in plane.points}, key=lambda at: (_radius(at), at))
    shown = sorted(offsets[:most])
    titles = ["dy (px)", "dx (px)"]
    for plane in planes:
        titles += [plane.quantity.title, "interval", "n"]
    rows = [
        [number(at[0]), number(at[1]), *(cell for p in planes for cell in _cells_of(p, at))] for at in shown
    ]
    left_out = len(offsets) - len(shown)
    remark = f"The {most:,} offsets nearest to 0; {left_out:,} more in report.json." if left_out else ""
    return titles, rows, remark


def _radius(at: Offset) -> float:
    return max(map(abs, at))


def _cells_of(plane: Plane, at: Offset) -> list[str]:
    point = plane.points.get(at)
    if point is None:
        return ["", "", ""]
    value, low, high = (narrow(end, plane.quantity.unit) for end in (point.value, point.low, point.high))
    return [value, f"{low} to {high}", f"{point.n_images:,}"]


def island(data: Mapping[str, Any]) -> Markup:
    r"""JSON that can stand in a script element: nothing in it ends the element, or anything else.

    Example:
        >>> island({"a": "</script>"})
        Markup('{"a":"\\u003c/script\\u003e"}')
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # every character that HTML knows has been replaced
