"""What an edit around a network makes exact on a circle, whatever the network is, or what it lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from torch import nn

from shiftproof.anatomy import Pair
from shiftproof.edits import CanonicalPosition, ShiftAveraged
from shiftproof.records import CircularLaw

AVERAGED = (
    "The answer is a mean over circular shifts of the image. Shifts by multiples of {} × {} px take these to "
    "ones for which the network is proved to answer the same."
)
PLACED = (
    "The network is shown each image where its content says, on a circle, and a shifted image in the same "
    "place. Places that are equally good are told apart by a hash of what is there."
)


def step_around(
    module: nn.Module, law_of: Callable[[nn.Module], CircularLaw | None]
) -> tuple[Pair, str] | None:
    """Rolls of the image that provably change no answer, (down, right), for what is around a network.

    Args:
        module: Any.
        law_of: What is proved of the network inside; None where it cannot be followed.

    Returns:
        The multiples, and why in words; None where nothing is around, or nothing follows from it.
    """
    if not isinstance(module, CanonicalPosition | ShiftAveraged) or module.border != "circular":
        return None
    law = law_of(module.model)
    if law is None:
        return None
    if isinstance(module, CanonicalPosition):
        return (1, 1), PLACED
    if law.rolls is not None:
        return None
    # Whatever it is, whole turns change nothing.
    step_px = finest(module.offsets_px, law.step_px or law.image_px)
    return None if step_px == law.image_px else (step_px, AVERAGED.format(*step_px))


def finest(offsets_px: Sequence[Pair], step_px: Pair) -> Pair:
    """By how little a set of offsets can be moved, down and right, and be the same up to multiples of a step.

    Example:
        >>> finest([(0, 0), (0, 1), (2, 0), (2, 1)], (4, 2))
        (2, 1)
    """
    down = next(d for d in range(1, step_px[0] + 1) if _is_same(offsets_px, (d, 0), step_px))
    right = next(d for d in range(1, step_px[1] + 1) if _is_same(offsets_px, (0, d), step_px))
    return down, right


def _is_same(offsets_px: Sequence[Pair], by_px: Pair, step_px: Pair) -> bool:
    return _phases(offsets_px, by_px, step_px) == _phases(offsets_px, (0, 0), step_px)


def _phases(offsets_px: Sequence[Pair], by_px: Pair, step_px: Pair) -> Counter[Pair]:
    return Counter(((y + by_px[0]) % step_px[0], (x + by_px[1]) % step_px[1]) for y, x in offsets_px)
