"""What edits are worth: the record of a fix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from shiftproof.records._base import Line, StrictRecord, check_parts, read_record
from shiftproof.records._numbers import Compared, Estimate, Estimated

# What the table of a fix shows.
SHOWN = ("clean-accuracy", "accuracy", "agreement", "worst-case-accuracy")


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
    loss: Estimate


class LossesRecord(StrictRecord):
    """What all layers lose; see `shiftproof.fix.Losses`."""

    change: Estimate
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

    @model_validator(mode="after")
    def _is_whole(self) -> FixRecord:
        check_parts("data", self.about.data, ("name",))
        check_parts("protocol", self.about.protocol, ("name", "summary"))
        if self.about.training is not None:
            check_parts("training", self.about.training, ("labelled", "epochs"))
        for row in self.rows:
            check_parts(f"estimates of {row.name}", row.estimates, SHOWN)
            check_parts(f"differences of {row.name}", row.differences, ("accuracy",) if row.verdict else ())
        if self.chosen not in [row.name for row in self.rows]:
            raise ValueError(f"{self.chosen!r} is chosen, and no row")
        return self


def read_fix(source: Path | Mapping[str, Any]) -> FixRecord:
    """The record of a fix from its JSON file or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, FixRecord, "the record of a fix")
