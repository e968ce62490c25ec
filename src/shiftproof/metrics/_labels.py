"""How often single labels of an answer with several come and go."""

from __future__ import annotations

from shiftproof.metrics._scores import Scores, mean_over_shifts
from shiftproof.metrics._selection import Selection, needed, there
from shiftproof.metrics._spec import MetricSpec, metrics


def _label_flip_rate(answers: Selection) -> Scores:
    before = there(answers.task, answers.unshifted_output)
    flips = there(answers.task, needed(answers.label_output)) != before[:, None]
    return mean_over_shifts(flips.mean(-1), answers.moved)


metrics.register(
    "label-flip-rate",
    MetricSpec(
        "label-flip-rate",
        _label_flip_rate,
        "how often a label is there for the shifted image and not for the unshifted one, or the reverse",
        False,
        "the Hamming loss (Schapire and Singer 2000) against the unshifted answer instead of the truth; the "
        "zero shift left out",
        unit="share of labels",
        tasks=("multi-label",),
    ),
)
