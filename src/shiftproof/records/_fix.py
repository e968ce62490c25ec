"""What edits are worth: the record of a fix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from shiftproof.records._base import STRICT, Line, StrictRecord, check_parts, read_record
from shiftproof.records._numbers import Compared, Estimate, Estimated

# What the table of a fix shows.
SHOWN = ("clean-accuracy", "accuracy", "agreement", "worst-case-accuracy")
# What became of an edit on the images for choosing.
Fate = Literal[
    "chosen",
    "another is better",
    "another is as good",
    "not better than the original",
    "too many clean images lost",
    "over the budget",
    "dropped",
]


@dataclass(frozen=True, slots=True, config=STRICT)
class Change:
    """What an edit made of one layer.

    Args:
        layer: Its path in the network.
        before: What was there, in words.
        after: What is there now.
    """

    layer: Line
    before: Line
    after: Line


@dataclass(frozen=True, slots=True, config=STRICT)
class LeftAlone:
    """A layer that an edit is about and cannot change.

    Args:
        layer: Its path in the network.
        reason: Why, as a sentence.
    """

    layer: Line
    reason: Line


class EditRecord(StrictRecord):
    """One edit; see `shiftproof.adapters.EditStep`."""

    edit: Line
    layers: tuple[Line, ...] | None
    options: Mapping[Line, Any]


class FixedRow(StrictRecord):
    """One candidate, measured on images that it was not chosen by.

    Args:
        name: Its edits; `original` for the model as it came.
        steps: The same, as data.
        estimates: Clean accuracy, accuracy under the shifts, agreement, worst case.
        differences: Of each, minus that of the original, paired by image.
        ms_per_image: What an image costs.
        cost: That, in times of the original.
        n_forwards: Views of an image that its network is asked about; None in records from before.
        forwards_at_once: Forward passes that these cost: fewer where their work is shared, as it is where
            the milliseconds were measured.
        n_parameters: Numbers that it has learned; None for a function.
        on_front: Whether none that is cheaper, or as cheap, is right more often under shifts.
        verdict: `helps`, `harms` or `undecided`: whether the interval of the difference in accuracy under
            the shifts excludes 0. Empty for the original.
        certificate: What is proved of it, in a sentence.
        changes: What is different, by layer.
        left_alone: What should have been and is not.
    """

    name: Line
    steps: tuple[EditRecord, ...]
    estimates: Mapping[Line, Estimated]
    differences: Mapping[Line, Compared]
    ms_per_image: float
    cost: float
    n_forwards: int | None = None
    forwards_at_once: float | None = None
    n_parameters: int | None
    on_front: bool
    verdict: Literal["helps", "harms", "undecided", ""]
    certificate: Line
    changes: tuple[Change, ...]
    left_alone: tuple[LeftAlone, ...]


class TriedRecord(StrictRecord):
    """An edit on the images for choosing: why it was chosen, or passed over.

    Args:
        name: Its edits; `original` for the model as it came.
        n_images: So many of the images for choosing; all for a finalist, maybe fewer for what was dropped.
        estimates: As in `FixedRow`. “Right” is what `FixAboutRecord.truth` says; by `accuracy` edits are
            dropped and one is chosen, and the clean margin is about `clean-accuracy`.
        trained: Part of the epochs that it had been trained for, in [0, 1].
        fate: `chosen`, or why it is not; `another is as good` if that asks for no more forward passes, and
            `dropped` if it was not among the finalists.
    """

    name: Line
    n_images: int
    estimates: Mapping[Line, Estimated]
    trained: float
    fate: Fate


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


class Losses(StrictRecord):
    """How much the answer changes when the image moves, and which layers make it.

    Args:
        change: Squared distance of the logits over that between images; whole pixels, real border.
        layers: What the layers lose of it, those that lose most, in the order in which they run.
    """

    change: Estimate
    layers: tuple[LayerLossRecord, ...]


class TrainingRecord(StrictRecord):
    """How edited networks were trained; see `shiftproof.fix.FixOptions`.

    Args:
        n_images: To train on; None in records from before.
        epochs, learning_rate, batch_size, consistency: As they were asked for.
        labelled: Whether by labels; else by what the original answers, averaged over shifts.
    """

    n_images: int | None = None
    epochs: int
    learning_rate: float
    batch_size: int
    consistency: float
    labelled: bool


class FixAboutRecord(StrictRecord):
    """Images, shifts and settings; the clean margin is None in records from before."""

    data: Mapping[Line, Line]
    n_choosing: int
    n_reporting: int
    truth: Line
    protocol: Mapping[str, Line]
    budget: float | None
    clean_margin: float | None = None
    training: TrainingRecord | None
    seed: int
    confidence: float


class FixRecord(StrictRecord):
    """What edits of a model are worth; the models are in `shiftproof.fix.Fixed`.

    Args:
        schema_version, kind: What document it is.
        model: What was fixed.
        about: Images, shifts, training and settings.
        chosen: Name of the row of the chosen model.
        summary: What was chosen and what it is worth, in a sentence.
        rows: The original first, then the finalists, the best first.
        tried: All that was measured on the images for choosing: the original, the finalists, the best first,
            and what was dropped, the last first; empty in records from before.
        losses: What the layers lose in the original and in the chosen one, on images that nothing was chosen
            by; None where that is not known, or where the layers are the same.
        not_possible: Edits that cannot be made with this model, and why.
    """

    schema_version: Literal[1]
    kind: Literal["fix"]
    model: FixedModelRecord
    about: FixAboutRecord
    chosen: Line
    summary: Line
    rows: tuple[FixedRow, ...]
    tried: tuple[TriedRecord, ...] = ()
    losses: tuple[Losses | None, Losses | None] = (None, None)
    not_possible: tuple[NotPossibleRecord, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> FixRecord:
        check_parts("data", self.about.data, ("name",))
        check_parts("protocol", self.about.protocol, ("name", "summary"))
        for row in self.rows:
            check_parts(f"estimates of {row.name}", row.estimates, SHOWN)
            check_parts(f"differences of {row.name}", row.differences, ("accuracy",) if row.verdict else ())
        for each in self.tried:
            check_parts(f"estimates of {each.name}", each.estimates, SHOWN)
        if self.chosen not in [row.name for row in self.rows]:
            raise ValueError(f"{self.chosen!r} is chosen, and no row")
        return self

    @property
    def row(self) -> FixedRow:
        """That of the chosen model."""
        return next(row for row in self.rows if row.name == self.chosen)


def read_fix(source: Path | Mapping[str, Any]) -> FixRecord:
    """The record of a fix from its JSON file or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, FixRecord, "the record of a fix")
