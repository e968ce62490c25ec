"""How networks learn, as a drawing: a number of each epoch, and between its ends over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from shiftproof.report._drawing import Axis, axis_for, drawing, line, number, short, tag, words
from shiftproof.report._drawn_charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MARKERS,
    RIGHT,
    TOP,
    WIDTH,
    marker,
    points_of,
)

# As many networks as can be told apart by their marks.
MOST_TOGETHER = len(MARKERS)
# Of a loss of 0 there is no logarithm.
LEAST_LOSS = 1e-12
KEY_PX = 18.0
Runs = Sequence[Sequence[float]]


def learning_chart(series: Mapping[str, Runs], *, title: str, label: str, in_decades: bool = False) -> Markup:
    """The mean over seeds at each epoch, and a band from the least to the largest of them.

    Args:
        series: For each network, of which there are at most four, a sequence of numbers for each seed.
        title: What the numbers are.
        label: What the chart shows, for those who cannot see it.
        in_decades: Whether the axis is logarithmic.
    """
    drawn = {name: _epochs(runs, in_decades) for name, runs in series.items()}
    ends = [end for rows in drawn.values() for row in rows for end in row]
    longest = max(len(rows) for rows in drawn.values())
    x = Axis(0.5, max(longest, 2) + 0.5, LEFT, WIDTH - RIGHT)
    top = TOP + KEY_PX * len(drawn)
    within = (-math.inf, math.inf) if in_decades else (0.0, 100.0)
    y = axis_for(ends, HEIGHT + KEY_PX * len(drawn) - BOTTOM, top, within=within)
    inside = []
    for at in y.ticks:
        said = f"10^{number(at)}" if in_decades and at else number(10**at if in_decades else at)
        inside += [
            line(LEFT, y.at(at), WIDTH - RIGHT, y.at(at), "grid"),
            words(said, LEFT - 8, y.at(at) + 4, anchor="end", kind="small"),
        ]
    bottom = y.start
    inside += [
        words(number(at), x.at(at), bottom + 20, anchor="middle", kind="small")
        for at in x.ticks
        if at == round(at) and at > 0
    ]
    inside.append(words("epoch", (LEFT + WIDTH - RIGHT) / 2, bottom + 40, anchor="middle"))
    turned = f"translate(14 {(top + bottom) / 2:g}) rotate(-90)"
    inside.append(tag("text", short(title, 44), class_="ink", text_anchor="middle", transform=turned))
    for place, (name, rows) in enumerate(drawn.items()):
        inside += _curve(rows, x, y, place)
        inside += _key(name, place)
    return drawing(WIDTH, HEIGHT + KEY_PX * len(drawn), label, inside)


def _epochs(runs: Runs, in_decades: bool) -> list[tuple[float, float, float]]:
    """Mean, least and largest of each epoch, over the seeds that have it: some stop early."""
    columns = [[run[epoch] for run in runs if epoch < len(run)] for epoch in range(max(map(len, runs)))]
    found = [(sum(column) / len(column), min(column), max(column)) for column in columns]
    if not in_decades:
        return found
    return [tuple(math.log10(max(end, LEAST_LOSS)) for end in row) for row in found]  # type: ignore[misc]


def _curve(rows: Sequence[tuple[float, float, float]], x: Axis, y: Axis, place: int) -> list[Markup]:
    kind = f"s{place % len(MARKERS)}"
    up = [(x.at(epoch), y.at(high)) for epoch, (_, _, high) in enumerate(rows, 1)]
    down = [(x.at(epoch), y.at(low)) for epoch, (_, low, _) in enumerate(rows, 1)]
    middle = [(x.at(epoch), y.at(value)) for epoch, (value, _, _) in enumerate(rows, 1)]
    return [
        tag("polygon", class_=f"band {kind}", points=points_of([*up, *reversed(down)])),
        tag("polyline", class_=f"curve {kind}", points=points_of(middle)),
        *(marker(*at, place) for at in {middle[0], middle[-1]}),
    ]


def _key(name: str, place: int) -> list[Markup]:
    top = TOP + KEY_PX * place
    return [
        line(LEFT, top, LEFT + 24, top, f"curve s{place % len(MARKERS)}"),
        marker(LEFT + 12, top, place),
        words(short(name, 50), LEFT + 32, top + 4, kind="small"),
    ]
