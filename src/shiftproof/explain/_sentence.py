"""One sentence for a layer or a block, put together from what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn import functional

from shiftproof._text import percent
from shiftproof.anatomy import Place
from shiftproof.explain._losses import Loss
from shiftproof.explain._remedies import Remedy
from shiftproof.explain._runs import Runs
from shiftproof.layers import BlurPool2d, DetailPreservingPool2d, LowPassPool2d, MaxBlurPool2d
from shiftproof.records import Cause

# Layers with a low-pass filter of their own before the stride, as `Moment.kind` names them.
LOW_PASS = tuple(kind.__name__ for kind in (BlurPool2d, MaxBlurPool2d, LowPassPool2d, DetailPreservingPool2d))
AVERAGES = tuple(
    kind.__name__
    for kind in (nn.AvgPool2d, functional.avg_pool2d, nn.AdaptiveAvgPool2d, functional.adaptive_avg_pool2d)
)
LITTLE = 0.05


@dataclass(frozen=True, slots=True)
class Benefit:
    """What a user would see if everything up to the end of a segment moved with the image.

    Args:
        agreement: Share of the predictions that would stay, and that stay as it is.
        change: The squared distance by which the logits would move, and move as it is: 1 for another image.
    """

    agreement: tuple[float, float]
    change: tuple[float, float]

    def __str__(self) -> str:
        would, does = self.agreement
        if does < 1:
            return f"{percent(would)} of the predictions would stay, instead of {percent(does)}"
        left, now = self.change
        return f"the logits would change by {left:.2g} of what another image changes, instead of {now:.2g}"


def sentence(
    loss: Loss,
    runs: Runs,
    *,
    share: float,
    restored: float,
    benefit: Benefit,
    between: float,
    remedy: Remedy | None = None,
) -> str:
    """What a segment loses, why, and what a user would see of it.

    Args:
        loss: Of the segment.
        runs: The network.
        share: Of what all lose under whole pixels.
        restored: What it recovers, as a share of what all lose.
        benefit: Of everything up to its end.
        between: Its share of what fractions of a pixel add.
        remedy: Another layer, and what it removes.
    """
    name = f"`{loss.segment.name(runs)}`"
    gain = f"; {_gain(remedy)}" if remedy else ""
    if share > 0:
        why = reason(loss, runs, loss.main_cause)
        then = f"If everything up to {name} moved with the image, {benefit}{gain}."
        return f"{name} loses {percent(share)} of what is lost: {why}. {then}"
    if between > LITTLE:
        return (
            f"{name} loses nothing under whole pixels, but {percent(between)} of what fractions of a pixel "
            f"add: {reason(loss, runs, 'non-linearity')}{gain}."
        )
    if restored >= 0.001:
        return f"{name} recovers {percent(restored)} of what is lost."
    return f"{name} loses nothing."


def _gain(remedy: Remedy) -> str:
    what = f"what it loses by its {remedy.cause}"
    if remedy.removes < LITTLE:
        return f"{remedy.replacement} in its place would not remove {what}, as measured without training"
    removed = f"{100 * min(remedy.removes, 1.0):.0f} %"
    return f"{remedy.replacement} in its place would remove about {removed} of {what}"


def reason(loss: Loss, runs: Runs, cause: Cause) -> str:
    """Why the segment loses what it loses by a cause."""
    segment = loss.segment
    if segment.last == 0:
        return "other parts of the scene come in where some leave, which no layer can help"
    before, after = (_strides(runs, index) for index in (segment.before, segment.last))
    factor = max((float(a / b) for a, b in zip(after, before, strict=False)), default=1.0)
    loud = segment.loud(runs)
    kind = runs.moments[loud[0]].kind if len(loud) == 1 else ""
    if cause == "downsampling":
        return _of_stride(kind, factor, float(max(before, default=1)))
    if cause == "border":
        if not after:
            return "it counts what the shift brings in, and misses what it moves out of the image"
        return "its positions see what lies beyond the border, and what the shift brings in"
    if cause == "non-linearity":
        return (
            "it makes detail finer than its positions can hold, which does not move by fractions of a pixel"
        )
    if before and not after:
        return "from here on position is part of the features"
    return "its answer depends on where in the image something is, even for shifts by its whole stride"


def _strides(runs: Runs, index: int) -> tuple[float, ...]:
    """Of what is alive after a step: the largest, down and right; empty where nothing has a place."""
    alive = runs.alive_at(index)
    places = [place for place in alive if isinstance(place, Place)] if isinstance(alive, tuple) else []
    if not places:
        return ()
    return max(float(p.stride_px[0]) for p in places), max(float(p.stride_px[1]) for p in places)


def _of_stride(kind: str, factor: float, before_px: float) -> str:
    if factor <= 1:
        return f"at one position in {before_px:g} px it makes more of what an earlier stride has aliased"
    if kind in LOW_PASS:
        return f"stride {factor:g}, through whose low-pass filter some detail passes"
    if kind in AVERAGES:
        return f"stride {factor:g} with a mean as its only low-pass filter"
    return f"stride {factor:g} without a low-pass filter" if kind else f"a stride of {factor:g} inside"
