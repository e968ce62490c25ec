"""What was proved of a network, with the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch

from shiftproof._device import describe_environment
from shiftproof._text import counted
from shiftproof.adapters import Classifier, describe
from shiftproof.anatomy import Pair, Reason
from shiftproof.records import (
    Certificate,
    CircularLaw,
    Deviation,
    InteriorLaw,
    LawCheck,
    ReasonRecord,
    Stage,
    Verdict,
)
from shiftproof.zoo import ImageShape


def circular_law(
    image_px: Pair,
    step_px: Pair | None,
    rolls: Pair | None,
    axes: tuple[int | None, int | None] | None,
    limits: Iterable[Reason],
    ended_by: Reason | None,
) -> CircularLaw:
    """What is proved for images that roll, with its sentence; see `CircularLaw`."""
    if step_px is None:
        text = f"Circular shifts: nothing is proved. {ended_by}"
    else:
        answer = "the answer does not change" if rolls is None else "the maps of the answer roll along"
        text = f"Circular shifts: proved that {answer} under {_shifts(step_px, image_px)}."
    return CircularLaw(
        image_px=image_px,
        step_px=step_px,
        rolls=rolls,
        axes=axes,
        limits=tuple(map(_recorded, limits)),
        ended_by=None if ended_by is None else _recorded(ended_by),
        text=text,
    )


def interior_law(
    image_px: Pair,
    answer: Literal["invariant", "equivariant"] | None,
    layer: str,
    step_px: Pair,
    before_px: Pair,
    after_px: Pair,
    is_empty: bool,
    smallest_px: Pair | None,
    ended_by: Reason | None,
) -> InteriorLaw:
    """What is proved for content that moves in the interior, with its sentence; see `InteriorLaw`."""
    (top, left), (bottom, right) = before_px, after_px
    room = f"{top} px from the top, {bottom} from the bottom, {left} from the left, {right} from the right"
    if len({top, left, bottom, right}) == 1:
        room = f"{top} px from every border"
    moves = f"content on a blank background, at least {room}, that moves by {_multiples(step_px)}"
    if answer is None:
        where = f"up to {layer} maps move along with {moves}" if layer else "it ends at once"
        text = f"Interior: nothing is proved of the answer; {where}. {ended_by}"
    else:
        does = "does not change" if answer == "invariant" else "moves along"
        text = f"Interior: proved that the answer {does} for {moves}."
    if is_empty:
        larger = f" in those of {_by(smallest_px)} px there is" if smallest_px else ""
        text += f" In images of {_by(image_px)} px there is no room for that{larger and ';' + larger}."
    return InteriorLaw(
        image_px=image_px,
        answer=answer,
        layer=layer,
        step_px=step_px,
        before_px=before_px,
        after_px=after_px,
        is_empty=is_empty,
        smallest_px=smallest_px,
        ended_by=None if ended_by is None else _recorded(ended_by),
        text=text,
    )


def certificate(
    classifier: Classifier,
    image_shape: ImageShape,
    circular: CircularLaw,
    interior: InteriorLaw,
    stages: tuple[Stage, ...],
    notes: tuple[str, ...],
) -> Certificate:
    """Both laws of a network and the verdict, before anything is checked by numbers."""
    verdict = _verdict(circular, interior)
    headline = {
        "interior": interior.text.replace("Interior: proved", "Proved", 1),
        "nothing": f"Nothing is proved of the answer to images of {_by(circular.image_px)} px.",
    }.get(verdict, circular.text.replace("Circular shifts: proved", "Proved", 1))
    return Certificate(
        schema_version=1,
        kind="certificate",
        model=describe(classifier),
        image_shape=image_shape,
        verdict=verdict,
        headline=headline,
        holds=None,
        circular=circular,
        interior=interior,
        stages=stages,
        checks=(),
        notes=notes,
        environment=describe_environment(torch.device("cpu")),
    )


def with_checks(found: Certificate, checks: tuple[LawCheck, ...]) -> Certificate:
    """The same, checked by numbers."""
    held = [check.holds for check in checks if check.holds is not None]
    return found.model_copy(update={"checks": checks, "holds": all(held) if held else None})


def _verdict(circular: CircularLaw, interior: InteriorLaw) -> Verdict:
    if circular.proved:
        return "all-shifts" if circular.step_px == (1, 1) else "strided-shifts"
    return "interior" if interior.proved else "nothing"


def _recorded(reason: Reason) -> ReasonRecord:
    return ReasonRecord(layer=reason.layer, text=reason.text)


_NOUNS = {"circular": "circular shift", "interior": "box move", "none": "circular shift"}
_STATES = {
    True: "as exact as rounding allows",
    False: "MORE than rounding allows",
    None: "undecided, since the answer is hardly more than rounding",
}


def law_check(
    law: Literal["circular", "interior", "none"],
    moves: tuple[int, int, int],
    holds: bool | None,
    float64: Deviation,
    own: Deviation | None,
) -> LawCheck:
    """A law that was checked, with its sentence.

    Args:
        law, holds, float64, own: As in `LawCheck`.
        moves: `n_images`, `n_moves` and `n_possible`.
    """
    n_images, n_moves, n_possible = moves
    return LawCheck(
        law=law,
        n_images=n_images,
        n_moves=n_moves,
        n_possible=n_possible,
        holds=holds,
        float64=float64,
        own=own,
        text=_check_text(law, moves, holds, float64, own),
    )


def _check_text(
    law: str, moves: tuple[int, int, int], holds: bool | None, float64: Deviation, own: Deviation | None
) -> str:
    n_images, n_moves, n_possible = moves
    share = "" if n_moves == n_possible else f" of {n_possible:,}"
    text = (
        f"{counted(n_images, 'image')}, {counted(n_moves, _NOUNS[law])}{share}: "
        f"largest change {_relative(float64)} of the answer"
    )
    if law == "none":
        return f"Without a law: {text} in float64."
    text = f"Checked: {text} in float64 (tolerance {float64.tolerance or 0.0:.1g}), {_STATES[holds]}"
    if own is None:
        return f"{text}."
    answers = f", {counted(own.n_flips, 'prediction')} changed" if own.n_flips is not None else ""
    return f"{text}; {_relative(own)} in {own.dtype}{answers}."


def _relative(found: Deviation) -> str:
    return "nan" if found.relative is None else f"{found.relative:.2g}"


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
