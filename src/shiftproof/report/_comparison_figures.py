"""The figures of a comparison as SVG: every difference, and both models by radius."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from shiftproof._charts import Quantity, draw_curve, draw_difference, head
from shiftproof._figures import drawing, image_bytes
from shiftproof._text import counted
from shiftproof.records import (
    AuditRecord,
    ComparedProtocolRecord,
    ComparisonRecord,
    Difference,
    MeasuredProtocolRecord,
    PointRecord,
)
from shiftproof.report._audit_figures import Panel, points, quantities, row_of, slugs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES = 6.4
ROW_INCHES = 0.28
# For the axis below each group of rows.
AXIS_INCHES = 0.75
FALLS = "↓"
Rows = dict[str, Difference]


def comparison_figures(record: ComparisonRecord, first: AuditRecord, second: AuditRecord) -> dict[str, bytes]:
    """For each protocol of a comparison the differences, and both models by radius.

    Args:
        record: From `read_comparison`.
        first: The audit of the first model.
        second: The audit of the second model.

    Returns:
        SVG by file name. Equal records give equal bytes with one version of matplotlib.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    names = [
        f"{place}: {model.name}" for place, model in zip(("first", "second"), record.models, strict=True)
    ]
    images = f"{counted(record.data.n_images, 'image')} of {record.data.name}"
    level = f"intervals of {100 * record.confidence:g} %"
    files: dict[str, bytes] = {}
    for slug, part in zip(slugs([part.name for part in record.protocols]), record.protocols, strict=True):
        heading = f"under {part.name}, {images}; {level}"
        if units := _by_unit(part):
            lines = [f"second − first ({FALLS}: less is better)", *names, heading]
            files[f"{slug}-differences.svg"] = _differences(units, lines)
        if panels := _curves(part.name, first, second, names):
            files[f"{slug}-by-radius.svg"] = row_of(panels, [heading])
    return files


def _by_unit(part: ComparedProtocolRecord) -> dict[str, Rows]:
    """The differences of one protocol by their unit as drawn, so that each unit has an axis."""
    found: dict[str, Rows] = {}
    for row in part.rows:
        if isinstance(row.difference, Difference):
            label = row.metric if row.higher_is_better else f"{row.metric} {FALLS}"
            unit = Quantity(row.metric, row.difference.unit).unit_of_change
            found.setdefault(unit, {})[label] = row.difference
    return found


def _differences(units: dict[str, Rows], heading: Sequence[str]) -> bytes:
    heights = [ROW_INCHES * len(rows) + AXIS_INCHES for rows in units.values()]
    with drawing(len(units), inches=(WIDTH_INCHES, sum(heights) + AXIS_INCHES)) as (figure, places):
        grid = places[0].get_gridspec()
        assert grid is not None, "axes of a grid"
        grid.set_height_ratios(heights)
        for rows, axes in zip(units.values(), places, strict=True):
            for metric, found in rows.items():
                draw_difference(axes, found, Quantity(metric, found.unit), label=metric)
        head(figure, *heading)
    return image_bytes(figure)


def _curves(protocol: str, first: AuditRecord, second: AuditRecord, names: Sequence[str]) -> list[Panel]:
    """A panel with both models for each metric that both have by radius."""
    parts = [_part(audit, protocol) for audit in (first, second)]
    known = quantities(first)
    panels: list[Panel] = []
    for metric in sorted(parts[0].by_radius):
        views = [part.by_radius[metric] for part in parts if metric in part.by_radius]
        if metric in known and len(views) == 2 and all(view.points for view in views):
            curves = dict(zip(names, map(points, views), strict=True))
            panels.append(partial(_beside, curves=curves, quantity=known[metric]))
    return panels


def _part(audit: AuditRecord, protocol: str) -> MeasuredProtocolRecord:
    return next(part for part in audit.protocols if part.name == protocol)


def _beside(axes: Axes, *, curves: dict[str, dict[int, PointRecord[int]]], quantity: Quantity) -> None:
    for name, curve in curves.items():
        draw_curve(axes, curve, quantity, label=name)
