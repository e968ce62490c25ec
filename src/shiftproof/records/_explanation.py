"""Which layers lose translation invariance, and why: the record of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from shiftproof.records._audit import ModelRecord
from shiftproof.records._base import Line, StrictRecord, check_parts, read_record
from shiftproof.records._numbers import Estimate, Estimated, NotApplicable


class LayerRowRecord(StrictRecord):
    """One layer or block; see `shiftproof.explain.LayerRow`."""

    layer: Line
    kind: Line
    n_steps: int
    stride_px: tuple[float, float] | None
    size: tuple[int, int] | None
    loss: Mapping[Line, Estimate]
    split: Mapping[Line, Estimate]
    share: float
    share_between: float
    agreement: float
    sentence: Line
    remedy: Line | None
    remedy_cause: Line | None
    remedy_removes: float | None
    closed: Line | None


class StairRecord(StrictRecord):
    """What is left after a cut; see `shiftproof.explain.Stair`."""

    after: Line
    change: Mapping[Line, Mapping[Line, float] | None]


class ImageSetRecord(StrictRecord):
    """The images that were shown."""

    name: Line
    n_images: int
    image_shape: tuple[int, int, int]
    digest: Line
    conversions: Mapping[Line, int] = {}


class LieRecord(StrictRecord):
    """The derivative of the answer to the position of the image; see `shiftproof.explain.LieDerivative`."""

    how: Mapping[Line, Any]
    norm: Mapping[Line, Estimated]
    mean_abs: Mapping[Line, Estimated]
    px_per_grid_unit: Mapping[Line, float]


class SensitivityRecord(StrictRecord):
    """What a layer makes of every shift of a square; see `shiftproof.explain.SensitivityMap`."""

    layer: Line | None
    n_images: int
    scale: float
    scale_is: Line
    max_shift_px: int
    map: tuple[tuple[float, ...], ...]
    cosine_map: tuple[tuple[float, ...], ...]
    radial: Mapping[Line, Estimated]
    radial_cosine: Mapping[Line, Estimated]


class ExplanationRecord(StrictRecord):
    """A whole network; see `shiftproof.explain.Explanation`."""

    schema_version: Literal[2]
    kind: Literal["explanation"]
    model: ModelRecord
    data: ImageSetRecord
    frame: Literal["circle", "border"]
    border: Line
    offsets_px: Mapping[Line, tuple[tuple[tuple[float, float], ...], ...] | None]
    reach_px: int
    stride_px: tuple[int, int]
    n_images: int
    n_shifts: int
    n_runs: int
    change: Mapping[Line, Mapping[Line, Estimate] | NotApplicable]
    stairs: tuple[StairRecord, ...]
    rows: tuple[LayerRowRecord, ...]
    tied: tuple[Line, ...]
    notes: tuple[Line, ...]
    lie_derivative: LieRecord | None = None
    sensitivity: tuple[SensitivityRecord, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> ExplanationRecord:
        whole = self.change.get("with-border")
        if whole is None or isinstance(whole, NotApplicable):
            raise ValueError("the change with the real border is missing")
        check_parts("change with the real border", whole, ("flips", "logits"))
        return self


def read_explanation(source: Path | Mapping[str, Any]) -> ExplanationRecord:
    """An explanation's record from its JSON file or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, ExplanationRecord, "the record of an explanation")
