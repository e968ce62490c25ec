"""The figures of an audit as SVG, from its record alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeVar

from shiftproof._charts import Quantity, draw_bars, draw_curve, draw_map, draw_phases, head
from shiftproof._figures import drawing, image_bytes
from shiftproof._text import counted
from shiftproof.records import AuditRecord, Estimate, MeasuredProtocolRecord, PointRecord, ViewRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

At = TypeVar("At")
Panel = Callable[["Axes"], None]
PANEL_INCHES = (4.6, 3.8)
LONGEST_SLUG = 80
# Which of the metrics that the record has by phase is drawn: the one that shows aliasing.
BY_PHASE = "agreement"


def audit_figures(record: AuditRecord) -> dict[str, bytes]:
    """For each protocol a figure by shift, radius, phase and class, as far as the record has numbers.

    Args:
        record: From `read_audit`.

    Returns:
        SVG by file name. Equal records give equal bytes with one version of matplotlib.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    names = slugs([part.name for part in record.protocols])
    return {
        f"{name}-{view}.svg": row_of(panels, _about(record, part))
        for name, part in zip(names, record.protocols, strict=True)
        for view, panels in _panels(record, part).items()
        if panels
    }


def quantities(record: AuditRecord) -> dict[str, Quantity]:
    """What each metric is, by its name."""
    return {
        name: Quantity(name, metric.unit, metric.higher_is_better) for name, metric in record.metrics.items()
    }


def points(view: ViewRecord[At]) -> dict[At, PointRecord[At]]:
    """The numbers of a view by where they are."""
    return {point.at: point for point in view.points}


def row_of(panels: Sequence[Panel], heading: Sequence[str]) -> bytes:
    """A figure of panels from left to right, as SVG."""
    width, height = PANEL_INCHES
    with drawing(1, len(panels), inches=(width * len(panels), height)) as (figure, places):
        for panel, axes in zip(panels, places, strict=True):
            panel(axes)
        head(figure, *heading)
    return image_bytes(figure)


def slugs(names: Sequence[str]) -> list[str]:
    """For each name one that a file can have, no two the same.

    Example:
        >>> slugs(["grid:4", "grid-4", "../x"])
        ['grid-4', 'grid-4-2', '..-x']
    """
    found: list[str] = []
    for name in names:
        slug = re.sub(r"[^\w.-]+", "-", name)[:LONGEST_SLUG]
        numbered = (slug if number == 1 else f"{slug}-{number}" for number in count(1))
        found.append(next(each for each in numbered if each not in found))
    return found


def panels_of(
    draw: Callable[..., None],
    views: Mapping[str, ViewRecord[At]],
    known: Mapping[str, Quantity],
    **options: Any,
) -> list[Panel]:
    """How to draw each metric that has numbers, by name: records from a file are in another order."""
    return [
        partial(draw, points=points(view), quantity=known[name], **options)
        for name, view in sorted(views.items())
        if view.points and name in known
    ]


def _panels(record: AuditRecord, part: MeasuredProtocolRecord) -> Mapping[str, list[Panel]]:
    known = quantities(record)
    phases = {
        int(stride): {name: view for name, view in views.items() if name == BY_PHASE}
        for stride, views in part.by_phase.items()
    }
    return {
        "by-shift": panels_of(draw_map, part.by_shift, known),
        "by-radius": panels_of(draw_curve, part.by_radius, known),
        "by-phase": [
            panel
            for stride, views in sorted(phases.items())
            for panel in panels_of(draw_phases, views, known, stride_px=stride)
        ],
        "by-class": panels_of(draw_bars, part.by_class, known, class_names=record.data.class_names),
    }


def _about(record: AuditRecord, part: MeasuredProtocolRecord) -> list[str]:
    images = f"{counted(part.n_images, 'image')} of {record.data.name}"
    found = (each for each in part.estimates.values() if isinstance(each, Estimate))
    level = "".join(f"; intervals of {100 * each.confidence:g} %" for each in islice(found, 1))
    return [f"{record.model.name} under {part.name} (border {part.border})", images + level]
