"""What is certain of a network: the record of a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shiftproof.records._audit import ModelRecord
from shiftproof.records._base import Line, NumberOrNone, StrictRecord, read_record
from shiftproof.records._environment import EnvironmentRecord

Pair = tuple[int, int]


class ReasonRecord(StrictRecord):
    """Why a law ends, or is not about finer shifts: the layer, and a sentence."""

    layer: Line
    text: Line

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}"


class CircularLaw(StrictRecord):
    """What is proved for images that roll, as on a torus.

    Args:
        image_px: (height, width).
        step_px: The law is about rolls by multiples of this, (down, right); the size of the images where
            only whole turns are left of an axis. None where nothing is proved.
        rolls: Positions by which an answer that is maps rolls for one such step, along its rows and
            columns; None for an answer that stays.
        axes: The axes of that answer which are its rows and its columns; both the same where rows follow
            each other on one axis, None for one that is absent.
        limits: What stands in the way of finer steps, or of any, in the order in which it was met.
        ended_by: Where nothing is proved, what stopped the step that came farthest.
        text: All of it in a sentence.
    """

    image_px: Pair
    step_px: Pair | None
    rolls: Pair | None
    axes: tuple[int | None, int | None] | None
    limits: tuple[ReasonRecord, ...]
    ended_by: ReasonRecord | None
    text: Line

    @property
    def proved(self) -> bool:
        """Whether there is such a law."""
        return self.step_px is not None

    def __str__(self) -> str:
        return self.text


class InteriorLaw(StrictRecord):
    """What is proved for content that moves on a blank background, far from every border.

    Args:
        image_px: (height, width).
        answer: `invariant`; `equivariant` for an answer that is maps; None where the law ends before.
        layer: The last layer whose maps move with the content, or the one that asks for most distance.
        step_px: The content moves by multiples of this, (down, right).
        before_px: Least distance of the content from the top, and from the left; in images of `smallest_px`
            where that is known.
        after_px: Least distance from the bottom, and from the right.
        is_empty: Whether the images are too small for any content to move.
        smallest_px: A size of larger images in which it could; None where it can, or where none is known.
        ended_by: Why the law ends before the answer.
        text: All of it in a sentence.
    """

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

    @property
    def proved(self) -> bool:
        """Whether it says something about the answer to images of this size."""
        return self.answer is not None and not self.is_empty

    def __str__(self) -> str:
        return self.text


class Stage(StrictRecord):
    """A step of the network that does something to positions.

    Args:
        layer: Its path.
        operation: What it does, in a few words.
        padding: Its border, empty for none.
        size: Rows and columns after it; None where there are no positions.
        stride_px: Pixels from one position to the next, where that is known.
        circular: What rolls of the images do to its answer, in a few words.
        interior: The same for content that moves in the interior.
    """

    layer: Line
    operation: Line
    padding: Line
    size: Pair | None
    stride_px: Pair | None
    circular: Line
    interior: Line


class Deviation(StrictRecord):
    """How far the answers to moved images are from the law, in one dtype; None for what is no number.

    Args:
        dtype: Such as `float64`.
        change: The largest difference of a number in an answer.
        relative: The same, in units of the largest number in any answer.
        tolerance: How much of `relative` rounding may explain.
        n_flips: Images and moves for which the predicted class is another one; None for answers that are
            no logits.
        within: Whether rounding may explain it. What is no number is not explained.
    """

    dtype: Line
    change: NumberOrNone
    relative: NumberOrNone
    tolerance: NumberOrNone
    n_flips: int | None
    within: bool


class LawCheck(StrictRecord):
    """One law, checked.

    Args:
        law: `circular`, `interior`, or `none`: the change under circular shifts by whole pixels, where
            nothing is proved of them.
        n_images: How many.
        n_moves: Moves of each image.
        n_possible: Moves that there are.
        holds: Whether float64 agrees with the law; None without a law, or where rounding hides the answer.
        float64: In which the law is judged.
        own: In the dtype of the model, if that is another one.
        text: All of it in a sentence.
    """

    law: Literal["circular", "interior", "none"]
    n_images: int
    n_moves: int
    n_possible: int
    holds: bool | None
    float64: Deviation
    own: Deviation | None
    text: Line


Verdict = Literal["all-shifts", "strided-shifts", "interior", "nothing"]


class Certificate(StrictRecord):
    """What is certain of a network. "Exactly" is meant in real arithmetic; `checks` say how computed it is.

    Args:
        schema_version, kind: What document it is.
        model: What a report says about the model: name, digest, preprocessing.
        image_shape: (C, H, W) of the images that it is about.
        verdict: The strongest law that is proved of the answer: `all-shifts`, `strided-shifts`, `interior`
            or `nothing`.
        headline: The verdict as one sentence.
        holds: Whether float64 agrees with all that is proved; None where nothing was checked.
        circular, interior: Both laws.
        stages: The network, as the laws see it.
        checks: The numeric certificate; empty where it was left out.
        notes: What a reader has to know.
        environment: Versions and machine.
    """

    schema_version: Literal[1]
    kind: Literal["certificate"]
    model: ModelRecord
    image_shape: tuple[int, int, int]
    verdict: Verdict
    headline: Line
    holds: bool | None
    circular: CircularLaw
    interior: InteriorLaw
    stages: tuple[Stage, ...]
    checks: tuple[LawCheck, ...]
    notes: tuple[Line, ...]
    environment: EnvironmentRecord

    def __str__(self) -> str:
        checks = (check.text for check in self.checks)
        return "\n".join([self.headline, self.circular.text, self.interior.text, *checks])


def read_certificate(source: Path | Mapping[str, Any]) -> Certificate:
    """The record of a certificate, from a file or from the same as a mapping.

    Raises:
        DataError: Not such a record, or of another schema version.
    """
    return read_record(source, Certificate, "the record of a certificate")
