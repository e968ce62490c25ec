"""How far an image must move until the answer changes."""

from __future__ import annotations

import numpy as np

from shiftproof.metrics._agreement import agrees
from shiftproof.metrics._scores import MOVED, Scores
from shiftproof.metrics._selection import Floats, Selection, select
from shiftproof.metrics._spec import ALL, MetricSpec, metrics
from shiftproof.probe import Response
from shiftproof.records import NotApplicable


def smallest_flip_px(answers: Response | Selection) -> Floats:
    """For each image the smallest radius at which a measured shift changes the answer.

    Returns:
        float64 (N,), max(|dy|, |dx|) in pixels; ∞ where no measured shift does.
    """
    return np.concatenate([_smallest(block) for block in select(answers).blocks()])


def _smallest(answers: Selection) -> Floats:
    flips = answers.moved & ~agrees(answers)
    return np.asarray(np.where(flips, answers.radius_px, np.inf).min(1, initial=np.inf))


def _smallest_flip(answers: Selection) -> Scores | NotApplicable:
    if not answers.shares_offsets:
        return NotApplicable("each image was moved by different distances, which cannot be compared")
    return Scores(smallest_flip_px(answers), answers.is_moved, MOVED)


metrics.register(
    "smallest-flip",
    MetricSpec(
        "smallest-flip",
        _smallest_flip,
        "how far the median image must move, in either axis, until its prediction changes",
        True,
        "the translation part of Engstrom et al. 2019, arXiv:1712.02779, as a distance; over the shifts "
        "measured, in the maximum norm; images that never change count as beyond the largest",
        unit="px",
        bounds=(0.0, None),
        kind="median",
        tasks=ALL,
    ),
)
