"""Numbers with their intervals, and why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    Discriminator,
    Tag,
)

from shiftproof.records._base import Line, StrictRecord


class NotApplicableRecord(StrictRecord):
    """There is no number, and why."""

    not_applicable: Line


class EstimateRecord(StrictRecord):
    """A number with its interval; see `shiftproof.metrics.Estimate`."""

    value: float
    low: float
    high: float
    n_images: int
    n_seeds: int
    unit: Line
    confidence: float
    method: Line


class DifferenceRecord(StrictRecord):
    """A number of one model minus that of another; see `shiftproof.metrics.Difference`."""

    value: float
    low: float
    high: float
    n_images: int
    p_value: float
    unit: Line
    confidence: float
    method: Line


def _kind_of_number(value: Any) -> str:
    """Which of the records it is; so that an error is about that one alone."""
    has = value.__contains__ if isinstance(value, Mapping) else lambda name: hasattr(value, name)
    if has("not_applicable"):
        return "not applicable"
    return "difference" if has("p_value") else "estimate"


_Estimate = Annotated[EstimateRecord, Tag("estimate")]
_Difference = Annotated[DifferenceRecord, Tag("difference")]
_NotApplicable = Annotated[NotApplicableRecord, Tag("not applicable")]
_Kind = Discriminator(_kind_of_number)

Estimated = Annotated[_Estimate | _NotApplicable, _Kind]
Compared = Annotated[_Difference | _NotApplicable, _Kind]
Measured = Annotated[_Estimate | _Difference | _NotApplicable, _Kind]
