"""What was proved of a network of any kind, beside what is true of it."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from tests.certify.any_networks import AnyNetwork, any_network
from tests.certify.brute_force import broken_circular, broken_interior, change_of_boxes, difference
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
        missed: Whether it is invariant to all circular shifts, and nothing is proved of them.
        ended_by: Why nothing is proved of circular shifts.
    """

    verdict: str
    false: str = ""
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
    said = f"seed {seed}, {size}: {found}\n{network}"
    runs = _runs(network, images)
    if found.circular.proved:
        if not runs:
            return Judgement(found.verdict, f"does not run, {said}")
        change = broken_circular(network, images, found.circular)
        if change > TOLERANCE:
            return Judgement(found.verdict, f"{change:.1e} under rolls, {said}")
    if found.interior.answer is not None and not runs:
        return Judgement(found.verdict, f"does not run, {said}")
    change = _under_boxes(network, found, (2, *size), rng)
    if change > TOLERANCE:
        return Judgement(found.verdict, f"{change:.1e} under boxes, {said}")
    missed = not found.circular.proved and runs and stays(network, images)
    return Judgement(found.verdict, missed=missed, ended_by=str(found.circular.ended_by or ""))


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
    height, width = images.shape[2:]
    for offset in [(1, 0), (0, 1), *((y, x) for y in range(height) for x in range(width))]:
        if difference(network(torch.roll(images, offset, (2, 3))), still) > TOLERANCE:
            return False
    return True
