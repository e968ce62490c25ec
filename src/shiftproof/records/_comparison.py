"""The record of a comparison of two models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shiftproof.records._audit import DataRecord
from shiftproof.records._base import Line, StrictRecord, read_record
from shiftproof.records._numbers import Compared, Estimated


class ComparedModelRecord(StrictRecord):
    """One of two models."""

    name: Line
    digest: Line


class ComparedMetricRecord(StrictRecord):
    """One metric of both models, and the second minus the first."""

    metric: Line
    higher_is_better: bool
    first: Estimated
    second: Estimated
    difference: Compared


class ComparedProtocolRecord(StrictRecord):
    """Both models under one protocol."""

    name: Line
    rows: tuple[ComparedMetricRecord, ...]


class ComparisonRecord(StrictRecord):
    """Two models on the same images under the same shifts."""

    schema_version: Literal[1]
    kind: Literal["comparison"]
    models: tuple[ComparedModelRecord, ComparedModelRecord]
    data: DataRecord
    confidence: float
    protocols: tuple[ComparedProtocolRecord, ...]


def read_comparison(source: Path | Mapping[str, Any]) -> ComparisonRecord:
    """A comparison's record from its JSON file or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, ComparisonRecord, "the record of a comparison")
