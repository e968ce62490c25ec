"""What is learned after an edit: from labels, or from what the original answers to shifts of an image."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from torch import Tensor

from shiftproof._digest import Json, derive_seed
from shiftproof.adapters import Classifier
from shiftproof.data import UNKNOWN, Decoders, Images, read_ahead
from shiftproof.edits import averaged
from shiftproof.errors import DataError, OptionError
from shiftproof.shifts import Border, ShiftProtocol, translate

# A probability that is 0 has no logarithm.
LEAST = 1e-12


@dataclass(frozen=True)
class Lesson:
    """How an edited network is trained.

    Args:
        epochs: Passes over the images.
        batch_size: Images a step.
        learning_rate: Highest one; it rises over the first tenth and falls to zero as a cosine.
        weight_decay: Of AdamW.
        consistency: Weight of the divergence between the answers to an image and to its shift; 0 for none.
        radius_px: The original is asked about all whole shifts up to this; without labels.
        decoders: Processes that decode image files ahead; 0 to decode here.
        seed: Of the order and the shifts.

    Raises:
        OptionError: A number out of its range.
    """

    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    consistency: float = 0.0
    radius_px: int = 1
    decoders: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("radius_px", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"`{name}` of at least {least}", getattr(self, name))
        Decoders(self.decoders)  # checks the number
        for name in ("learning_rate", "weight_decay", "consistency"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"a finite `{name}` of at least 0", getattr(self, name))

    def identity(self) -> dict[str, Json]:
        """What must be the same for a training to go on."""
        return {name: value for name, value in asdict(self).items() if name != "decoders"}


class Teaching:
    """Images, what is right for each of them, and how they are shifted: shared by all candidates.

    Args:
        images: To learn from.
        original: Without labels, what it answers to shifts of an image is right.
        labelled: Whether the labels are used.
        protocol: Law and border of the shifts; for a `scene` the border is the edge.
        lesson: How.
        device: Where to compute.

    Raises:
        DataError: Labels are asked for, and fewer than two classes have images.
    """

    def __init__(
        self,
        images: Images,
        original: Classifier,
        labelled: bool,
        protocol: ShiftProtocol,
        lesson: Lesson,
        device: torch.device,
    ) -> None:
        self.images, self.lesson, self.device, self.protocol = images, lesson, device, protocol
        self.original, self.labelled = original, labelled
        self._decoders = Decoders(lesson.decoders)
        n_known = len(set(images.labels[images.labels != UNKNOWN].tolist()))
        if labelled and n_known < 2:
            raise DataError(
                "images of at least two classes to train with labels",
                f"images of {n_known}",
                fix="Train without: --unlabelled.",
            )
        if len(images) < lesson.batch_size:
            raise DataError(f"at least {lesson.batch_size} images to train on", len(images))
        self.targets = images.labels if labelled else self._answers()

    def at(self, device: torch.device, original: Classifier) -> Teaching:
        """The same lessons on another device, or in another process, with the original that is there."""
        other = copy.copy(self)
        other.device, other.original = device, original
        other._decoders = Decoders(self.lesson.decoders)
        return other

    @torch.inference_mode()
    def _answers(self) -> Tensor:
        """Logarithms of the original's probabilities, averaged over shifts: (N, K)."""
        reach = range(-self.lesson.radius_px, self.lesson.radius_px + 1)
        offsets = tuple((dy, dx) for dy in reach for dx in reach)
        rows = torch.arange(len(self.images)).tensor_split(-(-len(self.images) // 256))
        parts = [
            averaged(self.asked, pixels.to(self.device).float() / 255, offsets, "edge", "probabilities").cpu()
            for pixels in self._pixels(rows)
        ]
        return torch.cat(parts)

    def asked(self, images: Tensor) -> Tensor:
        """Logits of the original."""
        return self.logits(self.original(images))

    def logits(self, answer: Tensor) -> Tensor:
        """Logits of what the original, or an edited network, answers; a softmax may be part of it."""
        return answer.clamp_min(LEAST).log() if self.original.outputs == "probabilities" else answer

    @property
    def steps_per_epoch(self) -> int:
        """The last images of an epoch that fill no batch are left out; every epoch leaves out others."""
        return len(self.images) // self.lesson.batch_size

    @property
    def n_steps(self) -> int:
        """In all epochs."""
        return self.steps_per_epoch * self.lesson.epochs

    def batches(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images in [0, 1], their shifts, and what is right, for the steps from `first` to before `last`."""
        rows = [self._rows(step) for step in range(first, last)]
        border: Border = "edge" if self.protocol.border == "scene" else self.protocol.border
        for step, row, pixels in zip(range(first, last), rows, self._pixels(rows), strict=True):
            images = pixels.to(self.device, non_blocking=True).float() / 255
            generator = torch.Generator().manual_seed(derive_seed(self.lesson.seed, "shifts", step))
            offsets = self.protocol.law.draw(len(row), (images.shape[2], images.shape[3]), generator)
            shifted = translate(
                images,
                _one_each(offsets, len(row), generator),
                border=border,
                interpolation=self.protocol.interpolation,
            )
            yield images, shifted, self.targets[row].to(self.device)

    def _pixels(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """uint8 images of each batch; with decoders, the next one is decoded meanwhile."""
        if not self._decoders:
            yield from (self.images.take(row).pixels(slice(0, len(row))) for row in rows)
            return
        in_order = read_ahead(self.images.take(torch.cat(list(rows))), self._decoders)
        start = 0
        for row in rows:
            yield in_order.pixels(slice(start, start + len(row)))
            start += len(row)

    def _rows(self, step: int) -> Tensor:
        """Which images a step is about: int64 (batch_size,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        size = self.lesson.batch_size
        return _order(len(self.images), self.lesson.seed, epoch)[place * size : (place + 1) * size]


@lru_cache(maxsize=2)
def _order(n_images: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(
        n_images, generator=torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    )


def _one_each(offsets: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """One of the shifts for each image: (N, 2)."""
    which = torch.randint(offsets.shape[-2], (n,), generator=generator)
    return offsets[which] if offsets.ndim == 2 else offsets[torch.arange(n), which]
