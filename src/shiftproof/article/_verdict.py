"""A claim of the article, and the verdict that its checks make."""

from __future__ import annotations

from collections.abc import Sequence

from shiftproof.records import Check, ClaimRecord

# What the article says, in our words; the numbers are ours.
CLAIMS = {
    1: "Weight sharing: fewer weights converge faster, overfit less, use less memory and time.",
    2: "Transfer: copied early layers give a head start; the more alike the data, the more layers transfer.",
    3: "Translation invariance is NN(T(x)) = NN(x), and convolutional networks have it built in.",
    4: "Letter C: after convolution and 2 × 2 max pooling a shift by 1 px gives the same output.",
    5: "A more severe shift of the letter gives another output.",
    6: "More convolution and max pooling layers compound the effect.",
    7: "The standard network plummets under large shifts; one convolution + pool is more stable, two best.",
    8: "Augmentation with shifts lifts accuracy under shifts, and accuracy on the test set stays.",
    9: "Max pooling loses the relation between parts: a scrambled face is taken for a face.",
    10: "Pooling cuts spatial size, parameters and computation, and overfitting.",
    11: "Convolutions of 3 × 3 with stride 2 can replace max pooling.",
    12: "Detail-preserving pooling and capsule networks overcome the disadvantages of max pooling.",
}


def verdict_on(number: int, checks: Sequence[Check]) -> ClaimRecord:
    """A claim with the statements that it makes, each of them checked.

    What the interval leaves open is not shown, so it does not count as holding.

    Args:
        number: 1 to 12, as in `CLAIMS`.
        checks: At least one.

    Returns:
        The verdict: `reproduced` where every statement holds, `not reproduced` where none does, else
        `partly`; and how many hold, with what was found for the one that decides.
    """
    held, decisive = sum(check.holds is True for check in checks), _decisive(checks)
    word = {True: "", False: ", not ", None: ", and left open is "}[decisive.holds]
    said = f"{word}“{decisive.says.rstrip('.')}”" if word else ""
    return ClaimRecord(
        number=number,
        claim=CLAIMS[number],
        verdict="reproduced" if held == len(checks) else "partly" if held else "not reproduced",
        sentence=f"{held} of {len(checks)} statements hold{said}: {decisive.found}",
        effect=decisive.effect,
        shown_by=decisive.source,
        checks=tuple(checks),
    )


def _decisive(checks: Sequence[Check]) -> Check:
    """The statement to show beside the verdict: the first that fails, or is left open, or the first."""
    for wanted in (False, None):
        for check in checks:
            if check.holds is wanted:
                return check
    return checks[0]
