"""What other layers in the places of those that lose most would gain, each measured in a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from shiftproof.anatomy import Place
from shiftproof.engine import Channel
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.explain._interventions import UNMOVED
from shiftproof.explain._losses import Loss
from shiftproof.explain._read import read_runs
from shiftproof.explain._segments import Segment
from shiftproof.explain._staircase import Staircase, Subject
from shiftproof.explain._swap import replacement_of, swapped
from shiftproof.records import CONDITIONS, Cause

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


@dataclass(frozen=True, slots=True)
class _Trial:
    """Another layer in the place of one.

    Args:
        segment: The one.
        path: Where it is in the network.
        channels: Of its answer.
        cause: By which it loses.
        replacement: The other one, for a sentence.
        lost: How much is lost by the cause.
    """

    segment: Segment
    path: str
    channels: int
    cause: Cause
    replacement: str
    lost: float


def remedies_for(
    staircase: Staircase, losses: Sequence[Loss], n_wanted: int, on_step: Callable[[str], None]
) -> dict[Segment, Remedy]:
    """For single layers that lose most by a cause: another layer, and what is measured to be gained by it.

    As many as are wanted are tried side by side. What is found is what one after the other would find: a
    layer is tried for its next cause only if it could not be replaced for the one before.

    Args:
        staircase: Subject of a module.
        losses: Of its segments.
        n_wanted: Find so many.
        on_step: Told what is being done.
    """
    waiting = _trials(staircase, losses)
    found: dict[Segment, Remedy] = {}
    while now := _next(waiting, found, n_wanted - len(found)):
        for each in now:
            waiting.remove(each)
            on_step(f"trying {each.replacement} in place of {each.segment.name(staircase.runs)}")
        left = staircase.run(
            [partial(_left, path=each.path, channels=each.channels, cause=each.cause) for each in now]
        )
        for each, after in zip(now, left, strict=True):
            if after is not None:
                removes = (_of_cause(staircase, each.cause) - after) / each.lost
                found[each.segment] = Remedy(each.replacement, each.cause, removes)
    return found


def _trials(staircase: Staircase, losses: Sequence[Loss]) -> list[_Trial]:
    """All that are worth it, the largest loss first."""
    parts = [(float(part.mean()), cause, loss) for loss in losses for cause, part in loss.split.items()]
    least = max(
        staircase.rounding, WORTH_A_REMEDY * max(staircase.whole(condition) for condition in CONDITIONS)
    )
    ordered = sorted(parts, key=lambda part: -part[0])
    trials = [_trial(staircase, loss.segment, cause, lost) for lost, cause, loss in ordered if lost > least]
    return [trial for trial in trials if trial is not None]


def _next(waiting: Sequence[_Trial], found: dict[Segment, Remedy], n: int) -> list[_Trial]:
    """The first so many of segments that have no remedy, one for each."""
    firsts: dict[Segment, _Trial] = {}
    for trial in waiting:
        if trial.segment not in found:
            firsts.setdefault(trial.segment, trial)
    return list(firsts.values())[: max(0, n)]


def _trial(staircase: Staircase, segment: Segment, cause: Cause, lost: float) -> _Trial | None:
    """Where the segment is a layer that is called once, and another one fits."""
    runs, loud = staircase.runs, segment.loud(staircase.runs)
    if len(loud) != 1 or (cause == "border" and staircase.measurement.border != "circular"):
        return None  # Where images do not go around, neither should maps.
    moment, place = runs.moments[loud[0]], runs.placed(loud[0])
    calls = [each for each in runs.moments if each.layer == moment.layer]
    of_maps = isinstance(place, Place) and place.axes == (2, 3) and place.images == 0
    if not of_maps or len(calls) != 1 or moment.layer is None:
        return None
    channels = moment.shape[1]
    name = replacement_of(_network(runs.classifier.model), moment.layer, cause, channels)
    return None if name is None else _Trial(segment, moment.layer, channels, cause, name, lost)


def _network(model: object) -> nn.Module:
    assert isinstance(model, nn.Module), "functions have no layers"
    return model


def _left(subject: Subject, channel: Channel, *, path: str, channels: int, cause: Cause) -> float | None:
    """What is still lost by a cause with another layer there; None where that cannot be."""
    runs, measurement = subject
    swap = swapped(_network(runs.classifier.model), path, cause, channels)
    if swap is None:
        return None
    try:
        other, _ = read_runs(replace(runs.classifier, model=swap.network), measurement.images)
    except Stopped:
        raise
    except (RuntimeError, ShiftproofError):  # What comes after it needs another size.
        return None
    staircase = Staircase(other, measurement, channel.check_stop)
    staircase.measure([UNMOVED, 0])
    return _of_cause(staircase, cause)


def _of_cause(staircase: Staircase, cause: Cause) -> float:
    """The whole change to which losses by a cause belong."""
    whole = staircase.whole("whole-pixel")
    if cause == "non-linearity":
        return staircase.whole("fractional") - whole
    return staircase.whole("with-border") - whole if cause == "border" else whole
