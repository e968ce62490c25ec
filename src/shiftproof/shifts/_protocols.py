"""Named protocols: a law, a border and an interpolation that a result can be quoted with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from shiftproof._digest import Json, derive_seed
from shiftproof._registry import Registry, unknown_name
from shiftproof.errors import OptionError
from shiftproof.shifts._borders import BORDERS, Border
from shiftproof.shifts._laws import (
    Diagonal,
    Grid,
    IntegerBox,
    Law,
    Offsets,
    RelativeGrid,
    Ring,
    UniformBox,
)
from shiftproof.shifts._translate import Interpolation, check_interpolation

# `scene`: the image is a window on a larger one, and the window moves; nothing has to be made up.
ProtocolBorder = Border | Literal["scene"]
PROTOCOL_BORDERS: tuple[ProtocolBorder, ...] = (*BORDERS, "scene")

ARTICLE = "D. Soni, Translation Invariance in Convolutional Neural Networks, 2019"


@dataclass(frozen=True, slots=True)
class ShiftProtocol:
    """How images are shifted for one measurement or for augmentation.

    Args:
        name: Unique name.
        law: Which offsets.
        border: What comes in from outside: a border of `translate`, or `scene`.
        interpolation: How fractions of a pixel are filled.
        summary: One line for a table.
        source: Where it was published, and how ours differs.

    Raises:
        UnknownNameError: Unknown border or interpolation.
        OptionError: `fourier` with a border that is not circular.
    """

    name: str
    law: Law
    border: ProtocolBorder
    interpolation: Interpolation
    summary: str
    source: str

    def __post_init__(self) -> None:
        if self.border not in PROTOCOL_BORDERS:
            raise unknown_name("border", str(self.border), PROTOCOL_BORDERS)
        check_interpolation(self.interpolation, self.border)

    def draw(self, n_images: int, size_px: tuple[int, int], *, seed: int) -> Tensor:
        """The offsets of this protocol: float64 (S, 2) or (N, S, 2), the same for the same seed.

        Example:
            >>> protocols.get("article-none").draw(3, (28, 28), seed=0).tolist()
            [[0.0, 0.0]]
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "protocol", self.name))
        return self.law.draw(n_images, size_px, generator)

    def margin_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """How much larger than the model's images, on each side, the images have to be: 0 but for a scene."""
        return self.law.reach_px(size_px) if self.border == "scene" else (0, 0)

    def identity(self) -> dict[str, Json]:
        """Everything that its offsets and images depend on.

        Example:
            >>> protocols.get("article-none").identity()["law"]
            'Grid(radius_px=0, step_px=1)'
        """
        return {
            "protocol": self.name,
            "law": repr(self.law),
            "border": self.border,
            "interpolation": self.interpolation,
        }

    def describe(self) -> dict[str, Json]:
        """The same for a reader, with its source."""
        facts = self.identity()
        return {"name": facts.pop("protocol"), **facts, "summary": self.summary, "source": self.source}


@dataclass(frozen=True, slots=True)
class ProtocolFamily:
    """Protocols that differ in numbers only, as in `grid:8`.

    Args:
        name: What stands before the colon.
        law: From the numbers to a law.
        summary: One line, with each number's name in braces.
        source: Where it was published, and how ours differs.
        parameters: The numbers after the colon: name, and value where it may be left out.
        border: What comes in from outside.
    """

    name: str
    law: Callable[..., Law]
    summary: str
    source: str
    parameters: Mapping[str, int | None] = field(default_factory=lambda: {"RADIUS": None})
    border: ProtocolBorder = "zeros"

    @property
    def usage(self) -> str:
        """How it is referred to.

        Example:
            >>> protocol_families.get("box").usage
            'box:DY,DX[,DRAWS]'
        """
        text = self.name
        for sign, (name, default) in zip(":,,", self.parameters.items(), strict=False):
            text += f"{sign}{name}" if default is None else f"[{sign}{name}]"
        return text

    def build(self, reference: str) -> ShiftProtocol:
        """The protocol of a reference such as `grid:8`.

        Raises:
            OptionError: Not the right count of whole numbers.
        """
        words = [word for word in reference.partition(":")[2].split(",") if word.strip()]
        given = dict(zip(self.parameters, words, strict=False))
        try:
            numbers = {name: int(str(given.get(name, default))) for name, default in self.parameters.items()}
            if len(words) > len(numbers) or min(numbers.values()) < 0:
                raise ValueError
        except ValueError:
            raise OptionError(f"{self.usage} with whole numbers", repr(reference)) from None
        law = self.law(*numbers.values())
        return ShiftProtocol(
            reference, law, self.border, "bilinear", self.summary.format(**numbers), self.source
        )


protocols: Registry[ShiftProtocol] = Registry("protocol")
protocol_families: Registry[ProtocolFamily] = Registry("protocol")


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
    ShiftProtocol(
        "one-pixel",
        Ring(1),
        "zeros",
        "bilinear",
        "the eight neighbours at 1 px",
        "A. Azulay, Y. Weiss 2019, arXiv:1805.12177; theirs moves an embedded image by 1 px at random, "
        "ours takes every direction once",
    ),
    ShiftProtocol(
        "engstrom-translation",
        RelativeGrid(0.1, 5),
        "zeros",
        "bilinear",
        "a grid of 5 × 5 offsets up to 10 % of height and width",
        "L. Engstrom et al. 2019, arXiv:1712.02779; the translations of their grid without its rotations",
    ),
    ShiftProtocol(
        "half-pixel",
        Offsets(tuple((y / 2, x / 2) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)),
        "circular",
        "fourier",
        "the eight neighbours at half a pixel, band-limited",
        "H. Michaeli et al. 2023, arXiv:2303.08085; theirs adds half a pixel to random whole ones, "
        "ours takes every direction once",
    ),
):
    protocols.register(_protocol.name, _protocol)


def _two_in_a_box(radius_px: int) -> Law:
    if radius_px < 1:
        raise OptionError("two shifts of up to 1 px or more", f"{radius_px} px")
    return IntegerBox(radius_px, radius_px, 2)


for _family in (
    ProtocolFamily("grid", Grid, "every whole offset up to {RADIUS} px in y and in x", "exhaustive"),
    ProtocolFamily(
        "box",
        IntegerBox,
        "{DRAWS} whole offset(s) per image, up to {DY} px in y and {DX} px in x",
        "uniform, both signs, drawn for each image",
        {"DY": None, "DX": None, "DRAWS": 1},
    ),
    ProtocolFamily(
        "ring", Ring, "every whole offset of exactly {RADIUS} px in the larger axis", "exhaustive"
    ),
    ProtocolFamily(
        "diagonal",
        Diagonal,
        "a trace along the diagonal, from −{RADIUS} to {RADIUS} px",
        "R. Zhang 2019, arXiv:1904.11486; theirs moves a crop of a larger image by 0 to 32 px, "
        "which is border `scene` and radius 16",
    ),
    ProtocolFamily(
        "zhang-crop",
        _two_in_a_box,
        "two crops of a larger image, each up to {RADIUS} px from its centre",
        "R. Zhang 2019, arXiv:1904.11486; theirs draws one pair of crops per batch, from −15 to 16 px, "
        "ours one per image, symmetric",
        {"RADIUS": 16},
        border="scene",
    ),
    ProtocolFamily(
        "circular",
        _two_in_a_box,
        "two circular shifts, each up to {RADIUS} px",
        "A. Chaman, I. Dokmanić 2021, arXiv:2011.14214 (APS), R. Rojas-Gomez et al. 2022 (LPS); theirs "
        "draws one pair per batch, without the largest shift, ours one per image, symmetric",
        border="circular",
    ),
    ProtocolFamily(
        "sensitivity-map",
        Grid,
        "the object moved by up to {RADIUS} px",
        "E. Kauderer-Abrams 2018, arXiv:1801.01450; theirs moves the object on a larger canvas, ours at "
        "the size of the model",
        {"RADIUS": 10},
    ),
):
    protocol_families.register(_family.name, _family)
