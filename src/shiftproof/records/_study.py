"""The record that every rendering reads: `report.json`, checked against its schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from shiftproof.records._base import Line, StrictRecord, check_parts, read_record
from shiftproof.records._environment import EnvironmentRecord
from shiftproof.records._numbers import Estimate, NotApplicable

# What the footnotes of a study say.
SPLITS, SEEDS = ("train", "test"), ("seeds",)


class CellRecord(StrictRecord):
    """One network under one protocol. `not_applicable` has the reason for each metric without a number."""

    protocol: str
    metrics: Mapping[str, Estimate]
    not_applicable: Mapping[str, str] = {}
    accuracy_per_seed: tuple[float, ...]
    published: float | None
    difference: float | None
    published_inside_interval: bool | None


class ColumnRecord(StrictRecord):
    """What a column of the table shows; `judges`: rows are compared with their base by it."""

    protocol: str
    metric: str
    title: Line
    judges: bool
    higher_is_better: bool
    unit: Line
    summary: str


class TimeRecord(StrictRecord):
    """A median time in milliseconds with its interval, and how it was measured."""

    value: float
    low: float
    high: float
    n_repeats: int
    batch_size: int
    threads: int
    confidence: float
    method: Line


class CostsRecord(StrictRecord):
    """What a network costs: multiply-adds and milliseconds of one image."""

    multiply_adds: int
    ms_per_image: TimeRecord


class ChangeRecord(StrictRecord):
    """A column of a row minus that of its base; `column` is its number, from 0."""

    column: int
    found: Estimate | NotApplicable


class AgainstRecord(StrictRecord):
    """A row beside the one that it is meant to be better than."""

    base: str
    differences: tuple[ChangeRecord, ...]


class EarlyStoppingRecord(StrictRecord):
    """When a training ended; see `shiftproof.train.EarlyStopping`."""

    patience_epochs: int
    held_out: float


class RecipeRecord(StrictRecord):
    """How a network was trained; see `shiftproof.train.Recipe`."""

    epochs: int
    batch_size: int
    learning_rate: float
    adam_epsilon: float
    input_scale: Line
    augmentation: Line
    early_stopping: EarlyStoppingRecord | None


class RowRecord(StrictRecord):
    """One network with one training.

    `curves` has for each seed the mean loss and the share of right answers of each epoch, while training.
    """

    name: str
    network: str
    title: str
    note: str
    n_parameters: int
    recipe: RecipeRecord
    seeds: tuple[int, ...]
    cells: tuple[CellRecord, ...]
    error: str | None
    costs: CostsRecord | None = None
    against: AgainstRecord | None = None
    curves: tuple[tuple[tuple[float, float], ...], ...] = ()


class ProtocolRecord(StrictRecord):
    """How images were shifted."""

    name: str
    summary: str
    source: str


class SplitRecord(StrictRecord):
    """A set of images."""

    name: str
    n_images: int
    digest: str


class StudyRecord(StrictRecord):
    """A whole study: what was asked, on what, and every number.

    `config` is whatever was asked: the study as its file and the command say it. `seeds` are among it.
    """

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
    environment: EnvironmentRecord
    config: Mapping[str, Any]
    rows: tuple[RowRecord, ...]
    columns: tuple[ColumnRecord, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> StudyRecord:
        check_parts("data", self.data, SPLITS)
        check_parts("config", self.config, SEEDS)
        return self

    def shown(self, row: RowRecord, column: ColumnRecord) -> Estimate | None:
        """The number of a row in a column; None where it has none, or the row failed."""
        found = (cell.metrics.get(column.metric) for cell in row.cells if cell.protocol == column.protocol)
        return next(found, None)


def read_study(source: Path | Mapping[str, Any]) -> StudyRecord:
    """A study's record from `report.json` or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, StudyRecord, "the record of a study")
