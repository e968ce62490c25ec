"""The staircase as a drawing: how much of the answer still changes, from cut to cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from shiftproof.report._drawing import Axis, axis_for, drawing, line, number, short, tag, width_of, words
from shiftproof.report._drawn_charts import MARKERS, marker, points_of

WIDTH, ROW = 560.0, 22.0
TOP, RIGHT, BOTTOM, KEY_PX = 12.0, 18.0, 48.0, 18.0
Steps = Mapping[str, Sequence[float | None]]


def staircase_chart(cuts: Sequence[str], steps: Steps, *, title: str, label: str) -> Markup:
    """A row for each cut, from top to bottom; what changes there is drawn across, and falls from cut to cut.

    Args:
        cuts: Names of the layers after which everything moved perfectly up to there; at least one.
        steps: For each condition, of which there are at most four, a number at each cut, or None.
        title: What the numbers are.
        label: What the chart shows, for those who cannot see it.
    """
    known = [value for values in steps.values() for value in values if value is not None]
    left = 20 + max(width_of(short(cut, 34)) for cut in cuts)
    top = TOP + KEY_PX * len(steps)
    bottom = top + ROW * len(cuts)
    x = axis_for([0.0, *known], left, WIDTH - RIGHT, within=(0.0, float("inf")))
    inside = [line(x.at(at), top, x.at(at), bottom, "grid") for at in x.ticks]
    inside += [words(number(at), x.at(at), bottom + 18, anchor="middle", kind="small") for at in x.ticks]
    for place, cut in enumerate(cuts):
        inside.append(
            words(short(cut, 34), left - 10, top + ROW * (place + 0.5) + 4, anchor="end", kind="small")
        )
    for place, (name, values) in enumerate(steps.items()):
        inside += _steps(values, x, top, place)
        inside += [
            line(
                left, TOP + KEY_PX * place, left + 24, TOP + KEY_PX * place, f"curve s{place % len(MARKERS)}"
            ),
            marker(left + 12, TOP + KEY_PX * place, place),
            words(short(name, 60), left + 32, TOP + KEY_PX * place + 4, kind="small"),
        ]
    inside.append(words(title, (left + WIDTH - RIGHT) / 2, bottom + 38, anchor="middle"))
    return drawing(WIDTH, bottom + BOTTOM, label, inside)


def _steps(values: Sequence[float | None], x: Axis, top: float, place: int) -> list[Markup]:
    """A line down each row, and across to the next one where it changes."""
    corners = []
    for row, value in enumerate(values):
        if value is not None:
            corners += [(x.at(value), top + ROW * row), (x.at(value), top + ROW * (row + 1))]
    marks = [
        marker(x.at(value), top + ROW * (row + 0.5), place)
        for row, value in enumerate(values)
        if value is not None
    ]
    return [tag("polyline", class_=f"curve s{place % len(MARKERS)}", points=points_of(corners)), *marks]
