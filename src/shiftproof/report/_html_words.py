"""The words that pages use, each in a sentence; docs/glossary.md has all of them."""

from __future__ import annotations

from shiftproof.report._page import Facts, Section

TERMS = {
    "offset": "How far the image moves, (dy, dx) in pixels; positive is down and right.",
    "protocol": "A named set of shifts, with its law, border, interpolation and source.",
    "border": "What comes in from outside when the image moves. Another border gives another number.",
    "radius": "The larger of |dy| and |dx|, in pixels.",
    "phase": "The offset modulo a stride. If the numbers depend on it, the stride aliases.",
    "interval": "A range that holds the number for all images of the same kind, at the stated confidence.",
    "n": "Images behind a number. Shifts of one image are not independent, so they do not count.",
    "chance": "What guessing would reach.",
    "n/a": "Not applicable: there is no number, for the reason that is given. It is not a zero.",
    "accuracy": "How often the prediction of a shifted image is right.",
    "agreement": "How often the prediction of a shifted image is that of the unshifted one.",
    "worst case": "Right, or the same, at every shift of the protocol.",
    "seed": "Where the random numbers of a training begin. Another seed gives another network.",
    "epoch": "One pass over the training images.",
    "multiply-adds": "Those of convolutions and matrix products for one image: the cost on any machine.",
    "paired": "Computed from the difference on each image, not from two separate numbers.",
    "points": "Percentage points: the difference of two percentages.",
    "effect": "The number that decides whether a statement holds.",
    "cut": "A moment in the run at which all that is still needed is made to move with the image.",
    "staircase": "How much of the answer still changes after each cut; each step is a layer's loss.",
    "loss": "By how much one layer or block changes the answer when the image moves.",
    "cause": "Downsampling, border, head or non-linearity: told apart by leaving each out.",
    "stride": "Pixels of the image from one position of a feature map to the next.",
    "circular shift": "A shift after which what leaves at one side comes in at the other.",
    "interior": "The positions that no border reaches, also after the shift.",
    "law": "For which shifts the answer is the same, or moves along, and why.",
    "edit": "A change to a network that is meant to make its answers depend less on the position.",
}


def words_section(*names: str) -> Section:
    """What these words mean.

    Args:
        names: Of `TERMS`, in the order in which they are shown.
    """
    return Section("Words", [Facts([(name, TERMS[name]) for name in names])])
