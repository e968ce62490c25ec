"""Which of the finalists is given back, and what kept the others from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shiftproof.fix._measure import clean_score, score
from shiftproof.records import Fate, TriedRecord

# By how much less often than the best an edit may be right under the shifts, and be as good: half a point.
AS_GOOD = 0.005
# Clocks are not exact: a finalist may take so many times the budget.
TOLERATED = 1.1
# Where there are few images, one of them more may be lost; the rest is for rounding.
ONE_IMAGE = 1.01


def judged(
    original: TriedRecord,
    finalists: Sequence[TriedRecord],
    costs: Mapping[str, float],
    passes: Mapping[str, float],
    *,
    clean_margin: float,
    budget: float | None,
) -> tuple[TriedRecord, ...]:
    """The original and the finalists with their fates, of which exactly one is `chosen`.

    Args:
        original, finalists: On all images for choosing.
        costs: By name, in times of the original.
        passes: Forward passes for an image, by name.
        clean_margin: Share of images by which a finalist may be right less often about them as they are.
        budget: In times of the original; None for any.
    """
    least_clean = clean_score(original.estimates) - max(clean_margin, ONE_IMAGE / original.n_images)
    most = TOLERATED * (float("inf") if budget is None else budget)
    is_clean = {each.name: clean_score(each.estimates) >= least_clean for each in finalists}
    able = [each for each in finalists if is_clean[each.name] and costs[each.name] <= most]
    above = score(original.estimates)
    chosen = choose(able, passes, above) or original

    def fate(each: TriedRecord) -> Fate:
        value = score(each.estimates)
        if each is chosen:
            return "chosen"
        if not is_clean[each.name]:
            return "too many clean images lost"
        if costs[each.name] > most:
            return "over the budget"
        if value <= above:
            return "not better than the original"
        return "another is better" if value < score(chosen.estimates) else "another is as good"

    of_original: Fate = "chosen" if chosen is original else "another is better"
    return original.having(fate=of_original), *(each.having(fate=fate(each)) for each in finalists)


def choose(finalists: Sequence[TriedRecord], passes: Mapping[str, float], above: float) -> TriedRecord | None:
    """Of the edits that are as good as the best, the one that asks for the fewest forward passes.

    Passes are counted, not clocked, so that the same images choose the same edit on any machine.

    Args:
        finalists: On the images for choosing; those that may be chosen at all.
        passes: Forward passes for an image, by name.
        above: The score of the original, which the edit has to exceed.

    Returns:
        None if no edit exceeds it. Of several with as few passes the best.
    """
    scores = {each.name: score(each.estimates) for each in finalists}
    better = [each for each in finalists if scores[each.name] > above]
    best = max((scores[each.name] for each in better), default=0.0)
    as_good = [each for each in better if scores[each.name] >= best - AS_GOOD]
    return min(as_good, key=lambda each: (passes[each.name], -scores[each.name]), default=None)
