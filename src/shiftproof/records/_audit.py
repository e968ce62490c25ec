"""The records of an audit and of a comparison, checked against their schema.

Names in them come from files and models. They are made printable here, once for every rendering.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, model_validator

from shiftproof._tasks import Outputs, TaskName
from shiftproof.records._base import Line, StrictRecord, read_record
from shiftproof.records._environment import EnvironmentRecord
from shiftproof.records._numbers import Estimated, Measured, NotApplicable

At = TypeVar("At")
Outcome = Literal["pass", "fail", "inconclusive"]


class PointRecord(StrictRecord, Generic[At]):
    """One place of a map or curve: drawn, so always a number."""

    model_config = ConfigDict(allow_inf_nan=False)

    at: At
    value: float
    low: float
    high: float
    n_images: int


class ViewRecord(StrictRecord, Generic[At]):
    """A map or a curve: points, or why there are none."""

    not_applicable: Line | None
    points: tuple[PointRecord[At], ...]


Offset = tuple[float, float]
Phase = tuple[int, int]
Maps = Mapping[str, ViewRecord[Offset]]
Phases = Mapping[str, ViewRecord[Phase]]
Curves = Mapping[str, ViewRecord[int]]


class ChanceRecord(StrictRecord):
    """What guessing would reach."""

    accuracy: float | NotApplicable
    agreement: float | NotApplicable


# A picture inside of a record: of these kinds only, so that nothing else can come in by it.
PictureAddress = Annotated[
    str, Field(max_length=2**20, pattern=r"^(data:image/(png|jpeg);base64,[A-Za-z0-9+/]+={0,2})?$")
]


class WorstRecord(StrictRecord):
    """An image whose answer changes often.

    Label and answers are numbers of classes, −1 where not known; or sets of labels, or names of images.
    `before` and `after` are pictures of it, unshifted and at `flip_offset_px`; empty where there are none.
    """

    index: int
    name: Line
    label: int | Line
    unshifted: int | Line
    share_of_shifts_that_change_it: float
    smallest_flip_px: float
    flip_offset_px: Offset
    flips_to: int | Line
    before: PictureAddress = ""
    after: PictureAddress = ""


class ChangedRecord(StrictRecord):
    """How many images change their answer at an offset, and a few of them: index and answer there."""

    at: Offset
    n_images: int
    examples: tuple[tuple[int, int | Line], ...]


class ChangedImageRecord(StrictRecord):
    """An image among those examples."""

    name: Line
    unshifted: int | Line


class MeasuredProtocolRecord(StrictRecord):
    """Everything measured under one protocol."""

    name: Line
    law: Line
    border: Line
    interpolation: Line
    summary: Line
    source: Line
    n_images: int
    n_shifts: int
    n_moves: int
    n_classes: int
    reach_px: tuple[int, int]
    method: Line
    method_reason: Line
    stopped_early: bool
    decided: bool = False
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    files: tuple[Line, ...]
    chance: ChanceRecord
    estimates: Mapping[Line, Estimated]
    by_shift: Maps
    by_radius: Curves
    by_phase: Mapping[str, Phases]
    by_class: Curves
    worst: tuple[WorstRecord, ...]
    changed: tuple[ChangedRecord, ...] = ()
    changed_images: Mapping[str, ChangedImageRecord] = {}


class NoiseRecord(StrictRecord):
    """What the same images, asked again, would be measured as: the floor of each number."""

    n_images: int
    repeats: tuple[Line, ...]
    largest_drift: float
    beyond_rounding: bool
    estimates: Mapping[Line, Estimated]


class ModelRecord(StrictRecord):
    """What was asked."""

    name: Line
    digest: Line
    preprocessing: Line
    framing: Line
    notes: tuple[Line, ...]


class TaskRecord(StrictRecord):
    """What an answer is; see `shiftproof.adapters.Task`."""

    name: TaskName
    outputs: Outputs
    threshold: float | tuple[float, ...] | None
    why: Line


class SkippedRecord(StrictRecord):
    """A file that could not be used, and why."""

    name: Line
    reason: Line


class DataRecord(StrictRecord):
    """The images."""

    name: Line
    n_images: int
    image_shape: tuple[int, int, int]
    labelled: bool
    class_names: tuple[Line, ...]
    digest: Line
    skipped: tuple[SkippedRecord, ...]
    conversions: Mapping[Line, int]
    note: Line = ""

    def class_name(self, number: int | str) -> str:
        """The name of a class, its number where it has none, and `unknown` below 0; words as they are."""
        if isinstance(number, str):
            return number
        if number < 0:
            return "unknown"
        return self.class_names[number] if number < len(self.class_names) else str(number)


class MetricRecord(StrictRecord):
    """What a number means."""

    summary: Line
    unit: Line
    bounds: tuple[int | float | None, int | float | None]
    higher_is_better: bool
    source: Line
    tasks: tuple[TaskName, ...]


class GateRecord(StrictRecord):
    """A demand, and what became of it."""

    demand: Line
    protocol: Line
    verdict: Literal["pass", "fail", "inconclusive", "not applicable"]
    measured: Measured


class AuditRecord(StrictRecord):
    """A whole audit: one model, images, every protocol, and the verdict.

    `config` is whatever was asked, as the run directory has it: what must be the same to go on.
    """

    schema_version: Literal[2]
    kind: Literal["audit"]
    verdict: Line
    outcome: Outcome
    model: ModelRecord
    task: TaskRecord
    data: DataRecord
    headline: tuple[Line, ...]
    metrics: Mapping[Line, MetricRecord]
    protocols: Annotated[tuple[MeasuredProtocolRecord, ...], Field(min_length=1)]
    noise: NoiseRecord | None = None
    gates: tuple[GateRecord, ...]
    environment: EnvironmentRecord
    config: Mapping[str, Any]

    @model_validator(mode="after")
    def _is_whole(self) -> AuditRecord:
        for part in self.protocols:
            for name in {*self.headline, *part.estimates}:
                if name not in self.metrics or name not in part.estimates:
                    raise ValueError(f"{name!r} is not described, or not measured under {part.name!r}")
        return self


class PlanRecord(StrictRecord):
    """What an audit would compute under one protocol, and about how long it would take."""

    protocol: Line
    n_images: int
    n_shifts: int
    forwards: int
    method: Line
    method_reason: Line
    expected_s: float


def read_audit(source: Path | Mapping[str, Any]) -> AuditRecord:
    """An audit's record from `report.json` or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, AuditRecord, "the record of an audit")
