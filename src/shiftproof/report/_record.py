"""The record that every rendering reads: `report.json`, checked against its schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from shiftproof._documents import misfit, read_json, unreadable
from shiftproof._text import said
from shiftproof.errors import DataError

Record = TypeVar("Record", bound=BaseModel)
# Half a character, as in a name that is no UTF-8, is no string to pydantic: made harmless before it looks.
Line = Annotated[str, BeforeValidator(lambda text: said(text) if isinstance(text, str) else text)]


class StrictRecord(BaseModel):
    """What every record is: as it was read, and nothing that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class CellRecord(StrictRecord):
    """One network under one protocol. `not_applicable` has the reason for each metric without a number."""

    protocol: str
    metrics: Mapping[str, EstimateRecord]
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
    found: EstimateRecord | NotApplicableRecord


class AgainstRecord(StrictRecord):
    """A row beside the one that it is meant to be better than."""

    base: str
    differences: tuple[ChangeRecord, ...]


class RowRecord(StrictRecord):
    """One network with one training.

    `curves` has for each seed the mean loss and the share of right answers of each epoch, while training.
    """

    name: str
    network: str
    title: str
    note: str
    n_parameters: int
    recipe: Mapping[str, Any]
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
    """A whole study: what was asked, on what, and every number."""

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
    columns: tuple[ColumnRecord, ...] = ()

    def shown(self, row: RowRecord, column: ColumnRecord) -> EstimateRecord | None:
        """The number of a row in a column; None where it has none, or the row failed."""
        found = (cell.metrics.get(column.metric) for cell in row.cells if cell.protocol == column.protocol)
        return next(found, None)


def read_study(source: Path | Mapping[str, Any]) -> StudyRecord:
    """A study's record from `report.json` or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, StudyRecord, "the record of a study")


def read_record(source: Path | Mapping[str, Any], kind: type[Record], what: str) -> Record:
    """A record of a kind, or an error that says what it is not."""
    name = source.name if isinstance(source, Path) else "the record"
    try:
        value = read_json(source) if isinstance(source, Path) else source
        return kind.model_validate(value)
    except ValidationError as error:
        found = misfit(error)
        n_others = error.error_count() - 1
        more = f" (and {n_others} more)" if n_others else ""
        other_version = found.startswith("schema_version: ")
        raise DataError(
            f"{name} to be {what}",
            f"{found}{more}",
            cause="It was written by another version of shiftproof." if other_version else "",
            fix="Make it again with this one." if other_version else "",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{name} to be {what}", unreadable(error)) from error
