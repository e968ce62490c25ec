"""What edits are worth: the record of a fix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shiftproof.records._base import Line, StrictRecord, read_record
from shiftproof.records._numbers import Compared, Estimated, EstimateRecord


class EditRecord(StrictRecord):
    """One edit."""

    edit: Line
    layers: tuple[Line, ...] | None
    options: Mapping[Line, Any]


class LayerChangeRecord(StrictRecord):
    """What is different in a layer."""

    layer: Line
    before: Line
    after: Line


class LeftAloneRecord(StrictRecord):
    """What should have been different."""

    layer: Line
    reason: Line


class FixRowRecord(StrictRecord):
    """One candidate; see `shiftproof.fix.FixedRow`."""

    name: Line
    steps: tuple[EditRecord, ...]
    estimates: Mapping[Line, Estimated]
    differences: Mapping[Line, Compared]
    ms_per_image: float
    cost: float
    n_parameters: int | None
    on_front: bool
    verdict: Literal["helps", "harms", "undecided", ""]
    certificate: Line
    changes: tuple[LayerChangeRecord, ...]
    left_alone: tuple[LeftAloneRecord, ...]


class FixedModelRecord(StrictRecord):
    """What was fixed."""

    name: Line
    digest: Line


class NotPossibleRecord(StrictRecord):
    """An edit that cannot be made."""

    name: Line
    reason: Line


class LayerLossRecord(StrictRecord):
    """What a layer loses."""

    layer: Line
    loss: EstimateRecord


class LossesRecord(StrictRecord):
    """What all layers lose; see `shiftproof.fix.Losses`."""

    change: EstimateRecord
    layers: tuple[LayerLossRecord, ...]


class FixAboutRecord(StrictRecord):
    """Images, shifts and settings."""

    data: Mapping[Line, Line]
    n_choosing: int
    n_reporting: int
    truth: Line
    protocol: Mapping[str, Line]
    budget: float | None
    training: Mapping[str, Any] | None
    seed: int
    confidence: float


class FixRecord(StrictRecord):
    """A fix; see `shiftproof.fix.Fixed`."""

    schema_version: Literal[1]
    kind: Literal["fix"]
    model: FixedModelRecord
    about: FixAboutRecord
    chosen: Line
    summary: Line
    rows: tuple[FixRowRecord, ...]
    losses: tuple[LossesRecord | None, LossesRecord | None] = (None, None)
    not_possible: tuple[NotPossibleRecord, ...]


def read_fix(source: Path | Mapping[str, Any]) -> FixRecord:
    """The record of a fix from its JSON file or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, FixRecord, "the record of a fix")
