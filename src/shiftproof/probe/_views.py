"""What a model is shown: a batch of images as they are, and under each shift of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shiftproof.errors import OptionError, ShapeError
from shiftproof.shifts import Border, ShiftProtocol, extend, translate


@dataclass(frozen=True, eq=False)
class Views:
    """The shifts of one measurement, and how an image looks under each of them.

    Args:
        protocol: Border and interpolation.
        offsets_px: float64 (S, 2), or (N, S, 2) for offsets of each image's own; on the CPU.
        size_px: (height, width) of what the model is shown.
        margin_px: How much larger the images are, on each side; 0 but for a scene.
    """

    protocol: ShiftProtocol
    offsets_px: Tensor
    size_px: tuple[int, int]
    margin_px: tuple[int, int]

    @classmethod
    def draw(
        cls,
        protocol: ShiftProtocol,
        n_images: int,
        image_px: tuple[int, int],
        *,
        seed: int,
        window_px: tuple[int, int] | None = None,
    ) -> Views:
        """Draw the offsets for so many images of this size.

        Args:
            protocol: Which shifts.
            n_images: How many images.
            image_px: (height, width) of the images.
            seed: Source of the offsets.
            window_px: What the model is shown of a scene; by default what leaves room for every shift.

        Raises:
            OptionError: A shift that moves everything out of the frame.
            ShapeError: Images with no room to move in, for a scene.
        """
        size_px = image_px
        if protocol.border == "scene":
            size_px = _window(protocol, image_px, window_px)
        reach = protocol.law.reach_px(size_px)
        if reach[0] >= size_px[0] or reach[1] >= size_px[1]:
            raise OptionError(
                f"shifts smaller than the images ({size_px[0]} × {size_px[1]} px)",
                f"{protocol.name} with up to {reach[0]} px in y and {reach[1]} px in x",
                cause="Beyond that nothing of an image is left, or it starts again.",
                fix="Choose a smaller radius.",
            )
        margin = ((image_px[0] - size_px[0]) // 2, (image_px[1] - size_px[1]) // 2)
        return cls(protocol, protocol.draw(n_images, size_px, seed=seed), size_px, margin)

    @property
    def n_shifts(self) -> int:
        """S."""
        return int(self.offsets_px.shape[-2])

    @property
    def shared(self) -> bool:
        """Whether all images have the same offsets."""
        return self.offsets_px.ndim == 2

    @cached_property
    def whole(self) -> bool:
        """Whether all offsets are whole pixels."""
        return bool((self.offsets_px == self.offsets_px.round()).all())

    @cached_property
    def reach_px(self) -> tuple[int, int]:
        """The largest offset in each axis that was drawn, rounded up."""
        largest = self.offsets_px.reshape(-1, 2).abs().amax(0).ceil().tolist()
        return int(largest[0]), int(largest[1])

    def unshifted(self, images: Tensor) -> Tensor:
        """The images as they are: (n, C, H, W) of the size that the model takes."""
        return self.window(images, self.margin_px, (0, 0))

    def batch(self, images: Tensor, rows: slice) -> BatchViews:
        """The views of one batch: images (n, C, H', W') in [0, 1], which are these rows of the set."""
        offsets = self.offsets_px if self.shared else self.offsets_px[rows]
        return BatchViews(self, images, offsets, torch.arange(rows.start, rows.start + len(images)))

    @property
    def corner(self) -> tuple[int, int]:
        """Where on the canvas the unshifted window begins: (y, x)."""
        return self.margin_px if self.protocol.border == "scene" else self.reach_px

    def window(self, images: Tensor, corner: tuple[int, int], offset_px: tuple[int, int]) -> Tensor:
        """The part of a canvas that shows the images moved by so much: (n, C, H, W)."""
        # Moving the content down and right is moving the window up and left.
        top, left = corner[0] - offset_px[0], corner[1] - offset_px[1]
        return images[:, :, top : top + self.size_px[0], left : left + self.size_px[1]]


@dataclass(frozen=True, eq=False)
class BatchViews:
    """The views of one batch of images.

    Args:
        views: The measurement.
        images: (n, C, H', W') in [0, 1].
        offsets_px: (S, 2) or (n, S, 2).
        place: int64 (n,); which images of the set they are.
    """

    views: Views
    images: Tensor
    offsets_px: Tensor
    place: Tensor

    @property
    def n_shifts(self) -> int:
        """S."""
        return self.views.n_shifts

    @cached_property
    def canvas(self) -> Tensor:
        """The images with what lies around them, so that every whole shift is a slice of it."""
        border = self.views.protocol.border
        return self.images if border == "scene" else extend(self.images, self.views.reach_px, border)

    def unshifted(self) -> Tensor:
        """The images as they are."""
        return self.views.unshifted(self.images)

    def shifted(self, shift: int) -> Tensor | None:
        """All images under one shift, or None where none of them moves."""
        offset = self.offsets_px[..., shift, :]
        if not bool(offset.any()):
            return None
        views = self.views
        if views.shared and views.whole:
            dy, dx = (int(d) for d in offset.tolist())
            return views.window(self.canvas, views.corner, (dy, dx))
        border: Border = "edge" if views.protocol.border == "scene" else views.protocol.border
        moved = translate(self.images, offset, border=border, interpolation=views.protocol.interpolation)
        return views.unshifted(moved)


def _window(
    protocol: ShiftProtocol, image_px: tuple[int, int], window_px: tuple[int, int] | None
) -> tuple[int, int]:
    """The size of a window that can move in an image by all offsets of the law."""
    reach = protocol.law.reach_px(window_px or image_px)
    room = (image_px[0] - 2 * reach[0], image_px[1] - 2 * reach[1])
    window = window_px or room
    if min(room) < 1 or window[0] > room[0] or window[1] > room[1]:
        raise ShapeError(
            f"images with {reach[0]} px above and below and {reach[1]} px beside what the model is shown",
            f"images of {image_px[0]} × {image_px[1]} px",
            cause=f"Protocol {protocol.name} moves a window on a larger image.",
            fix="Use larger images, a smaller radius, or another border.",
        )
    return window
