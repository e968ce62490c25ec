"""Images to measure on: what any source of them offers, and the one that holds them in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from shiftproof._digest import derive_seed, digest_of_bytes
from shiftproof.data._label_sets import check_label_sets
from shiftproof.errors import DataError

UNKNOWN = -1


class Skipped(NamedTuple):
    """A file that is no image, or not one to be opened, and why."""

    name: str
    reason: str


class Images(Protocol):
    """Images of one shape, in memory or decoded when asked for.

    Attributes:
        name: Where they come from, for reports.
        labels: int64 (N,); `UNKNOWN` (−1) where there is no label. Where an image may have several, (N, K)
            of 0 and 1, a column for each class.
        class_names: One name per class; empty without labels.
        image_shape: (C, H, W).
        digest: SHA-256 over contents, labels, class names and what was done to bring them to one shape.
        skipped: Files that were left out.
        not_considered: Files beside the images that do not claim to be any: hidden, or with another suffix.
        note: What a reader has to know of where labels come from; empty: nothing.
        conversions: How many images were changed in which way, for example {"transparency on black": 3}.
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Tensor: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def image_shape(self) -> tuple[int, int, int]: ...
    @property
    def digest(self) -> str: ...
    @property
    def skipped(self) -> tuple[Skipped, ...]: ...
    @property
    def not_considered(self) -> tuple[str, ...]: ...
    @property
    def note(self) -> str: ...
    @property
    def conversions(self) -> Mapping[str, int]: ...

    def __len__(self) -> int: ...

    def pixels(self, rows: slice) -> Tensor:
        """uint8 (n, C, H, W) of these images."""

    def name_of(self, index: int) -> str:
        """The name of one image: its path in the set, or its number."""

    def take(self, index: Tensor) -> Images:
        """The images at these positions, in this order."""

    def with_labels(self, labels: Tensor, class_names: tuple[str, ...]) -> Images:
        """The same images under other labels, int64 (N,) or (N, K)."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A set of images in memory, with one class each.

    Args:
        name: Where they come from, for reports.
        images: uint8, shape (N, C, H, W), 0 to 255. Divide by 255 for the [0, 1] that models take.
        labels: int64, shape (N,), in [0, number of classes), or `UNKNOWN` (−1); or (N, K) of 0 and 1, where
            an image may have several.
        class_names: One name per class.
        skipped: What was left out of the set.
        conversions: What was done to its images: all of them, so that each count is N.
        positions: int64 (N,); where each image was in the set that this one was taken from.

    Raises:
        DataError: The parts do not fit together.

    Example:
        >>> two = LabelledImages("two", torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
        ...                      torch.tensor([0, 1]), ("a", "b"))
        >>> len(two), two.size_px, two.digest[:8]
        (2, (3, 3), 'f2ea3058')
        >>> two.take(torch.tensor([1])).name_of(0)
        'two[1]'
    """

    name: str
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    conversions: Mapping[str, int] = field(default_factory=dict)
    positions: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                "uint8 images of shape (N, C, H, W)",
                f"{self.images.dtype} of shape {tuple(self.images.shape)}",
            )
        if self.labels.ndim == 2:
            check_label_sets(self.labels, len(self.images), self.class_names)
            return
        if self.labels.shape != (len(self.images),):
            raise DataError(
                f"one label for each of the {len(self.images)} images",
                f"labels of shape {tuple(self.labels.shape)}",
            )
        if len(self.labels) and not (
            int(self.labels.min()) >= UNKNOWN and int(self.labels.max()) < len(self.class_names)
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

    @property
    def not_considered(self) -> tuple[str, ...]:
        """Nothing: an array is used as a whole."""
        return ()

    @property
    def note(self) -> str:
        """Nothing: labels come with an array, or there are none."""
        return ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shape, pixels, labels and class names."""
        header = f"{tuple(self.images.shape)}{self.class_names}".encode()
        arrays = (part.contiguous().numpy() for part in (self.images, self.labels))
        return digest_of_bytes([header, *(array.tobytes() for array in arrays)])

    def take(self, index: Tensor) -> LabelledImages:
        """The images at these positions, in this order."""
        positions = torch.arange(len(self)) if self.positions is None else self.positions
        images = self.images[index]
        return replace(
            self,
            images=images,
            labels=self.labels[index],
            conversions=dict.fromkeys(self.conversions, len(images)),
            positions=positions[index],
        )

    def with_labels(self, labels: Tensor, class_names: tuple[str, ...]) -> LabelledImages:
        """The same images under other labels, int64 (N,)."""
        return replace(self, labels=labels, class_names=class_names)

    def pixels(self, rows: slice) -> Tensor:
        """uint8 (n, C, H, W) of these images."""
        return self.images[rows]

    def name_of(self, index: int) -> str:
        """The number of an image in the set that it comes from, as text."""
        position = index if self.positions is None else int(self.positions[index])
        return f"{self.name}[{position}]"

    def head(self, n_images: int | None) -> LabelledImages:
        """The first `n_images`, or all for None."""
        return self if n_images is None else self.take(torch.arange(min(n_images, len(self))))

    def split(self, fraction: float, *, seed: int) -> tuple[LabelledImages, LabelledImages]:
        """Two parts at random: all but `fraction` of the images, and that fraction."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
        order = torch.randperm(len(self), generator=generator)
        n_second = round(fraction * len(self))
        return self.take(order[n_second:]), self.take(order[:n_second])
