"""Every file that will be used is decoded once before: what cannot be used is known at the start."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from shiftproof.data._decode import decode
from shiftproof.data._frame import Frame
from shiftproof.data._images import Skipped
from shiftproof.data._labels import Label
from shiftproof.data._locations import Location
from shiftproof.data._samples import UnusableImage, Window, window_change
from shiftproof.data._side_by_side import side_by_side
from shiftproof.errors import DataError

N_SHOWN = 5
C = TypeVar("C")


class Entry(NamedTuple):
    """A file that claims to be an image: its name in the set, where it is, and its label."""

    name: str
    place: Location
    label: int


@dataclass(frozen=True, slots=True)
class Original(ABC):
    """One image before it is framed.

    Args:
        name: Its name in the set.
        changes: What decoding and framing do to it, in words.
    """

    name: str
    changes: tuple[str, ...]

    @property
    @abstractmethod
    def key(self) -> str:
        """What makes it this image: a digest of its content, and the name where that is its own."""

    @abstractmethod
    def framed(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """uint8 of the scene's shape, (C, H + 2·my, W + 2·mx)."""


@dataclass(frozen=True, slots=True)
class ImageFile(Original):
    """A file that was decoded once, to be decoded again when it is needed.

    Args:
        place: Where it is.
        sha256: Of its bytes, as 64 hex digits.
        window: What is black and what is white in it.
    """

    place: Location
    sha256: str
    window: Window | None

    @property
    def key(self) -> str:
        """Content and name, and the window where it was used."""
        used = self.window is not None and window_change(self.window) in self.changes
        return f"{self.sha256} {self.name}{f' {self.window}' if used else ''}"

    def framed(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The file, decoded now."""
        return frame.apply(self.read())

    def read(self) -> Image.Image:
        """The image, of mode L or RGB.

        Raises:
            DataError: The file is not any more what it was when it was checked.
        """
        try:
            content = self.place.content()
            if hashlib.sha256(content).hexdigest() != self.sha256:
                raise UnusableImage("other content")
            return decode(content, self.window).image
        except UnusableImage as error:
            raise DataError.cannot(
                f"read the image {self.name!r} as it was when it was checked",
                error,
                cause="It was changed while it was in use.",
                fix="Run again, and leave the images alone meanwhile.",
            ) from error


class Checked(NamedTuple):
    """An image that can be used: its label, (height, width), and channels, 1 or 3.

    `as_it_is`: an array, which is not framed, and may have more channels.
    """

    original: Original
    label: Label
    size_px: tuple[int, int]
    n_channels: int
    as_it_is: bool = False


def check_all(
    candidates: Sequence[C],
    check: Callable[[C], Checked | Skipped],
    *,
    n_wanted: int,
    max_bad: float,
    each: Callable[[Callable[[C], Any], Sequence[C]], list[Any]] = side_by_side,
) -> tuple[list[Checked], list[Skipped]]:
    """Decode images in their order until there are as many good ones as wanted, or no more.

    Args:
        candidates: What may be images.
        check: Decodes one.
        n_wanted: How many are enough.
        max_bad: The share of unusable ones, of those decoded, that is tolerated.
        each: Does it for many.

    Raises:
        DataError: More unusable ones than that, or no usable one.
    """
    good: list[Checked] = []
    bad: list[Skipped] = []
    rest = iter(candidates)
    while len(good) < n_wanted and (batch := list(islice(rest, n_wanted - len(good)))):
        for result in each(check, batch):
            if isinstance(result, Skipped):
                bad.append(result)
            else:
                good.append(result)
        _refuse_too_many(bad, len(good) + len(bad), max_bad)
    return good, bad


def check_file(entry: Entry, *, frame: Frame | None, window: Window | None) -> Checked | Skipped:
    """Decode a file that claims to be an image.

    Args:
        entry: The file.
        frame: What it will be brought to; None where that is not known yet.
        window: What is black and what is white in it.

    Raises:
        OptionError: It is too small for the scene once it is resized.
    """
    try:
        content = entry.place.content()
        image, changes = decode(content, window)
        size_px, n_channels = (image.height, image.width), len(image.getbands())
        if frame is not None and frame.is_too_large(size_px):
            raise UnusableImage(f"{size_px[0]} × {size_px[1]} px: too long and thin to be resized")
    except UnusableImage as error:
        return Skipped(entry.name, str(error))
    sha256 = hashlib.sha256(content).hexdigest()
    file = ImageFile(entry.name, changes, entry.place, sha256, window)
    return Checked(file, entry.label, size_px, n_channels)


def _refuse_too_many(bad: list[Skipped], n_checked: int, max_bad: float) -> None:
    if len(bad) == n_checked:
        raise DataError("at least one usable image", f"none ({_first(bad)})")
    if len(bad) > max_bad * n_checked:
        share = math.ceil(100 * len(bad) / n_checked) / 100
        raise DataError(
            f"at most {100 * max_bad:g} % of {n_checked:,} files to be unusable",
            f"{len(bad):,}: {_first(bad)}",
            fix=f"Repair or remove them, or do without them: --max-bad {share:g}.",
        )


def _first(bad: list[Skipped]) -> str:
    shown = "; ".join(f"{name!r}: {reason}" for name, reason in bad[:N_SHOWN])
    return f"{shown}; and {len(bad) - N_SHOWN:,} more" if len(bad) > N_SHOWN else shown
