"""A claim of the article, and the verdict that its checks make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shiftproof._digest import Json
from shiftproof.article._check import Check

Word = Literal["reproduced", "partly", "not reproduced"]

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


@dataclass(frozen=True, slots=True)
class ClaimVerdict:
    """A claim with the statements that it makes, each of them checked.

    Args:
        number: 1 to 12, as in `CLAIMS`.
        checks: At least one.
    """

    number: int
    checks: tuple[Check, ...]

    @property
    def word(self) -> Word:
        """`reproduced` where every statement holds, `not reproduced` where none does, else `partly`.

        What the interval leaves open is not shown, so it does not count as holding.
        """
        holding = [check.holds is True for check in self.checks]
        return "reproduced" if all(holding) else "partly" if any(holding) else "not reproduced"

    @property
    def decisive(self) -> Check:
        """The statement to show beside the verdict: the first that fails, or is left open, or the first."""
        for wanted in (False, None):
            for check in self.checks:
                if check.holds is wanted:
                    return check
        return self.checks[0]

    @property
    def sentence(self) -> str:
        """The verdict in words: how many statements hold, and what was found for the decisive one."""
        held = sum(check.holds is True for check in self.checks)
        check = self.decisive
        word = {True: "", False: ", not ", None: ", and left open is "}[check.holds]
        said = f"{word}“{check.says.rstrip('.')}”" if word else ""
        return f"{held} of {len(self.checks)} statements hold{said}: {check.found}"

    def to_dict(self) -> dict[str, Json]:
        """As in the record."""
        return {
            "number": self.number,
            "claim": CLAIMS[self.number],
            "verdict": self.word,
            "sentence": self.sentence,
            "effect": self.decisive.to_dict()["effect"],
            "shown_by": self.decisive.source,
            "checks": [check.to_dict() for check in self.checks],
        }
