"""When an audit that may stop early looks at what it has, and how sure a gate must be to be decided then.

Looking often and stopping when it suits is how chance passes gates. So looks are few, after 250, 500, 1,000,
… images, and the error that a gate may make is divided among them: a fifth of it over all looks before the
last, the rest at the last. The sum holds whatever the looks have to do with each other (Bonferroni).

Source:
    Lan and DeMets 1983 (error spent by look); shares and number of looks are ours, by
    `python -m benchmarks.coverage`: the errors and what is saved.
"""

from __future__ import annotations

from collections.abc import Sequence

from shiftproof.metrics import Gate, judge
from shiftproof.probe import Response

FIRST_LOOK = 250
EARLY_SHARE = 0.2


def looks(n_images: int) -> list[int]:
    """After how many images to look; the last time after all of them.

    Example:
        >>> looks(1200)
        [250, 500, 1000, 1200]
    """
    found, n = [], FIRST_LOOK
    while n < n_images:
        found.append(n)
        n *= 2
    return [*found, n_images]


def confidence_at(n_seen: int, n_images: int, confidence: float) -> float:
    """Nominal coverage of one look, so that all looks together hold with `confidence`.

    Args:
        n_seen: Images so far.
        n_images: All images.
        confidence: Of the looks together.

    Example:
        >>> [round(confidence_at(n, 1000, 0.95), 4) for n in looks(1000)]
        [0.995, 0.995, 0.96]
        >>> confidence_at(100, 100, 0.95)
        0.95
    """
    n_early = len(looks(n_images)) - 1
    if not n_early:
        return confidence
    error = 1 - confidence
    return 1 - error * (EARLY_SHARE / n_early if n_seen < n_images else 1 - EARLY_SHARE)


def are_decided(gates: Sequence[Gate], seen: Response, confidence: float) -> bool:
    """Whether each gate passes or fails on what there is, at the confidence of this look."""
    verdicts = {judge(gate, gate.estimate(seen, confidence=confidence)) for gate in gates}
    return verdicts <= {"pass", "fail"}
