"""How often the answer stays the same, right or wrong. The zero shift never counts: it has to agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shiftproof.metrics._scores import MOVED, Scores, mean_over_shifts
from shiftproof.metrics._selection import Bools, Selection
from shiftproof.metrics._spec import ALL, MetricSpec, metrics

Ints = npt.NDArray[np.integer[Any]]
ROWS = 4096


def agrees(answers: Selection) -> Bools:
    """Where the answer is that to the unshifted image: bool (N, S)."""
    return np.asarray(answers.predicted == answers.unshifted_predicted[:, None])


def _agreement(answers: Selection) -> Scores:
    return mean_over_shifts(agrees(answers), answers.moved)


def _flip_rate(answers: Selection) -> Scores:
    return mean_over_shifts(~agrees(answers), answers.moved)


def _worst_case_agreement(answers: Selection) -> Scores:
    always = (agrees(answers) | ~answers.moved).all(1)
    return Scores(np.asarray(always, dtype=np.float64), answers.is_moved, MOVED)


def _pairwise_consistency(answers: Selection) -> Scores:
    """Pairs of equal shifts agree by construction and are taken away from both sides of the share."""
    place = _offset_numbers(answers)
    n_answers = int(answers.predicted.max(initial=0)) + 1
    agreeing = np.zeros(answers.n_images)
    all_pairs = np.zeros(answers.n_images)
    for start in range(0, answers.n_images, ROWS):
        rows = slice(start, start + ROWS)
        counts, predicted = answers.counts[rows], answers.predicted[rows]
        offsets = np.broadcast_to(place if answers.shares_offsets else place[rows], counts.shape)
        n = counts.sum(1)
        all_pairs[rows] = n * (n - 1) // 2 - _equal_pairs(offsets, counts)
        agreeing[rows] = _equal_pairs(predicted, counts) - _equal_pairs(
            offsets * n_answers + predicted, counts
        )
    return Scores(agreeing / np.maximum(all_pairs, 1), all_pairs > 0, "no image has two different shifts")


def _offset_numbers(answers: Selection) -> Ints:
    """int64 (S,) or (N, S); the same number for the same offset."""
    offsets = answers.offsets_px + 0.0  # so that −0 is 0
    flat = np.ascontiguousarray(offsets).view(np.complex128)[..., 0]
    return np.unique(flat, return_inverse=True)[1].reshape(flat.shape)


def _equal_pairs(keys: Ints, counts: Bools) -> Ints:
    """How many pairs in each row, of keys ≥ 0 that count, are equal: int64 (N,).

    In a sorted row the k-th of a run of equal keys closes k pairs, k from 0.
    """
    position = np.arange(keys.shape[1])
    ordered = np.sort(np.where(counts, keys, -1 - position), axis=1)
    starts = np.ones(keys.shape, dtype=np.bool_)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run_start = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    return np.asarray((position - run_start).sum(1))


for _spec in (
    MetricSpec(
        "agreement",
        _agreement,
        "how often the prediction for the shifted image equals that for the unshifted one, right or wrong",
        True,
        "Azulay and Weiss 2019, arXiv:1805.12177 (1 − their change rate); ours leaves the zero shift out",
        tasks=ALL,
    ),
    MetricSpec(
        "worst-case-agreement",
        _worst_case_agreement,
        "how often an image keeps its unshifted prediction at every measured shift",
        True,
        "as worst-case accuracy, with the unshifted prediction in place of the true class",
        tasks=ALL,
    ),
    MetricSpec(
        "pairwise-consistency",
        _pairwise_consistency,
        "how often two different shifts of an image have the same prediction",
        True,
        "Zhang 2019, arXiv:1904.11486; over all pairs of the shifts measured, equal pairs left out, where "
        "theirs draws one pair per batch",
        tasks=ALL,
    ),
    MetricSpec(
        "flip-rate",
        _flip_rate,
        "how often the prediction for the shifted image differs from that for the unshifted one",
        False,
        "Azulay and Weiss 2019, arXiv:1805.12177; 1 − agreement, the zero shift left out",
        tasks=ALL,
    ),
):
    metrics.register(_spec.name, _spec)
