"""What a metric is for each part of a response, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from shiftproof._charts import Quantity, draw_bars, draw_curve, draw_map, draw_phases, placed
from shiftproof.errors import DataError
from shiftproof.metrics._spec import MetricSpec
from shiftproof.records import Estimate, NotApplicable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = TypeVar("Key")


class Parts(dict[Key, Estimate | NotApplicable]):
    """A metric for each part of a response, in the order of its keys.

    Args:
        metric: Which one.
        estimates: Its estimate for each part, or why there is none.
    """

    def __init__(self, metric: MetricSpec, estimates: Mapping[Key, Estimate | NotApplicable]) -> None:
        super().__init__(estimates)
        self.metric = metric

    @property
    def quantity(self) -> Quantity:
        """What is drawn."""
        return Quantity(self.metric.name, self.metric.unit, self.metric.higher_is_better)

    def numbers(self) -> dict[Key, Estimate]:
        """The parts with a number.

        Raises:
            DataError: None has one; says why.
        """
        found = {key: part for key, part in self.items() if isinstance(part, Estimate)}
        reasons = [part.reason for part in self.values() if isinstance(part, NotApplicable)]
        if not found:
            raise DataError(f"a part with {self.metric.name} to draw", "none", cause=_sentence(reasons))
        return found


class ShiftMap(Parts[tuple[float, float]]):
    """A metric at each offset (dy, dx) in pixels."""

    def plot(
        self, *, axes: Axes | None = None, limits: tuple[float, float] | None = None
    ) -> tuple[Figure, Axes]:
        """Draw the map: brighter is more, down is positive as in the image, a ring where nothing moved.

        Args:
            axes: Where to; those of a new figure by default.
            limits: Ends of the scale of colours in the unit of the metric, so that two maps can be compared;
                by default those of this one.

        Returns:
            The figure and its axes.

        Raises:
            DataError: No offset has a number.
            MissingDependencyError: matplotlib is not installed.

        Convention:
            dy grows downwards and dx to the right. Pinned by tests/metrics/test_parts.py.
        """
        numbers = self.numbers()
        with placed(axes, inches=(5.0, 4.2)) as (figure, place):
            draw_map(place, numbers, self.quantity, limits=limits)
        return figure, place


class RadialCurve(Parts[int]):
    """A metric against max(|dy|, |dx|) in pixels."""

    def plot(self, *, axes: Axes | None = None, label: str = "") -> tuple[Figure, Axes]:
        """Draw the curve with the band of its interval; several in the same axes get other colours.

        Args:
            axes: Where to, for example those of another curve; those of a new figure by default.
            label: Name of the curve in the legend.

        Returns:
            The figure and its axes.

        Raises:
            DataError: No radius has a number.
            MissingDependencyError: matplotlib is not installed.
        """
        numbers = self.numbers()
        with placed(axes) as (figure, place):
            draw_curve(place, numbers, self.quantity, label=label)
        return figure, place


class PhaseCurve(Parts[tuple[int, int]]):
    """A metric against (dy mod stride, dx mod stride)."""

    def plot(self, *, axes: Axes | None = None) -> tuple[Figure, Axes]:
        """Draw each phase with its interval, and a line where phase (0, 0) is.

        Args:
            axes: Where to; those of a new figure by default.

        Returns:
            The figure and its axes.

        Raises:
            DataError: No phase has a number.
            MissingDependencyError: matplotlib is not installed.
        """
        numbers = self.numbers()
        with placed(axes) as (figure, place):
            draw_phases(place, numbers, self.quantity, stride_px=1 + max(dy for dy, _ in self))
        return figure, place


class ClassBars(Parts[int]):
    """A metric for the images of each true class, by its number."""

    def plot(self, *, axes: Axes | None = None, class_names: Sequence[str] = ()) -> tuple[Figure, Axes]:
        """Draw a bar with its interval for each class; of many classes, the worst.

        Args:
            axes: Where to; those of a new figure by default.
            class_names: By number; numbers stand for classes beyond them.

        Returns:
            The figure and its axes.

        Raises:
            DataError: No class has a number.
            MissingDependencyError: matplotlib is not installed.
        """
        numbers = self.numbers()
        with placed(axes) as (figure, place):
            draw_bars(place, numbers, self.quantity, class_names=class_names)
        return figure, place


def _sentence(reasons: Sequence[str]) -> str:
    return f"{reasons[0][0].upper()}{reasons[0][1:]}." if reasons else ""
