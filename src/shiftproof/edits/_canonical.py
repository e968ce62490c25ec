"""An image moved, or cut, to where its own content says: any model, without training, one forward pass."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from shiftproof.edits._average import around
from shiftproof.edits._record import Edit, Edited, Model, edits
from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import AdaptivePolyphase2d, rolled_to
from shiftproof.records import Change
from shiftproof.shifts import Border, check_border, extend

# Bits of the numbers that windows add up twice: sums of up to 2^34 pixels are exact.
BITS = 16


def canonical_position(model: Model, *, border: Border = "circular") -> Edited:
    """Each image moved so that the window of half its size with most content is in the middle."""
    change = Change("model", "the image as it comes", f"the image at its own place (border {border})")
    return Edited(around(model, _at_place, CanonicalPosition, check_border(border)), (change,))


class CanonicalPosition(nn.Module):
    """A network that is shown each image at a place that its own content decides.

    Under circular shifts, with border `circular`, the network is shown the same pixels, to the bit.

    Args:
        model: Images to logits.
        border: What comes in from outside.
    """

    def __init__(self, model: nn.Module, border: Border) -> None:
        super().__init__()
        self.model, self.border = model, border

    def forward(self, images: Tensor) -> Any:
        return _at_place(self.model, images, self.border)

    def extra_repr(self) -> str:
        return f"border={self.border!r}"


def _at_place(model: Any, images: Tensor, border: Border) -> Any:
    return model(placed(images, border))


def placed(images: Tensor, border: Border) -> Tensor:
    """Images (N, C, H, W), each moved so that its window with most content is in the middle.

    Content is the sum of the pixels, which count less towards the sides of the window; equal windows are
    told apart as equal phases are (`Polyphase2d`). Without a circle the images are seen on a canvas of
    zeros that is three times as high and wide, on which what is inside moves as on a circle.
    """
    height, width = images.shape[2:]
    canvas = images if border == "circular" else extend(images, (height, width), "zeros")
    rows, columns = _middle(canvas, (-(-height // 2), -(-width // 2)))
    if border == "circular":
        return rolled_to(images, rows - height // 2, columns - width // 2)
    wide = extend(images, (height, width), border)
    moved: Tensor = rolled_to(wide, rows - height // 2, columns - width // 2)[:, :, :height, :width]
    return moved


@torch.no_grad()
def _middle(canvas: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Row and column, int64 (N,) each, around which there is most content on a circle."""
    size = (canvas.shape[2], canvas.shape[3])
    # Twice: a window whose weights fall off to its sides has one best place, where a flat one has many.
    sums = _window_sums(_window_sums(_levels(canvas), window, circular=True), window, circular=True)
    place = AdaptivePolyphase2d(stride=size, norm="max").choose(sums, canvas)
    return place // size[1] + window[0] - 1, place % size[1] + window[1] - 1


def _levels(images: Tensor) -> Tensor:
    """Content of each pixel as a whole number: float64 (N, 1, H, W)."""
    levels: Tensor = (images.detach().double().abs().sum(1, keepdim=True) * 2**BITS).round()
    return levels


def _window_sums(levels: Tensor, window: tuple[int, int], *, circular: bool = False) -> Tensor:
    """How much content the window that begins at each position has: float64 (N, 1, H, W), whole numbers.

    Sums of whole numbers have no order, so those of a shifted image are shifted to the bit.
    """
    for dim, size in ((2, window[0]), (3, window[1])):
        n = levels.shape[dim]
        behind = levels.narrow(dim, 0, size)
        wide = torch.cat([levels, behind if circular else torch.zeros_like(behind)], dim)
        totals = torch.cat([torch.zeros_like(wide.narrow(dim, 0, 1)), wide.cumsum(dim)], dim)
        levels = totals.narrow(dim, size, n) - totals.narrow(dim, 0, n)
    return levels


def crop_choice(model: Model, *, margin_px: int = 16) -> Edited:
    """The part of each image with most detail, of all that are smaller by a margin, enlarged."""
    if isinstance(margin_px, bool) or not isinstance(margin_px, int) or margin_px < 1:
        raise OptionError("`margin_px` of at least 1", repr(margin_px))
    change = Change("model", "the whole image", f"the part of it, {margin_px} px smaller, with most content")
    return Edited(around(model, _cut, ChosenCrop, margin_px), (change,))


class ChosenCrop(nn.Module):
    """A network that is shown the part of each image that its content decides.

    Args:
        model: Images to logits.
        margin_px: By how much the part is smaller, in height and in width.
    """

    def __init__(self, model: nn.Module, margin_px: int) -> None:
        super().__init__()
        self.model, self.margin_px = model, margin_px

    def forward(self, images: Tensor) -> Any:
        return _cut(self.model, images, self.margin_px)

    def extra_repr(self) -> str:
        return f"margin_px={self.margin_px}"


def _cut(model: Any, images: Tensor, margin_px: int) -> Any:
    return model(chosen_crop(images, margin_px))


def chosen_crop(images: Tensor, margin_px: int) -> Tensor:
    """The part of each image with the most detail, enlarged to the size of the image.

    A real shift brings new parts in at one side and takes others out at the other: the part that was
    chosen is chosen again unless one of the new ones has more.

    Args:
        images: (N, C, H, W).
        margin_px: By how much a part is smaller; there are (margin_px + 1)² of them.

    Raises:
        ShapeError: The image is not larger than the margin.
    """
    height, width = images.shape[2:]
    if margin_px >= min(height, width):
        raise ShapeError(f"images larger than the margin of {margin_px} px", (height, width))
    part = (height - margin_px, width - margin_px)
    places = _window_sums(_levels(_detail(images)), part)[:, :, : margin_px + 1, : margin_px + 1]
    best = places.flatten(1).argmax(1)
    rows, columns = best // (margin_px + 1), best % (margin_px + 1)
    cut: Tensor = rolled_to(images, rows, columns)[:, :, : part[0], : part[1]]
    return F.interpolate(cut, (height, width), mode="bilinear", align_corners=False)


def _detail(images: Tensor) -> Tensor:
    """How much each pixel differs from its right and lower neighbour; 0 at the last ones."""
    down = F.pad((images[:, :, 1:] - images[:, :, :-1]).abs(), (0, 0, 0, 1))
    right = F.pad((images[:, :, :, 1:] - images[:, :, :, :-1]).abs(), (0, 1))
    return down + right


for _edit in (
    Edit(
        "canonical-position",
        "free",
        canonical_position,
        "each image moved to where its own content says; exact on a circle",
        "content-dependent anchors as in Chaman and Dokmanić 2021, arXiv:2011.14214, for the whole image",
        "one forward pass",
    ),
    Edit(
        "crop-choice",
        "free",
        crop_choice,
        "the part of each image with most detail, enlarged",
        "Shifman and Weiss 2024 (RICS, robust image crop selection); written from its abstract: the "
        "score, the sum of the differences between neighbours, is ours",
        "one forward pass",
    ),
):
    edits.register(_edit.name, _edit)
