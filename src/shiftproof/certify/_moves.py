"""Images and their moves, for a law to be checked on: rolls, and boxes on a blank background."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from shiftproof._digest import derive_seed
from shiftproof.anatomy import Pair
from shiftproof.zoo import ImageShape


@dataclass(frozen=True, eq=False)
class Moves(ABC):
    """Images, and the moves under which a network is asked about them.

    Args:
        images: (n, C, H, W), float64 in [0, 1].
        offsets_px: (dy, dx) of each move; none of them is (0, 0).
        n_possible: How many moves there are in all.
    """

    images: Tensor
    offsets_px: Sequence[Pair]
    n_possible: int

    @abstractmethod
    def moved(self, offset_px: Pair) -> Tensor:
        """All images under one move: shape and dtype of `images`."""


class CircularMoves(Moves):
    """Circular shifts."""

    def moved(self, offset_px: Pair) -> Tensor:
        return torch.roll(self.images, offset_px, (2, 3))


@dataclass(frozen=True, eq=False)
class BoxMoves(Moves):
    """BoxMoves of content on a blank background, which keep their distance from every border.

    Args:
        box_px: Height and width of the box.
        corner_px: Where it is in `images`: its first row and column.
        blank: The colour of each background, (n, C, 1, 1).
    """

    box_px: Pair
    corner_px: Pair
    blank: Tensor

    def moved(self, offset_px: Pair) -> Tensor:
        (top, left), (height, width) = self.corner_px, self.box_px
        box = self.images[:, :, top : top + height, left : left + width]
        moved = self.blank.expand_as(self.images).clone()
        top, left = top + offset_px[0], left + offset_px[1]
        moved[:, :, top : top + height, left : left + width] = box
        return moved


def random_images(image_shape: ImageShape, n: int, *, seed: int) -> Tensor:
    """Images of independent uniform noise: (n, C, H, W), float64 in [0, 1)."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "images of a certificate"))
    return torch.rand(n, *image_shape, generator=generator, dtype=torch.float64)


def rolls(images: Tensor, step_px: Pair, *, n_most: int, seed: int) -> CircularMoves:
    """Circular shifts by multiples of a step; a sample where there are more of them than asked for."""
    height, width = images.shape[2:]
    offsets = list(product(range(0, height, step_px[0]), range(0, width, step_px[1])))[1:]
    return CircularMoves(images, sampled(offsets, n_most, seed=seed), len(offsets))


def boxes(
    images: Tensor, step_px: Pair, before_px: Pair, after_px: Pair, *, n_most: int, seed: int
) -> BoxMoves:
    """The middle of each image as a box on a background of random colour, moved by multiples of a step.

    Args:
        images: (n, C, H, W).
        step_px, before_px, after_px: Of the law; there has to be room for a move.
        n_most: A sample where there are more moves than this.
        seed: Source of colours and of the sample.
    """
    n, channels, height, width = images.shape
    room = (height - before_px[0] - after_px[0], width - before_px[1] - after_px[1])
    steps = [max(1, (free - 1) // (2 * step)) for free, step in zip(room, step_px, strict=True)]
    box_px = (room[0] - steps[0] * step_px[0], room[1] - steps[1] * step_px[1])
    top, left = (height - box_px[0]) // 2, (width - box_px[1]) // 2
    generator = torch.Generator().manual_seed(derive_seed(seed, "backgrounds of a certificate"))
    colours = torch.rand(n, channels, 1, 1, generator=generator, dtype=torch.float64)
    blank = colours.expand_as(images).clone()
    blank[:, :, before_px[0] : before_px[0] + box_px[0], before_px[1] : before_px[1] + box_px[1]] = images[
        :, :, top : top + box_px[0], left : left + box_px[1]
    ]
    offsets = [
        (down * step_px[0], right * step_px[1])
        for down, right in product(range(steps[0] + 1), range(steps[1] + 1))
    ][1:]
    return BoxMoves(blank, sampled(offsets, n_most, seed=seed), len(offsets), box_px, before_px, colours)


def sampled(offsets: Sequence[Pair], n_most: int, *, seed: int) -> list[Pair]:
    """At most so many of them, in order: the first and the last one, and others at random.

    Example:
        >>> sampled([(0, 1), (1, 0), (1, 1)], 5, seed=0)
        [(0, 1), (1, 0), (1, 1)]
        >>> len(sampled([(0, dx) for dx in range(1, 100)], 7, seed=0))
        7
    """
    if len(offsets) <= n_most:
        return list(offsets)
    generator = torch.Generator().manual_seed(derive_seed(seed, "moves of a certificate"))
    order = torch.randperm(len(offsets), generator=generator).tolist()
    chosen = list(dict.fromkeys([0, len(offsets) - 1, *order]))[: max(n_most, 1)]
    return [offsets[place] for place in sorted(chosen)]
