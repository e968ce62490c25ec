"""Collections that can be asked for any element at any time: datasets, and lists of images.

They are treated like folders: each image is decoded once to be checked, and again when it is needed, so that
memory does not grow with their number. What answers differently the second time is noticed.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from shiftproof.data._check import Checked, Original
from shiftproof.data._elements import Kind, Pixels, pixels_of, split_element
from shiftproof.data._frame import Frame
from shiftproof.data._images import Skipped
from shiftproof.data._labels import Label, label_of
from shiftproof.data._reading import Reading
from shiftproof.data._samples import Bytes, UnusableImage
from shiftproof.errors import DataError, ShiftproofError


class Found(NamedTuple):
    """An element as it is needed."""

    pixels: Pixels
    label: Label


@dataclass(frozen=True, eq=False)
class Items:
    """A collection with a length, whose elements are found by number.

    Args:
        collection: Has `__getitem__` and `__len__`.
        kind: What is known of it.
        reading: How its images are read.
        labels: Of its elements, where these are images alone.
    """

    collection: Any
    kind: Kind
    reading: Reading
    labels: list[Label] | None = None
    # Nobody promised that a collection may be asked by several threads.
    lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, with a lock of its own."""
        return Items, (self.collection, self.kind, self.reading, self.labels)

    def __len__(self) -> int:
        return len(self.collection)

    def name_of(self, index: int) -> str:
        """How an element is called, in reports and messages."""
        return f"{self.kind.name}[{index}]"

    def find(self, index: int) -> Found:
        """An element.

        Raises:
            DataError: It is of a kind that no other would be usable of either.
            UnusableImage: This one cannot be used.
        """
        where = self.name_of(index)
        with self.lock:
            try:
                element = split_element(self.collection[index], self.kind, where)
            except ShiftproofError:
                raise
            except (Exception, SystemExit) as error:  # the code of others may raise anything
                raise UnusableImage(f"its collection raised {type(error).__name__}: {error}") from error
            # Under the lock, because an image of Pillow may be in a file that is only read now.
            pixels = pixels_of(element.image, self.kind, self.reading, where)
        label = label_of(element.label, where) if self.labels is None else self.labels[index]
        return Found(pixels, label)


@dataclass(frozen=True, slots=True)
class Item(Original):
    """An element of a collection that was found once, to be found again when it is needed.

    Args:
        items: The collection.
        index: Its number.
        sha256: Of its pixels, as 64 hex digits.
    """

    items: Items
    index: int
    sha256: str

    @property
    def key(self) -> str:
        """The content; its name is only a number."""
        return self.sha256

    def framed(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The element, found now; an array as it is.

        Raises:
            DataError: It is another one than when it was checked.
        """
        try:
            image = self.items.find(self.index).pixels.image
            if digest_of_pixels(image) != self.sha256:
                raise UnusableImage("another image")
        except UnusableImage as error:
            raise DataError.cannot(
                f"read the image {self.name} as it was when it was checked",
                error,
                cause="Its collection answers differently each time, as random transforms do.",
                fix="Leave these out: images are measured as they are.",
            ) from error
        return frame.apply(image) if isinstance(image, Image.Image) else image


def check_item(index: int, *, items: Items, frame: Frame | None) -> Checked | Skipped:
    """Find an element, to know that it can be used; see `check_file`."""
    name = items.name_of(index)
    try:
        pixels, label = items.find(index)
        if not isinstance(pixels.image, Image.Image):
            n_channels, height, width = pixels.image.shape
            item = Item(name, pixels.changes, items, index, digest_of_pixels(pixels.image))
            return Checked(item, label, (height, width), n_channels, as_it_is=True)
        size_px, n_channels = (pixels.image.height, pixels.image.width), len(pixels.image.getbands())
        if frame is not None and frame.is_too_large(size_px):
            raise UnusableImage(f"{size_px[0]} × {size_px[1]} px: too long and thin to be resized")
    except UnusableImage as error:
        return Skipped(name, str(error))
    item = Item(name, pixels.changes, items, index, digest_of_pixels(pixels.image))
    return Checked(item, label, size_px, n_channels)


def digest_of_pixels(image: Image.Image | Bytes) -> str:
    """SHA-256 of the shape and the pixels of an image.

    Example:
        >>> digest_of_pixels(Image.new("L", (2, 1))) == digest_of_pixels(np.zeros((1, 1, 2), np.uint8))
        True
    """
    pixels = np.asarray(image)
    if isinstance(image, Image.Image):
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
