"""What was proved of a network, and the sentences that say so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shiftproof._digest import Json
from shiftproof._text import counted
from shiftproof.anatomy import Pair, Reason
from shiftproof.certify._numeric import Check, Deviation
from shiftproof.zoo import ImageShape

SCHEMA_VERSION = 1
Verdict = Literal["all-shifts", "strided-shifts", "interior", "nothing"]


@dataclass(frozen=True, slots=True)
class CircularLaw:
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
    """

    image_px: Pair
    step_px: Pair | None
    rolls: Pair | None
    axes: tuple[int | None, int | None] | None
    limits: tuple[Reason, ...]
    ended_by: Reason | None

    @property
    def proved(self) -> bool:
        """Whether there is such a law."""
        return self.step_px is not None

    def __str__(self) -> str:
        if self.step_px is None:
            return f"Circular shifts: nothing is proved. {self.ended_by}"
        answer = "the answer does not change" if self.rolls is None else "the maps of the answer roll along"
        return f"Circular shifts: proved that {answer} under {_shifts(self.step_px, self.image_px)}."


@dataclass(frozen=True, slots=True)
class InteriorLaw:
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
    """

    image_px: Pair
    answer: Literal["invariant", "equivariant"] | None
    layer: str
    step_px: Pair
    before_px: Pair
    after_px: Pair
    is_empty: bool
    smallest_px: Pair | None
    ended_by: Reason | None

    @property
    def proved(self) -> bool:
        """Whether it says something about the answer to images of this size."""
        return self.answer is not None and not self.is_empty

    def __str__(self) -> str:
        (top, left), (bottom, right) = self.before_px, self.after_px
        room = (
            f"{top} px from the top, {bottom} from the bottom, {left} from the left, {right} from the right"
        )
        if len({top, left, bottom, right}) == 1:
            room = f"{top} px from every border"
        moves = f"content on a blank background, at least {room}, that moves by {_multiples(self.step_px)}"
        if self.answer is None:
            where = f"up to {self.layer} maps move along with {moves}" if self.layer else "it ends at once"
            text = f"Interior: nothing is proved of the answer; {where}. {self.ended_by}"
        else:
            does = "does not change" if self.answer == "invariant" else "moves along"
            text = f"Interior: proved that the answer {does} for {moves}."
        if not self.is_empty:
            return text
        larger = f" in those of {_by(self.smallest_px)} px there is" if self.smallest_px else ""
        return (
            f"{text} In images of {_by(self.image_px)} px there is no room for that{larger and ';' + larger}."
        )


@dataclass(frozen=True, slots=True)
class Stage:
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

    layer: str
    operation: str
    padding: str
    size: Pair | None
    stride_px: Pair | None
    circular: str
    interior: str


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is certain of a network. "Exactly" is meant in real arithmetic; `checks` say how computed it is.

    Args:
        model: What a report says about the model: name, digest, preprocessing.
        image_shape: (C, H, W) of the images that it is about.
        verdict: The strongest law that is proved of the answer: `all-shifts`, `strided-shifts`, `interior`
            or `nothing`.
        circular, interior: Both laws.
        stages: The network, as the laws see it.
        checks: The numeric certificate; empty where it was left out.
        notes: What a reader has to know.
        environment: Versions and machine.
    """

    model: Mapping[str, Json]
    image_shape: ImageShape
    verdict: Verdict
    circular: CircularLaw
    interior: InteriorLaw
    stages: tuple[Stage, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    environment: Mapping[str, Json]

    @property
    def holds(self) -> bool | None:
        """Whether float64 agrees with all that is proved; None where nothing was checked."""
        found = [check.holds for check in self.checks if check.holds is not None]
        return all(found) if found else None

    @property
    def headline(self) -> str:
        """The verdict as one sentence."""
        if self.verdict == "interior":
            return str(self.interior).replace("Interior: proved", "Proved", 1)
        if self.verdict == "nothing":
            return f"Nothing is proved of the answer to images of {_by(self.circular.image_px)} px."
        return str(self.circular).replace("Circular shifts: proved", "Proved", 1)

    def __str__(self) -> str:
        lines = [self.headline, str(self.circular), str(self.interior), *map(_check_line, self.checks)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Json]:
        """The record that `shiftproof.report.read_certificate` accepts."""
        plain: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": "certificate",
            "model": dict(self.model),
            "image_shape": list(self.image_shape),
            "verdict": self.verdict,
            "headline": self.headline,
            "holds": self.holds,
            "circular": {**asdict(self.circular), "text": str(self.circular)},
            "interior": {**asdict(self.interior), "text": str(self.interior)},
            "stages": [asdict(stage) for stage in self.stages],
            "checks": [_check(check) for check in self.checks],
            "notes": list(self.notes),
            "environment": dict(self.environment),
        }
        found: dict[str, Json] = json.loads(json.dumps(plain))
        return found

    def to_json(self) -> str:
        """The record as text: sorted keys, so equal results are equal bytes."""
        return (
            json.dumps(self.to_dict(), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        )


def _check(check: Check) -> dict[str, Any]:
    return {
        "law": check.law,
        "n_images": check.n_images,
        "n_moves": check.n_moves,
        "n_possible": check.n_possible,
        "holds": check.holds,
        "float64": _deviation(check.float64),
        "own": None if check.own is None else _deviation(check.own),
        "text": _check_line(check),
    }


def _deviation(deviation: Deviation) -> dict[str, Any]:
    """As JSON, which has no word for what is no number."""
    numbers = {
        name: value if not isinstance(value, float) or math.isfinite(value) else None
        for name, value in asdict(deviation).items()
    }
    return {**numbers, "within": deviation.within}


_NOUNS = {"circular": "circular shift", "interior": "box move", "none": "circular shift"}
_STATES = {
    True: "as exact as rounding allows",
    False: "MORE than rounding allows",
    None: "undecided, since the answer is hardly more than rounding",
}


def _check_line(check: Check) -> str:
    found = check.float64
    share = "" if check.n_moves == check.n_possible else f" of {check.n_possible:,}"
    text = (
        f"{counted(check.n_images, 'image')}, {counted(check.n_moves, _NOUNS[check.law])}{share}: "
        f"largest change {found.relative:.2g} of the answer"
    )
    if check.law == "none":
        return f"Without a law: {text} in float64."
    text = f"Checked: {text} in float64 (tolerance {found.tolerance:.1g}), {_STATES[check.holds]}"
    if check.own is None:
        return f"{text}."
    flips = check.own.n_flips
    answers = f", {counted(flips, 'prediction')} changed" if flips is not None else ""
    return f"{text}; {check.own.relative:.2g} in {check.own.dtype}{answers}."


def _shifts(step_px: Pair, image_px: Pair) -> str:
    """A group of shifts in words.

    Example:
        >>> _shifts((1, 1), (8, 8)), _shifts((2, 4), (8, 8))
        ('all circular shifts by whole pixels', 'circular shifts by multiples of 2 px down and 4 px right')
        >>> _shifts((8, 1), (8, 8))
        'circular shifts to the right by whole pixels, and none down'
    """
    if step_px == (1, 1):
        return "all circular shifts by whole pixels"
    for axis, (other, word) in enumerate((("down", "to the right"), ("to the right", "down"))):
        if step_px[axis] == image_px[axis] > 1:
            step = step_px[1 - axis]
            by = "whole pixels" if step == 1 else f"multiples of {step} px"
            return f"circular shifts {word} by {by}, and none {other}"
    return f"circular shifts by {_multiples(step_px)}"


def _multiples(step_px: Pair) -> str:
    if step_px == (1, 1):
        return "whole pixels"
    if step_px[0] == step_px[1]:
        return f"multiples of {step_px[0]} px"
    return f"multiples of {step_px[0]} px down and {step_px[1]} px right"


def _by(size: Pair | None) -> str:
    return "" if size is None else f"{size[0]} × {size[1]}"
