"""One sentence for a layer, put together from what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shiftproof._text import percent
from shiftproof.explain._blame import Cause, Loss
from shiftproof.explain._graph import Graph, Step

# Layers with a low-pass filter of their own before the stride.
LOW_PASS = ("BlurPool2d", "MaxBlurPool2d", "LowPassPool2d", "DetailPreservingPool2d")
LINEAR = ("Conv2d", "conv2d", "Linear", "linear", "BatchNorm2d", "batch_norm")
AVERAGES = ("AvgPool2d", "avg_pool2d", "AdaptiveAvgPool2d", "adaptive_avg_pool2d")
LITTLE = 0.05


def sentence(loss: Loss, graph: Graph, *, total: float, remedy: tuple[str, float] | None = None) -> str:
    """What a layer loses, why, and what another one in its place was measured to lose less.

    Args:
        loss: Of the layer.
        graph: The network.
        total: What all layers lose, in the unit of the increases.
        remedy: The other layer, and the part of the loss that it removes.
    """
    name = f"`{loss.step.name}`"
    if loss.share == 0:
        restored = -float(loss.increase.mean()) / total if total > 0 else 0.0
        if restored < 0.001:
            return f"{name} loses nothing."
        return f"{name} takes back {percent(restored)} of what is lost."
    cause = main_cause(loss)
    text = f"{name} loses {percent(loss.share)} of what is lost: {_reason(loss, cause, graph)}"
    return f"{text}; {_effect(*remedy)}." if remedy else f"{text}."


def main_cause(loss: Loss) -> Cause:
    """The cause by which the layer loses most."""
    return max(loss.split, key=lambda cause: float(loss.split[cause].mean()))


def _effect(replacement: str, removed: float) -> str:
    if removed < LITTLE:
        return f"{replacement} in its place would not remove it, as measured without training"
    return f"{replacement} would remove about {100 * min(removed, 1.0):.0f} % of it"


def _reason(loss: Loss, cause: Cause, graph: Graph) -> str:
    step = loss.step
    sources = [graph.steps[name] for name in step.inputs]
    if cause == "head":
        return _of_head(step, sources)
    factor = max(
        (float(a / b) for s in sources for a, b in zip(step.stride, s.stride, strict=True)), default=1.0
    )
    if cause == "downsampling":
        return _of_stride(step.kind, factor, float(max(step.stride)))
    if cause == "border":
        window = _window(loss, graph)
        seen = f"its window of {window[0]} × {window[1]} positions sees" if window else "its positions see"
        return f"{seen} what lies beyond the border, and what the shift brings in"
    if cause == "non-linearity":
        if factor > 1:
            return "its answer moves by whole positions, not by fractions of a pixel"
        verb = "strengthens detail at the limit of" if step.kind in LINEAR else "makes detail finer than"
        return f"it {verb} what its positions can hold, which does not move by fractions of a pixel"
    return "its answer depends on where in the image something is, even for shifts by its whole stride"


def _of_head(step: Step, sources: Sequence[Step]) -> str:
    maps = [source.space for source in sources if source.space is not None]
    if not all(source.measurable for source in sources):
        return "with what could not be measured before it, it makes position part of the features"
    if not maps:
        return "its answer changes more with position than its input does"
    if math.prod(step.shape) <= sum(space.channels for space in maps):
        return (
            "one number is left of each feature map, and the shift changes it more than it changed the maps"
        )
    return "from here on position is part of the features"


def _of_stride(kind: str, factor: float, total_px: float) -> str:
    if factor <= 1:
        return f"at one position in {total_px:g} px it sharpens what an earlier stride has aliased"
    if kind in LOW_PASS:
        return f"stride {factor:g}, through whose low-pass filter some detail passes"
    if kind in AVERAGES:
        return f"stride {factor:g} with a mean as its only low-pass filter"
    return f"stride {factor:g} without a low-pass filter"


def _window(loss: Loss, graph: Graph) -> tuple[int, int] | None:
    """Positions of its input that a layer sees, (down, right), if that is more than one and is known."""
    sources = [graph.steps[name].space for name in loss.step.inputs]
    space = loss.step.space
    if len(sources) != 1 or space is None or sources[0] is None:
        return None
    before = sources[0]
    if space.first is None or space.last is None or before.first is None or before.last is None:
        return None
    sees = [
        int((space.last[a] - space.first[a] - before.last[a] + before.first[a]) / before.stride[a]) + 1
        for a in (0, 1)
    ]
    return (sees[0], sees[1]) if max(sees) > 1 else None
