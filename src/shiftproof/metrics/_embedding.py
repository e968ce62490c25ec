"""How far an embedding turns, and whether it keeps its neighbours."""

from __future__ import annotations

import numpy as np

from shiftproof.metrics._scores import Scores, mean_over_shifts
from shiftproof.metrics._selection import Floats, Selection, needed
from shiftproof.metrics._spec import MetricSpec, metrics

# Cells that are compared at a time, each with k × k pairs of neighbours.
CELLS = 20_000


def _cosine(answers: Selection) -> Scores:
    return mean_over_shifts(needed(answers.cosine), answers.moved)


def _neighbour_overlap(answers: Selection) -> Scores:
    before, now = needed(answers.unshifted_neighbours), needed(answers.neighbours)
    shared = np.empty(now.shape[:2])
    n_rows = max(1, CELLS // max(1, now.shape[1]))
    for start in range(0, len(now), n_rows):
        rows = slice(start, start + n_rows)
        shared[rows] = _share_in_both(before[rows, None], now[rows])
    return mean_over_shifts(shared, answers.moved)


def _share_in_both(before: np.ndarray, now: np.ndarray) -> Floats:
    """Of k different numbers in the last axis, the share that the other one has too."""
    found = (before[..., :, None] == now[..., None, :]).any(-1)
    return np.asarray(found.mean(-1), dtype=np.float64)


for _spec in (
    MetricSpec(
        "cosine",
        _cosine,
        "mean cosine between the embedding of the shifted image and that of the unshifted one",
        True,
        "the usual similarity of embeddings; 1 is the same direction; the zero shift left out",
        unit="cosine",
        bounds=(-1.0, 1.0),
        kind="mean",
        tasks=("embedding",),
    ),
    MetricSpec(
        "neighbour-overlap",
        _neighbour_overlap,
        "share of the nearest other images of the unshifted image that are also nearest to the shifted one",
        True,
        "the overlap of the first k (Jaccard's numerator over k), for the 10 nearest by cosine, or as many "
        "as half of the others, among up to 1,000 unshifted images; the zero shift left out",
        unit="share of neighbours",
        tasks=("embedding",),
    ),
):
    metrics.register(_spec.name, _spec)
