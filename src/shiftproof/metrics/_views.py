"""One metric over parts of a response: per shift, against radius, against phase, per class."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TypeVar

import numpy as np

from shiftproof.errors import OptionError
from shiftproof.metrics._parts import ClassBars, PhaseCurve, RadialCurve, ShiftMap
from shiftproof.metrics._selection import Selection, everything
from shiftproof.metrics._spec import MetricSpec, one_question
from shiftproof.probe import Response
from shiftproof.records import Estimate, NotApplicable

Key = TypeVar("Key")


def by_shift(
    metric: MetricSpec, *answers: Response | Selection, confidence: float = 0.95
) -> ShiftMap | NotApplicable:
    """The map: a metric at each offset (dy, dx) in pixels, in the order of measurement.

    Args:
        metric: Any metric.
        answers: One response, or several of one question (seeds).
        confidence: Nominal coverage of each interval by itself.

    Returns:
        One entry for each different offset; not applicable where each image has its own offsets.
    """
    selections = one_question(answers)
    if not selections[0].shares_offsets:
        return NotApplicable("each image was moved by its own offsets, so no shift is shared")
    offsets = dict.fromkeys((float(dy), float(dx)) for dy, dx in selections[0].offsets_px + 0.0)

    def at(offset: tuple[float, float]) -> Callable[[Selection], Selection]:
        return lambda part: part.with_shifts((part.offsets_px == offset).all(-1))

    found = _parts({offset: at(offset) for offset in offsets}, metric, selections, confidence)
    return ShiftMap(metric, found)


def by_radius(metric: MetricSpec, *answers: Response | Selection, confidence: float = 0.95) -> RadialCurve:
    """A metric against max(|dy|, |dx|) in pixels, fractions rounded up, from the smallest.

    Where shifts were drawn for each image, an entry is over the images with a draw of that radius; its
    `n_images` says how many.
    """
    selections = one_question(answers)
    radii = np.unique(np.ceil(selections[0].radius_px)).astype(int).tolist()

    def at(radius: int) -> Callable[[Selection], Selection]:
        return lambda part: part.with_shifts(np.ceil(part.radius_px) == radius)

    found = _parts({radius: at(radius) for radius in radii}, metric, selections, confidence)
    return RadialCurve(metric, found)


def by_phase(
    metric: MetricSpec,
    *answers: Response | Selection,
    stride_px: int,
    confidence: float = 0.95,
    part: Callable[[Selection], Selection] = everything,
) -> PhaseCurve | NotApplicable:
    """A metric against (dy mod stride, dx mod stride): the signature of aliasing.

    A network that samples every `stride_px` pixels sees offsets of one phase on the same grid.

    Args:
        metric: Any metric.
        answers: One response, or several of one question (seeds).
        stride_px: At least 1.
        confidence: Nominal coverage of each interval by itself.
        part: Which shifts are looked at at all.

    Raises:
        OptionError: A stride below 1.
    """
    if stride_px < 1:
        raise OptionError("a stride of at least 1 px", stride_px)
    selections = one_question(answers)
    offsets = selections[0].offsets_px
    if not np.array_equal(offsets, np.round(offsets)):
        return NotApplicable("phases need integer shifts, and some are fractions of a pixel")

    def at(phase: tuple[int, int]) -> Callable[[Selection], Selection]:
        return lambda whole: _of_phase(part(whole), stride_px, phase)

    phases = list(product(range(stride_px), repeat=2))
    found = _parts({(dy, dx): at((dy, dx)) for dy, dx in phases}, metric, selections, confidence)
    return PhaseCurve(metric, found)


def _of_phase(selection: Selection, stride_px: int, phase: tuple[int, int]) -> Selection:
    return selection.with_shifts((np.mod(selection.offsets_px, stride_px) == phase).all(-1))


def by_class(
    metric: MetricSpec, *answers: Response | Selection, confidence: float = 0.95
) -> ClassBars | NotApplicable:
    """A metric for the images of each true class, by its number; images without a label are left out.

    Where an answer has several labels, the metric of each label by itself, over all images.
    """
    selections = one_question(answers)
    if selections[0].label_output is not None:
        return _by_label(metric, selections, confidence)
    classes = np.unique(selections[0].labels[selections[0].labelled]).tolist()
    if not classes:
        return NotApplicable("no image has a known true class")

    def at(label: int) -> Callable[[Selection], Selection]:
        return lambda part: part.with_images(part.labels == label)

    found = _parts({label: at(label) for label in classes}, metric, selections, confidence)
    return ClassBars(metric, found)


def _by_label(metric: MetricSpec, selections: list[Selection], confidence: float) -> ClassBars:
    def at(label: int) -> Callable[[Selection], Selection]:
        return lambda part: part.with_label(label)

    labels = range(selections[0].unshifted_output.shape[1])
    return ClassBars(metric, _parts({label: at(label) for label in labels}, metric, selections, confidence))


def _parts(
    choices: dict[Key, Callable[[Selection], Selection]],
    metric: MetricSpec,
    selections: list[Selection],
    confidence: float,
) -> dict[Key, Estimate | NotApplicable]:
    return {
        key: metric.estimate(*selections, confidence=confidence, part=choose)
        for key, choose in choices.items()
    }
