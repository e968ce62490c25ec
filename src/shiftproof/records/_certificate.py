"""What is certain of a network: the record of a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shiftproof.records._base import Line, StrictRecord, read_record

Pair = tuple[int, int]


class ReasonRecord(StrictRecord):
    """Why a law ends."""

    layer: Line
    text: Line


class CircularRecord(StrictRecord):
    """What is proved for images that roll."""

    image_px: Pair
    step_px: Pair | None
    rolls: Pair | None
    axes: tuple[int | None, int | None] | None
    limits: tuple[ReasonRecord, ...]
    ended_by: ReasonRecord | None
    text: Line


class InteriorRecord(StrictRecord):
    """What is proved for content that moves far from every border."""

    image_px: Pair
    answer: Literal["invariant", "equivariant"] | None
    layer: Line
    step_px: Pair
    before_px: Pair
    after_px: Pair
    is_empty: bool
    smallest_px: Pair | None
    ended_by: ReasonRecord | None
    text: Line


class StageRecord(StrictRecord):
    """A step of the network, as both laws see it."""

    layer: Line
    operation: Line
    padding: Line
    size: Pair | None
    stride_px: Pair | None
    circular: Line
    interior: Line


class DeviationRecord(StrictRecord):
    """How far answers are from a law in one dtype; None for what is no number."""

    dtype: Line
    change: float | None
    relative: float | None
    tolerance: float | None
    n_flips: int | None
    within: bool


class CheckRecord(StrictRecord):
    """One law, checked; without a law `holds` is None."""

    law: Literal["circular", "interior", "none"]
    n_images: int
    n_moves: int
    n_possible: int
    holds: bool | None
    float64: DeviationRecord
    own: DeviationRecord | None
    text: Line


class CertifiedModelRecord(StrictRecord):
    """The model, as in other records."""

    name: Line
    digest: str
    preprocessing: Line
    framing: Line
    notes: tuple[Line, ...]


class CertificateRecord(StrictRecord):
    """What is certain of a network; see `shiftproof.certify.Certificate`."""

    schema_version: Literal[1]
    kind: Literal["certificate"]
    model: CertifiedModelRecord
    image_shape: tuple[int, int, int]
    verdict: Literal["all-shifts", "strided-shifts", "interior", "nothing"]
    headline: Line
    holds: bool | None
    circular: CircularRecord
    interior: InteriorRecord
    stages: tuple[StageRecord, ...]
    checks: tuple[CheckRecord, ...]
    notes: tuple[Line, ...]
    environment: Mapping[str, Any]


def read_certificate(source: Path | Mapping[str, Any]) -> CertificateRecord:
    """The record of a certificate, from a file or from the same as a mapping.

    Raises:
        DataError: Not such a record, or of another schema version.
    """
    return read_record(source, CertificateRecord, "the record of a certificate")
