"""What a law says, tried out: every roll of a group, every place of a box."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from shiftproof.certify import CircularLaw, InteriorLaw

Pair = tuple[int, int]


def difference(answer: Tensor, other: Tensor) -> float:
    """The largest, relative to the largest number."""
    if not other.numel() or not bool(torch.isfinite(other).all()):
        return 0.0
    # Where all of an answer cancels, such as the mean of normalised maps, only its rounding is left of it.
    return float((answer - other).abs().max() / other.abs().max().clamp_min(1e-3))


@torch.no_grad()
def answers_to_rolls(network: nn.Module, images: Tensor, offsets: Sequence[Pair]) -> list[Tensor]:
    """The answer to the images under each roll.

    All rolls are asked about in one batch, unless some of them are answered otherwise there than by
    themselves: a network may be made for a number of images, or mix them.
    """
    moved = [torch.roll(images, offset, (2, 3)) for offset in offsets]
    some = {0: network(moved[0]), len(moved) - 1: network(moved[-1])}
    try:
        together = network(torch.cat(moved))
    except (RuntimeError, IndexError, ValueError):
        together = None
    if isinstance(together, Tensor) and len(together) == len(images) * len(moved):
        each = list(torch.split(together, len(images)))
        if all(one.shape == each[n].shape and difference(each[n], one) < 1e-10 for n, one in some.items()):
            return each
    return [some[n] if n in some else network(one) for n, one in enumerate(moved)]


def change_under_rolls(
    network: nn.Module,
    images: Tensor,
    step_px: Pair,
    rolls: Pair = (0, 0),
    axes: tuple[int | None, int | None] = (None, None),
) -> float:
    """The largest difference between the answer to any roll by multiples of a step and what it should be.

    That is the answer to the images as they are, rolled along its axes.
    """
    height, width = images.shape[2:]
    lines = (height // step_px[0] * rolls[0], width // step_px[1] * rolls[1])
    times = list(product(range(height // step_px[0]), range(width // step_px[1])))
    offsets = [(down * step_px[0], right * step_px[1]) for down, right in times]
    still, *others = answers_to_rolls(network, images, offsets)
    return max(
        (
            difference(answer, rolled(still, (down * rolls[0], right * rolls[1]), axes, lines))
            for answer, (down, right) in zip(others, times[1:], strict=True)
        ),
        default=0.0,
    )


def rolled(answer: Tensor, by: Pair, axes: tuple[int | None, int | None], lines: Pair) -> Tensor:
    """An answer whose rows and columns roll; on one axis they are `lines` that follow each other.

    There may be any number of lines of the kind that does not roll, which is 0 in `lines`.
    """
    if axes[0] is not None and axes[0] == axes[1] and any(lines):
        axis = axes[0]
        size = [n or -1 for n in lines]
        square = answer.reshape(*answer.shape[:axis], *size, *answer.shape[axis + 1 :])
        return torch.roll(square, by, (axis, axis + 1)).flatten(axis, axis + 1)
    for steps, axis_of_it in zip(by, axes, strict=True):
        answer = answer if axis_of_it is None else torch.roll(answer, steps, axis_of_it)
    return answer


def broken_circular(network: nn.Module, images: Tensor, law: CircularLaw) -> float:
    """How far a network is from a law about rolls; 0 where nothing is claimed."""
    if law.step_px is None:
        return 0.0
    return change_under_rolls(network, images, law.step_px, law.rolls or (0, 0), law.axes or (None, None))


@torch.no_grad()
def change_of_boxes(
    network: nn.Module,
    shape: tuple[int, int, int],
    before_px: Pair,
    after_px: Pair,
    step_px: Pair,
    rng: random.Random,
) -> float:
    """The largest difference between answers to one box at all places that a law allows.

    Of boxes of the least, of a random and of the largest size; the background is black, or of any colour.
    """
    channels, height, width = shape
    room = (height - before_px[0] - after_px[0], width - before_px[1] - after_px[1])
    most = (room[0] - step_px[0], room[1] - step_px[1])
    sizes = [(1, 1), (rng.randint(1, most[0]), rng.randint(1, most[1])), most]
    worst = 0.0
    for (rows, columns), colour in zip(sizes, (0.0, 1.0, 1.0), strict=True):
        blank = colour * torch.randn(1, channels, 1, 1, dtype=torch.float64).expand(1, *shape)
        box = torch.randn(1, channels, rows, columns, dtype=torch.float64)
        first = None
        tops = range(
            before_px[0] + rng.randint(0, room[0] - rows) % step_px[0],
            height - after_px[0] - rows + 1,
            step_px[0],
        )
        lefts = range(before_px[1], width - after_px[1] - columns + 1, step_px[1])
        for top, left in product(tops, lefts):
            image = blank.clone()
            image[:, :, top : top + rows, left : left + columns] = box
            answer = network(image)
            first = answer if first is None else first
            worst = max(worst, difference(answer, first))
    return worst


def broken_interior(
    network: nn.Module, shape: tuple[int, int, int], law: InteriorLaw, rng: random.Random
) -> float:
    """How far a network is from a law about boxes; 0 where nothing is claimed."""
    if not law.proved or law.answer != "invariant":
        return 0.0
    return change_of_boxes(network, shape, law.before_px, law.after_px, law.step_px, rng)
