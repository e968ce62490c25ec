"""Numbers with their intervals, and why there is none: what is computed, stored and drawn alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag
from pydantic.dataclasses import dataclass

from shiftproof._charts import Quantity, draw_difference, placed
from shiftproof.records._base import STRICT, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, config=STRICT)
class NotApplicable:
    """There is no number, and why. Never 0 and never NaN, which could be taken for one.

    Args:
        not_applicable: Why, as a clause for a reader, without a full stop.

    Example:
        >>> NotApplicable("there are no images").reason
        'there are no images'
    """

    not_applicable: Line

    @property
    def reason(self) -> str:
        """Why: `not_applicable` is what a document calls it, where it stands in the place of a number."""
        return self.not_applicable


@dataclass(frozen=True, slots=True, config=STRICT)
class Estimate:
    """A number, the interval around it, and what it was computed from.

    Args:
        value: Best estimate.
        low: Lower end of the interval.
        high: Upper end.
        n_images: Images behind it.
        n_seeds: Trained networks behind it.
        unit: Unit of value, low and high.
        confidence: Nominal coverage of the interval, for example 0.95.
        method: How the interval was computed, in words.
    """

    value: float
    low: float
    high: float
    n_images: int
    n_seeds: int
    unit: Line
    confidence: float
    method: Line


@dataclass(frozen=True, slots=True, config=STRICT)
class Difference:
    """A metric of one model minus that of another, on the same images under the same shifts.

    Args:
        value: Of the first minus that of the second.
        low: Lower end of the interval.
        high: Upper end.
        n_images: Images behind it.
        p_value: How often a difference as large, in either direction, comes about by chance.
        unit: Unit of value, low and high.
        confidence: Nominal coverage of the interval.
        method: How interval and p-value were computed, in words.
    """

    value: float
    low: float
    high: float
    n_images: int
    p_value: float
    unit: Line
    confidence: float
    method: Line

    def plot(self, *, axes: Axes | None = None, label: str = "first − second") -> tuple[Figure, Axes]:
        """Draw it with its interval beside a line at 0, below the differences that the axes hold already.

        Args:
            axes: Where to, for example those of another difference; those of a new figure by default.
            label: Its name.

        Returns:
            The figure and its axes.

        Raises:
            ComparisonError: The axes hold differences in another unit.
            MissingDependencyError: matplotlib is not installed.

        Example:
            >>> found = Difference(0.1, 0.05, 0.15, 100, 0.01, "share of images", 0.95, "by hand")
            >>> figure, axes = found.plot(label="agreement")
            >>> axes.get_xlabel()
            'difference (points)'
        """
        with placed(axes) as (figure, place):
            draw_difference(place, self, Quantity("", self.unit), label=label)
        return figure, place


def _kind_of_number(value: Any) -> str:
    """Which of the records it is; so that an error is about that one alone."""
    has = value.__contains__ if isinstance(value, Mapping) else lambda name: hasattr(value, name)
    if has("not_applicable"):
        return "not applicable"
    return "difference" if has("p_value") else "estimate"


_Estimate = Annotated[Estimate, Tag("estimate")]
_Difference = Annotated[Difference, Tag("difference")]
_NotApplicable = Annotated[NotApplicable, Tag("not applicable")]
_Kind = Discriminator(_kind_of_number)

Estimated = Annotated[_Estimate | _NotApplicable, _Kind]
Compared = Annotated[_Difference | _NotApplicable, _Kind]
Measured = Annotated[_Estimate | _Difference | _NotApplicable, _Kind]
