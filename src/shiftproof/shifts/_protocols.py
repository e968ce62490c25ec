"""Named protocols: a law, a border and an interpolation that a result can be quoted with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shiftproof._digest import derive_seed
from shiftproof._registry import Registry
from shiftproof.shifts._borders import Border
from shiftproof.shifts._laws import Grid, Law, UniformBox
from shiftproof.shifts._translate import Interpolation

ARTICLE = "D. Soni, Translation Invariance in Convolutional Neural Networks, 2019"


@dataclass(frozen=True, slots=True)
class ShiftProtocol:
    """How images are shifted for one measurement or for augmentation.

    Args:
        name: Unique name.
        law: Which offsets.
        border: What comes in from outside.
        interpolation: How fractions of a pixel are filled.
        summary: One line for a table.
        source: Where it was published, and how ours differs.
    """

    name: str
    law: Law
    border: Border
    interpolation: Interpolation
    summary: str
    source: str

    def draw(self, n_images: int, size_px: tuple[int, int], *, seed: int) -> Tensor:
        """The offsets of this protocol: float64 (S, 2) or (N, S, 2), the same for the same seed.

        Example:
            >>> protocols.get("article-none").draw(3, (28, 28), seed=0).tolist()
            [[0.0, 0.0]]
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "protocol", self.name))
        return self.law.draw(n_images, size_px, generator)


protocols: Registry[ShiftProtocol] = Registry("protocol")

for _protocol in (
    ShiftProtocol("article-none", Grid(0), "zeros", "bilinear", "the test images as they are", ARTICLE),
    ShiftProtocol(
        "article-small",
        UniformBox(1, 1),
        "zeros",
        "bilinear",
        "each image moved by up to 1 px in each axis",
        f"{ARTICLE}, testShiftMin; ours keeps float images, theirs rounds to bytes",
    ),
    ShiftProtocol(
        "article-large",
        UniformBox(3, 4),
        "zeros",
        "bilinear",
        "each image moved by up to 3 px in y and 4 px in x",
        f"{ARTICLE}, testShift; ours keeps float images, theirs rounds to bytes",
    ),
    ShiftProtocol(
        "keras-augment",
        UniformBox(0.1, 0.1, unit="image"),
        "edge",
        "bilinear",
        "up to 10 % of height and width, edge pixels repeated",
        "Keras ImageDataGenerator(width_shift_range=.1, height_shift_range=.1)",
    ),
):
    protocols.register(_protocol.name, _protocol)
