"""One metric of an audit in one figure: by shift, radius, phase and class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shiftproof._charts import head
from shiftproof._figures import drawing
from shiftproof.audits._record import STRIDES_PX, phases_at_equal_radius
from shiftproof.errors import DataError
from shiftproof.metrics import (
    ClassBars,
    Estimate,
    MetricSpec,
    NotApplicable,
    PhaseCurve,
    RadialCurve,
    ShiftMap,
    by_class,
    by_radius,
    by_shift,
)
from shiftproof.probe import Response

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

View = ShiftMap | RadialCurve | PhaseCurve | ClassBars
PANEL_INCHES = (4.8, 3.6)


def plot_response(
    metric: MetricSpec, response: Response, *, title: str, class_names: Sequence[str], confidence: float
) -> tuple[Figure, list[Axes]]:
    """Every view of a metric that has a number, two in a row.

    Raises:
        DataError: No view has one.
        MissingDependencyError: matplotlib is not installed.
    """
    views = _views(metric, response, confidence)
    if not views:
        raise DataError(
            f"an answer that {metric.name} has a meaning for", "none", cause=_why(metric, response)
        )
    n_rows, n_columns = (len(views) + 1) // 2, min(2, len(views))
    inches = (PANEL_INCHES[0] * n_columns, PANEL_INCHES[1] * n_rows)
    with drawing(n_rows, n_columns, inches=inches) as (figure, places):
        for view, place in zip(views, places, strict=False):
            if isinstance(view, ClassBars):
                view.plot(axes=place, class_names=class_names)
            else:
                view.plot(axes=place)
        for empty in places[len(views) :]:
            empty.remove()
        head(figure, title)
    return figure, places[: len(views)]


def _views(metric: MetricSpec, response: Response, confidence: float) -> list[View]:
    found = (
        by_shift(metric, response, confidence=confidence),
        by_radius(metric, response, confidence=confidence),
        *(phases_at_equal_radius(px)(metric, response, confidence=confidence) for px in STRIDES_PX),
        by_class(metric, response, confidence=confidence),
    )
    return [view for view in found if not isinstance(view, NotApplicable) and _has_a_number(view)]


def _has_a_number(view: View) -> bool:
    return any(isinstance(part, Estimate) for part in view.values())


def _why(metric: MetricSpec, response: Response) -> str:
    whole = metric.estimate(response)
    return f"There is none: {whole.reason}." if isinstance(whole, NotApplicable) else ""
