"""One layer replaced by one that is known to lose less, in a copy of the network, without training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from shiftproof.adapters import Classifier
from shiftproof.anatomy import Place
from shiftproof.errors import ShiftproofError
from shiftproof.explain._calls import OneLayer
from shiftproof.explain._interventions import UNMOVED
from shiftproof.explain._losses import Loss
from shiftproof.explain._runs import Runs
from shiftproof.explain._segments import Segment
from shiftproof.explain._staircase import Staircase
from shiftproof.layers import AliasFreeActivation, BlurPool2d
from shiftproof.records import CONDITIONS, Cause

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.Hardswish)


@dataclass(frozen=True, eq=False, slots=True)
class Swap:
    """A copy of a network with another layer in one place.

    Args:
        network: The copy.
        replacement: What it has there now, for a sentence.
    """

    network: nn.Module
    replacement: str


Reader = Callable[[Classifier, Tensor], tuple[Runs, tuple[str, ...]]]
# A layer is tried in place of those that lose at least so much of all.
WORTH_A_REMEDY = 0.02


@dataclass(frozen=True, slots=True)
class Remedy:
    """What another layer in the place of one gains, without training.

    Args:
        replacement: The other layer, for a sentence.
        cause: For which it was tried.
        removes: Part of what is lost by that cause that it takes away; negative if it adds.
    """

    replacement: str
    cause: Cause
    removes: float


def remedies_for(
    classifier: Classifier,
    staircase: Staircase,
    losses: Sequence[Loss],
    n_wanted: int,
    read: Reader,
    on_step: Callable[[str], None],
) -> dict[Segment, Remedy]:
    """For single layers that lose most by a cause: another layer, and what is measured to be gained by it.

    Args:
        classifier: A module in evaluation mode.
        staircase: Measured of it.
        losses: Of its segments.
        n_wanted: Try so many.
        read: The copy, to be run.
        on_step: Told what is being done.
    """
    found: dict[Segment, Remedy] = {}
    parts = [(float(part.mean()), cause, loss) for loss in losses for cause, part in loss.split.items()]
    most = max(staircase.whole(condition) for condition in CONDITIONS)
    for own, cause, loss in sorted(parts, key=lambda part: -part[0]):
        if len(found) == n_wanted or own <= max(staircase.rounding, WORTH_A_REMEDY * most):
            break
        swap = None if loss.segment in found else _swap_for(classifier, staircase, loss.segment, cause)
        if swap is None:
            continue
        on_step(f"trying {swap.replacement} in place of {loss.segment.name(staircase.runs)}")
        try:
            runs, _ = read(replace(classifier, model=swap.network), staircase.question.images)
        except (RuntimeError, ShiftproofError):  # What comes after it needs another size.
            continue
        other = Staircase(runs, staircase.question, staircase.check_stop)
        other.measure([UNMOVED, 0])
        before, after = (_of_cause(each, cause) for each in (staircase, other))
        found[loss.segment] = Remedy(swap.replacement, cause, (before - after) / own)
    return found


def _swap_for(classifier: Classifier, staircase: Staircase, segment: Segment, cause: Cause) -> Swap | None:
    """A copy with another layer, where the segment is a layer that is called once and one fits."""
    runs, loud = staircase.runs, segment.loud(staircase.runs)
    if len(loud) != 1 or (cause == "border" and staircase.question.border != "circular"):
        return None  # Where images do not go around, neither should maps.
    moment, place = runs.moments[loud[0]], runs.placed(loud[0])
    calls = [each for each in runs.moments if each.layer == moment.layer]
    of_maps = isinstance(place, Place) and place.axes == (2, 3) and place.images == 0
    if not of_maps or len(calls) != 1 or moment.layer is None:
        return None
    assert isinstance(classifier.model, nn.Module)
    return swapped(classifier.model, moment.layer, cause, moment.shape[1])


def _of_cause(staircase: Staircase, cause: Cause) -> float:
    """The whole change to which losses by a cause belong."""
    whole = staircase.whole("whole-pixel")
    if cause == "non-linearity":
        return staircase.whole("fractional") - whole
    return staircase.whole("with-border") - whole if cause == "border" else whole


def swapped(network: nn.Module, path: str, cause: Cause, channels: int) -> Swap | None:
    """A copy in which what this layer loses by this cause should shrink; None where no layer fits.

    The answer of the other layer has the same shape, and the weights are those that are there.

    Args:
        network: Stays as it is.
        path: Of a layer that is called once and gives maps (N, C, H, W).
        cause: What it loses most by.
        channels: Of its answer.
    """
    try:
        layer = network.get_submodule(path)
        found = _replacement(layer, cause, channels)
        if found is None:
            return None
        other = copy.deepcopy(network)
    except (AttributeError, RuntimeError, TypeError):  # A module may refuse to be copied.
        return None
    replacement, name = found
    parent, _, own = path.rpartition(".")
    device = next((tensor.device for tensor in network.parameters()), None)
    setattr(other.get_submodule(parent), own, replacement.to(device).eval())
    return Swap(other, name)


def _replacement(layer: nn.Module, cause: Cause, channels: int) -> tuple[nn.Module, str] | None:
    if cause == "downsampling":
        return _with_blur(layer, channels)
    if cause == "border" and type(layer) is nn.Conv2d and layer.padding_mode == "zeros":
        around = copy.deepcopy(layer)
        around.padding_mode = "circular"
        return around, "circular padding"
    if cause == "non-linearity" and type(layer) in ACTIVATIONS:
        activation = copy.deepcopy(layer)
        if hasattr(activation, "inplace"):
            vars(activation)["inplace"] = False
        return AliasFreeActivation(activation), "AliasFreeActivation"
    return None


def _with_blur(layer: nn.Module, channels: int) -> tuple[nn.Module, str] | None:
    """The same at every position, then a blur and the stride."""
    if type(layer) not in (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d) or getattr(layer, "ceil_mode", False):
        return None
    strides: Any = layer.stride
    down, right = strides if isinstance(strides, tuple) else (strides, strides)
    if max(down, right) == 1:
        return None
    dense: Any = copy.deepcopy(layer)
    dense.stride = (1, 1)
    blur = BlurPool2d(channels, stride=(down, right))
    name = "MaxBlurPool2d" if isinstance(layer, nn.MaxPool2d) else "stride 1 and then BlurPool2d"
    return OneLayer(dense, blur), name
