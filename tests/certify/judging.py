"""What was proved of a network of any kind, beside what is true of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from tests.certify.any_networks import AnyNetwork, any_network
from tests.certify.brute_force import (
    broken_circular,
    broken_interior,
    change_of_boxes,
    change_under_rolls,
    difference,
)
from torch import Tensor

from shiftproof.certify import Certificate, certify

SIZES = ((4, 4), (6, 6), (8, 8), (5, 7), (6, 4), (4, 8), (9, 6))
# float64, and networks that may divide by what is nearly nothing.
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Judgement:
    """One network.

    Args:
        verdict: What was proved, or `no network`.
        false: What of that is false, empty for nothing.
        rounding: Whether the answer changes under shifts for which it was proved to stay, and as much by
            rounding alone: a tie, such as of the largest of equal numbers.
        missed: Whether it is invariant to all circular shifts, and nothing is proved of them.
        ended_by: Why nothing is proved of circular shifts.
    """

    verdict: str
    false: str = ""
    rounding: bool = False
    missed: bool = False
    ended_by: str = ""


def judged(seed: int) -> Judgement:
    """What certify says of the network of a seed, tried out."""
    rng = random.Random(seed)
    size = rng.choice(SIZES)
    network = any_network(seed, size)
    if network is None:
        return Judgement("no network")
    found = certify(network, (2, *size), numeric=False)
    torch.manual_seed(seed + 1)
    images = torch.rand(1 + seed % 2, 2, *size, dtype=torch.float64)
    runs = _runs(network, images)
    false = ""
    if not runs and (found.circular.proved or found.interior.answer is not None):
        false = "does not run"
    elif (change := broken_circular(network, images, found.circular)) > TOLERANCE:
        false = f"{change:.1e} under rolls"
    elif (change := _under_boxes(network, found, (2, *size), rng)) > TOLERANCE:
        false = f"{change:.1e} under boxes"
    if false and runs and is_a_tie(network, images):
        return Judgement(found.verdict, rounding=True)
    if false:
        return Judgement(found.verdict, f"{false}, seed {seed}, {size}: {found}\n{network}")
    missed = not found.circular.proved and runs and stays(network, images)
    return Judgement(found.verdict, missed=missed, ended_by=str(found.circular.ended_by or ""))


@torch.no_grad()
def is_a_tie(network: AnyNetwork, images: Tensor) -> bool:
    """Whether changes that are hardly more than rounding change the answer."""
    still = network(images)
    nearly = (images + 1e-14 * torch.randn_like(images) for _ in range(20))
    return any(difference(network(image), still) > TOLERANCE for image in nearly)


def _runs(network: AnyNetwork, images: Tensor) -> bool:
    try:
        with torch.no_grad():
            network(images)
    except (RuntimeError, IndexError, ValueError):
        return False
    return True


def _under_boxes(
    network: AnyNetwork, found: Certificate, shape: tuple[int, int, int], rng: random.Random
) -> float:
    """In images of this size, or in the larger ones in which there is said to be room."""
    law = found.interior
    if law.smallest_px is None or law.answer != "invariant":
        return broken_interior(network, shape, law, rng)
    larger = (shape[0], *law.smallest_px)
    return change_of_boxes(network, larger, law.before_px, law.after_px, law.step_px, rng)


@torch.no_grad()
def stays(network: AnyNetwork, images: Tensor) -> bool:
    """Whether no circular shift changes the answer, and the image does."""
    still = network(images)
    if difference(network(images.flip(3) * images + 0.1), still) < 1e-6 or difference(network(images), still):
        return False
    # Most networks fail at the first two.
    for offset in ((1, 0), (0, 1)):
        if difference(network(torch.roll(images, offset, (2, 3))), still) > TOLERANCE:
            return False
    return change_under_rolls(network, images, (1, 1)) <= TOLERANCE
