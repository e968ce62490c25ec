"""Labelled images in memory, with a digest that names their content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shiftproof._digest import derive_seed, digest_of_bytes
from shiftproof.errors import DataError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A set of images with one class each.

    Args:
        name: Where they come from, for reports.
        images: uint8, shape (N, C, H, W), 0 to 255. Divide by 255 for the [0, 1] that models take.
        labels: int64, shape (N,), in [0, number of classes).
        class_names: One name per class.

    Raises:
        DataError: The parts do not fit together.

    Example:
        >>> two = LabelledImages("two", torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
        ...                      torch.tensor([0, 1]), ("a", "b"))
        >>> len(two), two.size_px, two.digest[:8]
        (2, (3, 3), 'f2ea3058')
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                "uint8 images of shape (N, C, H, W)",
                f"{self.images.dtype} of shape {tuple(self.images.shape)}",
            )
        if self.labels.shape != (len(self.images),):
            raise DataError(
                f"one label for each of the {len(self.images)} images",
                f"labels of shape {tuple(self.labels.shape)}",
            )
        if len(self.labels) and not (
            int(self.labels.min()) >= 0 and int(self.labels.max()) < len(self.class_names)
        ):
            raise DataError(
                f"labels from 0 to {len(self.class_names) - 1}",
                f"{int(self.labels.min())} to {int(self.labels.max())}",
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width)."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.images.shape[1], *self.size_px

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shape, pixels, labels and class names."""
        header = f"{tuple(self.images.shape)}{self.class_names}".encode()
        arrays = (part.contiguous().numpy() for part in (self.images, self.labels))
        return digest_of_bytes([header, *(array.tobytes() for array in arrays)])

    def take(self, index: Tensor) -> LabelledImages:
        """The images at these positions, in this order."""
        return LabelledImages(self.name, self.images[index], self.labels[index], self.class_names)

    def head(self, n_images: int | None) -> LabelledImages:
        """The first `n_images`, or all for None."""
        return self if n_images is None else self.take(torch.arange(min(n_images, len(self))))

    def split(self, fraction: float, *, seed: int) -> tuple[LabelledImages, LabelledImages]:
        """Two parts at random: all but `fraction` of the images, and that fraction."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
        order = torch.randperm(len(self), generator=generator)
        n_second = round(fraction * len(self))
        return self.take(order[n_second:]), self.take(order[:n_second])
