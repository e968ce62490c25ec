"""Which of the finalists is given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shiftproof.fix._search import Candidate

# By how much less often than the best an edit may be right under the shifts, and be as good: half a point.
AS_GOOD = 0.005


def choose(finalists: Sequence[Candidate], passes: Mapping[str, float], above: float) -> Candidate | None:
    """Of the edits that are as good as the best, the one that asks for the fewest forward passes.

    Passes are counted, not clocked, so that the same images choose the same edit on any machine.

    Args:
        finalists: With their scores on the images for choosing; those that may be chosen at all.
        passes: Forward passes for an image, by name.
        above: The score of the original, which the edit has to exceed.

    Returns:
        None if no edit exceeds it. Of several with as few passes the best.
    """
    better = [each for each in finalists if each.score > above]
    best = max((each.score for each in better), default=0.0)
    as_good = [each for each in better if each.score >= best - AS_GOOD]
    return min(as_good, key=lambda each: (passes[each.name], -each.score), default=None)
