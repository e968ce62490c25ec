"""The article's table and the trainings of today: the record of a reproduction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shiftproof.records._base import Line, StrictRecord, read_record
from shiftproof.records._environment import EnvironmentRecord
from shiftproof.records._study import StudyRecord


class EpochPairRecord(StrictRecord):
    """One epoch of a training of today, and the same epoch as it was recorded."""

    epoch: int
    loss: float
    accuracy: float
    recorded_loss: float
    recorded_accuracy: float

    @property
    def difference_points(self) -> float:
        """By how much the accuracy while training differs, in percentage points."""
        return 100 * abs(self.accuracy - self.recorded_accuracy)


class TodayRecord(StrictRecord):
    """A training of today, epoch by epoch."""

    name: Line
    epochs: tuple[EpochPairRecord, ...]

    @property
    def largest(self) -> EpochPairRecord:
        """The epoch that differs most."""
        return max(self.epochs, key=lambda pair: pair.difference_points)


class PackagedRecord(StrictRecord):
    """How a network in the package was trained."""

    name: Line
    network: Line
    command: Line
    epochs: int
    seed: int
    finished: Line
    environment: EnvironmentRecord
    weights_digest: Line


class ReproductionRecord(StrictRecord):
    """The table of the packaged networks, what is known of them, and the trainings of today."""

    schema_version: Literal[1]
    kind: Literal["reproduction"]
    table: StudyRecord
    packaged: tuple[PackagedRecord, ...]
    today: tuple[TodayRecord, ...]
    follows_points: float


def read_reproduction(source: Path | Mapping[str, Any]) -> ReproductionRecord:
    """A record of `shiftproof reproduce`, from `report.json` or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, ReproductionRecord, "the record of a reproduction")
