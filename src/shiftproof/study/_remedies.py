"""A row beside the one that it is meant to be better than: differences, paired by image and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shiftproof.metrics import (
    Estimate,
    MetricSpec,
    NotApplicable,
    Scores,
    compare_responses,
    estimate_share,
)
from shiftproof.probe import Response


def difference(
    remedy: Sequence[Response], base: Sequence[Response], metric: MetricSpec
) -> Estimate | NotApplicable:
    """A metric of the remedy minus that of its base, both trained with the same seeds.

    Returns:
        With one seed the interval of `shiftproof.metrics.compare_responses`; with several that of images and
        seeds crossed.
    """
    if len(remedy) > 1:
        return _over_seeds(remedy, base, metric)
    found = compare_responses(remedy[0], base[0], metric)
    if isinstance(found, NotApplicable):
        return found
    return Estimate(
        found.value, found.low, found.high, found.n_images, 1, found.unit, found.confidence, found.method
    )


def _over_seeds(
    remedy: Sequence[Response], base: Sequence[Response], metric: MetricSpec
) -> Estimate | NotApplicable:
    changes = []
    for pair in zip(remedy, base, strict=True):
        first, second = (metric.scores(response) for response in pair)
        for scores in (first, second):
            if isinstance(scores, NotApplicable):
                return scores
        assert isinstance(first, Scores)
        assert isinstance(second, Scores)
        if metric.bounds != (0.0, 1.0) or not (first.counts.all() and second.counts.all()):
            return NotApplicable(f"over several seeds {metric.name} has no difference of every image")
        changes.append(first.values - second.values)
    # A change in [−1, 1] as a share in [0, 1]: the interval does not mind a change of scale.
    share = estimate_share((np.stack(changes) + 1) / 2, unit=metric.unit)
    low, value, high = (2 * end - 1 for end in (share.low, share.value, share.high))
    return replace(share, low=low, value=value, high=high)
