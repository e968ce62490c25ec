"""The record that every rendering reads: `report.json`, checked against its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from shiftproof.errors import DataError

_STRICT = ConfigDict(frozen=True, extra="forbid")


class EstimateRecord(BaseModel):
    """A number with its interval; see `shiftproof.metrics.Estimate`."""

    model_config = _STRICT

    value: float
    low: float
    high: float
    n_images: int
    n_seeds: int
    unit: str
    confidence: float
    method: str


class CellRecord(BaseModel):
    """One network under one protocol."""

    model_config = _STRICT

    protocol: str
    metrics: Mapping[str, EstimateRecord]
    accuracy_per_seed: tuple[float, ...]
    published: float | None
    difference: float | None
    published_inside_interval: bool | None


class RowRecord(BaseModel):
    """One network with one training."""

    model_config = _STRICT

    name: str
    network: str
    title: str
    note: str
    n_parameters: int
    recipe: Mapping[str, Any]
    seeds: tuple[int, ...]
    cells: tuple[CellRecord, ...]
    error: str | None


class ProtocolRecord(BaseModel):
    """A column."""

    model_config = _STRICT

    name: str
    summary: str
    source: str


class SplitRecord(BaseModel):
    """A set of images."""

    model_config = _STRICT

    name: str
    n_images: int
    digest: str


class StudyRecord(BaseModel):
    """A whole study: what was asked, on what, and every number."""

    model_config = _STRICT

    schema_version: Literal[1]
    kind: Literal["study"]
    status: Literal["complete", "incomplete"]
    name: str
    title: str
    source: str
    preset: str
    preset_summary: str
    protocols: tuple[ProtocolRecord, ...]
    data: Mapping[str, SplitRecord]
    environment: Mapping[str, str]
    config: Mapping[str, Any]
    rows: tuple[RowRecord, ...]


def read_study(source: Path | Mapping[str, Any]) -> StudyRecord:
    """A study's record from `report.json` or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    name = source.name if isinstance(source, Path) else "the record"
    try:
        value = json.loads(source.read_text()) if isinstance(source, Path) else source
        return StudyRecord.model_validate(value)
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(f"{name} to be the record of a study", f"an error: {error}") from error
