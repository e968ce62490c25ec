"""Collections that can only be gone through from the beginning: loaders, streams.

They are gone through twice. The first pass counts and takes digests; the second one keeps what is used, as
bytes, and compares. So a loader that shuffles, or draws its images at random, is noticed, and a random
part of one can be drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from shiftproof._digest import derive_seed
from shiftproof.data._arrays import CHANNELS, as_numpy
from shiftproof.data._check import Original
from shiftproof.data._elements import Element, Kind, is_array, pixels_of, split_element
from shiftproof.data._frame import Frame
from shiftproof.data._framed import FramedImages
from shiftproof.data._items import digest_of_pixels
from shiftproof.data._label_sets import several_labels
from shiftproof.data._labels import Label, label_of, labels_of, numbered
from shiftproof.data._reading import Reading
from shiftproof.data._samples import Bytes, UnusableImage
from shiftproof.errors import DataError, ShiftproofError

# Of all images that are kept: as much as of an .npz file.
MAX_BYTES = 4 * 1024**3
# What has no end is noticed; ImageNet has 1.3 million.
MAX_IMAGES = 2_000_000
BATCH_AXES = 4
# What torch writes before the traceback in the message of an error of a worker.
ITS_TRACEBACK = "Original Traceback"


@dataclass(frozen=True, slots=True)
class Held(Original):
    """An image that is held in memory, of the shape that is wanted."""

    pixels: Bytes
    sha256: str

    @property
    def key(self) -> str:
        """The content; its name is only a number."""
        return self.sha256

    def framed(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The pixels."""
        return self.pixels


class _Seen(NamedTuple):
    """An image of a pass."""

    pixels: Bytes
    changes: tuple[str, ...]
    label: Label
    sha256: str


@dataclass(frozen=True, slots=True)
class Passes:
    """A collection that is gone through from the beginning, in batches or image by image.

    Args:
        collection: Has `__iter__`.
        kind: What is known of it.
        reading: How its images are read.
        frame: What images of Pillow are brought to; None: they must have one size.
    """

    collection: Iterable[Any]
    kind: Kind
    reading: Reading
    frame: Frame | None

    def load(self, limit: int | None, seed: int) -> FramedImages:
        """All images, or so many at random, in random order.

        Raises:
            DataError: No images, too many of them, of several shapes, labels that do not fit, or two passes
                that differ.
        """
        digests: list[str] = []
        labels: list[Label] = []
        shape: tuple[int, int, int] | None = None
        for seen in self._pass():
            shape = _same_shape(shape, seen, self._where(len(digests)))
            digests.append(seen.sha256)
            labels.append(seen.label)
            self._check_memory(len(digests), seen.pixels.nbytes, limit)
        if shape is None:
            raise DataError("at least one image", f"none in {self.kind.name}")
        numbers, class_names = numbered(labels, self.kind.class_names, self.kind.name)
        rows = _drawn(len(digests), limit, seed)
        kept = self._kept(digests, set(rows))
        frame = Frame(shape) if self.frame is None or self.frame.scene_shape != shape else self.frame
        return FramedImages(
            self.kind.name,
            tuple(kept[row] for row in rows),
            numbers[torch.tensor(rows)],
            class_names,
            frame,
        )

    def _kept(self, digests: list[str], wanted: set[int]) -> dict[int, Original]:
        kept: dict[int, Original] = {}
        row = -1
        for row, seen in enumerate(self._pass()):
            if row >= len(digests) or seen.sha256 != digests[row]:
                raise self._differ(row, seen.sha256 in set(digests))
            if row in wanted:
                # A copy: a loader may write its next batch into the same memory.
                kept[row] = Held(self._where(row), seen.changes, seen.pixels.copy(), seen.sha256)
        if row + 1 < len(digests):
            raise self._differ(row + 1, known=False, ended=True)
        return kept

    def _pass(self) -> Iterator[_Seen]:
        n_seen = 0
        for element in self._elements():
            where = self._where(n_seen)
            found = split_element(element, self.kind, where)
            if self._goes_one_by_one:
                pairs = iter([(found.image, label_of(found.label, where))])
            else:
                pairs = _images_of(found, where, surely_batch=isinstance(self.collection, DataLoader))
            for image, label in pairs:
                yield self._seen(image, label, self._where(n_seen))
                n_seen += 1

    @property
    def _goes_one_by_one(self) -> bool:
        """Whether it is a loader that puts no batches together; what else there is shows in its elements."""
        loader = self.collection
        return isinstance(loader, DataLoader) and loader.batch_size is None and loader.batch_sampler is None

    def _where(self, row: int) -> str:
        return f"{self.kind.name}[{row}]"

    def _elements(self) -> Iterator[Any]:
        try:
            yield from self.collection
        except ShiftproofError:
            raise
        except (Exception, SystemExit) as error:  # the code of others may raise anything
            said = f"{type(error).__name__}: {error}"
            if ITS_TRACEBACK in said:
                # Its last line is the error.
                said = said.rstrip().rpartition("\n")[2]
            raise DataError.cannot(f"go through {self.kind.name}", said) from error

    def _seen(self, image: Any, label: Label, where: str) -> _Seen:
        try:
            pixels, changes = pixels_of(image, self.kind, self.reading, where)
        except UnusableImage as error:
            raise DataError.cannot(f"read {where} as an image", error) from error
        if isinstance(pixels, Image.Image):
            size_px, n_channels = (pixels.height, pixels.width), len(pixels.getbands())
            frame = self.frame or Frame((n_channels, *size_px))
            changes = (*changes, *frame.changes(n_channels, size_px))
            pixels = np.array(frame.apply(pixels))
        return _Seen(pixels, changes, label, digest_of_pixels(pixels))

    def _check_memory(self, n_seen: int, n_bytes: int, limit: int | None) -> None:
        if min(n_seen, limit or n_seen) * n_bytes > MAX_BYTES:
            raise DataError(
                f"images of {self.kind.name} that need at most {MAX_BYTES:,} bytes together",
                f"more, after {n_seen:,}",
                cause="What can only be gone through is held in memory.",
                fix="Pass the dataset itself, which is read image by image, or a `limit`.",
            )
        if n_seen > MAX_IMAGES:
            raise DataError(
                f"at most {MAX_IMAGES:,} images in {self.kind.name}", "more", cause="It may have no end."
            )

    def _differ(self, row: int, known: bool, *, ended: bool = False) -> DataError:
        if ended and row == 0:
            cause, fix = (
                "It can be gone through once only.",
                "Pass what makes it, or a list of what is in it.",
            )
        elif known:
            cause, fix = (
                "It shuffles.",
                "Pass it with `shuffle=False`: a `limit` draws at random by the seed.",
            )
        else:
            cause = "Its images are drawn or changed at random."
            fix = "Leave random transforms and sampling out: images are measured as they are."
        return DataError(
            f"two passes through {self.kind.name} to give the same images",
            f"{'no more images' if ended else 'another image'} at {self._where(row)}",
            cause=cause,
            fix=fix,
        )


def _images_of(element: Element, where: str, *, surely_batch: bool) -> Iterator[tuple[Any, Label]]:
    """Each image of a batch with its label, or the one of an element."""
    image, label = element
    if not is_array(image):
        yield image, label_of(label, where)
        return
    array = as_numpy(image, where)
    labels = label.detach().cpu().numpy() if isinstance(label, Tensor) else label
    grey = array.ndim == BATCH_AXES - 1 and np.ndim(labels) == 1 and len(labels) == len(array)
    may_be_one = grey and not surely_batch and len(array) in CHANNELS and len(array) > 1
    if may_be_one and several_labels(labels) is not None:
        raise DataError(
            f"an image or a batch at {where}",
            f"an array of shape {array.shape} with {len(array)} numbers of 0 and 1",
            cause="It could be one image with several labels, or several grey ones.",
            fix="Let images have an axis for their channels, (N, 1, H, W).",
        )
    if array.ndim != BATCH_AXES and not grey:
        yield array, label_of(label, where)
        return
    labels = _by_image(labels, len(array), where)
    several = [label_of(None, where)] * len(array) if labels is None else labels_of(labels, len(array), where)
    yield from zip(array, several, strict=True)


def _by_image(labels: Any, n_images: int, where: str) -> Any:
    """Labels of a batch with a row for each image, where torch has put lists together by their places."""
    if not isinstance(labels, list | tuple) or not labels or not all(isinstance(x, Tensor) for x in labels):
        return labels
    if not all(len(x.shape) == 1 and len(x) == n_images for x in labels):
        return labels
    if len(labels) == n_images:
        raise DataError(
            f"labels with a row for each image of a batch at {where}",
            f"a list of {n_images} tensors with {n_images} numbers each",
            cause="They can be rows, or columns as torch puts lists of numbers together.",
            fix="Let the dataset give its labels as a tensor, not as a list.",
        )
    return torch.stack(list(labels), 1).numpy()


def _same_shape(shape: tuple[int, int, int] | None, seen: _Seen, where: str) -> tuple[int, int, int]:
    n_channels, height, width = seen.pixels.shape
    found = (n_channels, height, width)
    if shape is not None and found != shape:
        raise DataError(
            f"images of one shape, {shape} as the first",
            f"{found} at {where}",
            fix="Bring them to one size before, in the transform.",
        )
    return found


def _drawn(n: int, limit: int | None, seed: int) -> list[int]:
    if limit is None or limit >= n:
        return list(range(n))
    generator = torch.Generator().manual_seed(derive_seed(seed, "limit"))
    rows: list[int] = torch.randperm(n, generator=generator)[:limit].tolist()
    return rows
