"""What guessing would reach, and agreement above it: a constant classifier agrees with itself."""

from __future__ import annotations

import numpy as np

from shiftproof.metrics._agreement import agrees
from shiftproof.metrics._scores import Scores, in_blocks, mean_over_shifts
from shiftproof.metrics._selection import Selection, select
from shiftproof.metrics._spec import ALL, MetricSpec, metrics
from shiftproof.probe import Response
from shiftproof.records import NotApplicable


def chance_accuracy(answers: Response | Selection) -> float | NotApplicable:
    """Accuracy of the best constant answer: the share of the largest class among the known labels."""
    if select(answers).task.name == "embedding":
        return NotApplicable("an embedding is neither right nor wrong")
    labels = select(answers).labels
    known = labels[labels >= 0]
    if not len(known):
        return NotApplicable("no image has a known true class")
    return float(np.bincount(known).max() / len(known))


def chance_agreement(answers: Response | Selection) -> float | NotApplicable:
    """How often two independent answers would agree: the sum of squared shares of the unshifted answers.

    1 for a constant classifier, 1/K for one that answers with K classes equally often.
    """
    predicted = select(answers).unshifted_predicted
    if not len(predicted):
        return NotApplicable("there are no images")
    return float(((np.bincount(predicted) / len(predicted)) ** 2).sum())


def _agreement_above_chance(answers: Selection) -> Scores | NotApplicable:
    agreement = in_blocks(answers, lambda some: mean_over_shifts(agrees(some), some.moved))
    shares = np.bincount(answers.unshifted_predicted) / answers.n_images
    chance = float((shares**2).sum())
    if np.count_nonzero(shares) == 1:
        return NotApplicable("every unshifted image has the same prediction, so agreement is meaningless")
    if not agreement.counts.any():
        return NotApplicable(agreement.reason)
    # d/dc of (a − c) / (1 − c), times what one image adds to c.
    slope = -(1 - agreement.mean) / (1 - chance) ** 2
    return Scores(
        values=(agreement.values - chance) / (1 - chance),
        counts=agreement.counts,
        reason=agreement.reason,
        shared=slope * 2 * (shares[answers.unshifted_predicted] - chance),
        lowest=-chance / (1 - chance),
    )


metrics.register(
    "agreement-above-chance",
    MetricSpec(
        "agreement-above-chance",
        _agreement_above_chance,
        "agreement with the unshifted prediction, on a scale where independent predictions reach 0",
        True,
        "Scott 1955 (π); the chance level is that of the unshifted predictions",
        unit="share of the way from chance to certainty",
        bounds=(None, 1.0),
        tasks=ALL,
        of_each=False,
    ),
)
