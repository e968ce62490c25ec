"""What was proved of a network of any kind, beside what is true of it."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

import torch
from tests.certify.any_networks import AnyNetwork, any_network
from tests.certify.brute_force import (
    Pair,
    broken_circular,
    broken_interior,
    change_of_boxes,
    difference,
)
from torch import Tensor

from shiftproof.certify import Certificate, ReasonRecord, certify
from shiftproof.certify._certify import NUMBERED
from shiftproof.errors import ModelError

SIZES = ((4, 4), (6, 6), (8, 8), (5, 7), (6, 4), (4, 8), (9, 6))
# float64, and networks that may divide by what is nearly nothing.
TOLERANCE = 1e-8


@dataclass(frozen=True)
class Judgement:
    """One network.

    Args:
        verdict: What was proved, or `no network`.
        proved: The kind of circular law that was proved: `all shifts`, `one axis`, `multiples` of a step, or
            `maps` that roll along; empty for none.
        by_numbers: Whether it was found by following each number.
        false: What of all that was proved is false, empty for nothing.
        rounding: Whether the answer changes under shifts for which it was proved to stay, and as much by
            rounding alone: a tie, such as of the largest of equal numbers.
        missed: The kind of law that is true, and finer than what was proved; empty for none.
        ended_by: Why nothing finer was proved.
    """

    verdict: str
    proved: str = ""
    by_numbers: bool = False
    false: str = ""
    rounding: bool = False
    missed: str = ""
    ended_by: str = ""


def judged(seed: int) -> Judgement:
    """What certify says of the network of a seed, tried out."""
    rng = random.Random(seed)
    size = rng.choice(SIZES)
    network = any_network(seed, size)
    if network is None:
        return Judgement("no network")
    try:
        found = certify(network, (2, *size), numeric=False)
    except ModelError:  # It does not run in the precision in which it is read.
        return Judgement("no network")
    torch.default_generator.manual_seed(seed + 1)
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
        return Judgement(found.verdict, false=f"{false}, seed {seed}, {size}: {found}\n{network}")
    law = found.circular
    proved = "maps" if law.rolls is not None else kind_of(law.step_px or size, size)
    by_numbers = NUMBERED in found.notes
    if law.rolls is not None or law.step_px == (1, 1) or not runs:
        return Judgement(found.verdict, proved, by_numbers)
    step_px = true_steps(network, images)
    if all(known <= step for known, step in zip(law.step_px or size, step_px, strict=True)):
        return Judgement(found.verdict, proved, by_numbers)
    reason = law.ended_by or next(reversed(law.limits), None)
    return Judgement(found.verdict, proved, by_numbers, missed=kind_of(step_px, size), ended_by=_text(reason))


def _text(reason: ReasonRecord | None) -> str:
    """Without numbers and names, so that equal reasons are counted together."""
    return re.sub(
        r"`_tensor_constant\d+`", "T", re.sub(r"\b\d+(st|nd|rd|th)?\b", "n", reason.text if reason else "")
    )


def kind_of(step_px: Pair, size_px: Pair) -> str:
    """The kind of a law about rolls that leave the answer as it is."""
    if step_px == (1, 1):
        return "all shifts"
    if step_px == size_px:
        return ""
    return "one axis" if any(s == whole for s, whole in zip(step_px, size_px, strict=True)) else "multiples"


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
    except (RuntimeError, IndexError, ValueError, AssertionError):
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
def true_steps(network: AnyNetwork, images: Tensor) -> Pair:
    """The least steps, down and right, of rolls that do not change the answer; the whole size for none.

    What does not depend on the images is no law about them, and what an answer to several images together is
    says nothing about one.
    """
    size_px: Pair = (images.shape[2], images.shape[3])
    still = network(images)
    steps = [1, 1]
    # A law is about all images: dark ones with a bright spot, and numbers of both signs, are images as well.
    for kind in (images, 3 * torch.randn_like(images), images * (images > 0.95) + 1e-3 * images):
        for axis in (0, 1):
            least = _least_step(network, kind, network(kind), axis)
            steps[axis] = min(size_px[axis], math.lcm(steps[axis], least))
    found: Pair = (steps[0], steps[1])
    if found == size_px or difference(network(images.flip(3) * images + 0.1), still) < 1e-6:
        return size_px
    return found if _is_about_one_image(network, images) else size_px


def _least_step(network: AnyNetwork, images: Tensor, still: Tensor, axis: int) -> int:
    size = images.shape[2 + axis]
    for step in (n for n in range(1, size) if size % n == 0):
        if difference(network(torch.roll(images, step, 2 + axis)), still) <= TOLERANCE:
            return step
    return size


def _is_about_one_image(network: AnyNetwork, images: Tensor) -> bool:
    """Whether an image is answered alone as it is among others, of which there are one or two."""
    for n_others in (1, 2):
        others = torch.rand(n_others, *images.shape[1:], dtype=torch.float64)
        try:
            together, alone = network(torch.cat([images[:1], others])), network(images[:1])
        except (RuntimeError, IndexError, ValueError, AssertionError):
            return False
        if together[:1].shape != alone.shape or difference(together[:1], alone) > TOLERANCE:
            return False
    return True
