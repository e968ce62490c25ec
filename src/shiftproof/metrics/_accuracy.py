"""How often the answer is right: unshifted, shifted, at every shift, and where it was right before."""

from __future__ import annotations

import numpy as np

from shiftproof.metrics._scores import Scores, mean_over_shifts
from shiftproof.metrics._selection import Bools, Selection
from shiftproof.metrics._spec import WITH_TRUTH, MetricSpec, metrics


def _clean_accuracy(answers: Selection) -> Scores:
    right = _right_unshifted(answers)
    return Scores(right.astype(np.float64), answers.labelled, "no image has a known true class")


def _accuracy(answers: Selection) -> Scores:
    return mean_over_shifts(_right(answers), answers.counts, "no shift was measured")


def _worst_case_accuracy(answers: Selection) -> Scores:
    always = _right_unshifted(answers) & (_right(answers) | ~answers.counts).all(1)
    return Scores(np.asarray(always, dtype=np.float64), answers.is_measured, "no shift was measured")


def _kept_when_right(answers: Selection) -> Scores:
    kept = answers.moved & _right_unshifted(answers)[:, None]
    return mean_over_shifts(_right(answers), kept, "no moved image is right when unshifted")


def _right(answers: Selection) -> Bools:
    return np.asarray(answers.predicted == answers.labels[:, None])


def _right_unshifted(answers: Selection) -> Bools:
    return np.asarray(answers.unshifted_predicted == answers.labels)


for _spec in (
    MetricSpec(
        "clean-accuracy",
        _clean_accuracy,
        "how often the unshifted image is classified correctly",
        True,
        "the usual top-1 accuracy, of the images that were also shifted; of several labels all have to be "
        "right, which is subset accuracy",
        needs_labels=True,
        tasks=WITH_TRUTH,
        needs_moves=False,
    ),
    MetricSpec(
        "accuracy",
        _accuracy,
        "how often the shifted image is classified correctly",
        True,
        "mean over shifts, the zero shift included, then over images",
        needs_labels=True,
        tasks=WITH_TRUTH,
        needs_moves=False,
    ),
    MetricSpec(
        "worst-case-accuracy",
        _worst_case_accuracy,
        "how often an image is classified correctly unshifted and at every measured shift",
        True,
        "Engstrom et al. 2019, arXiv:1712.02779, over the protocol's shifts instead of a grid attack",
        needs_labels=True,
        tasks=WITH_TRUTH,
        needs_moves=False,
    ),
    MetricSpec(
        "kept-when-right",
        _kept_when_right,
        "among images that are right when unshifted, the share of shifts at which they still are",
        True,
        "after Zhang 2019, arXiv:1904.11486, whose consistency also counts images that stay wrong; ours is "
        "conditional on the unshifted prediction and leaves the zero shift out",
        unit="share of images right when unshifted",
        needs_labels=True,
        tasks=WITH_TRUTH,
    ),
):
    metrics.register(_spec.name, _spec)
