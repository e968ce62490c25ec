"""Images that are decoded and framed when asked for: memory does not grow with their number."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from shiftproof._digest import canonical_json, digest_of_bytes
from shiftproof.data._check import Original
from shiftproof.data._decode import plain
from shiftproof.data._decoders import Decoders
from shiftproof.data._frame import Frame
from shiftproof.data._images import UNKNOWN, Images, LabelledImages, Skipped
from shiftproof.data._side_by_side import side_by_side

RGBA = 4


@dataclass(frozen=True, eq=False)
class FramedImages:
    """A set of images that are brought to one shape one by one; see `Images`.

    Args:
        name: Where they come from, for reports.
        originals: The images as they are.
        labels: int64 (N,), in [0, number of classes), or −1.
        class_names: One name per class.
        frame: The shape, and the way to it.
        skipped: Files that were left out.
        not_considered: Files that do not claim to be images.
        note: What a reader has to know of where labels come from.
        decoders: Processes that decode files, also the next ones; by default threads do, when asked.
    """

    name: str
    originals: tuple[Original, ...]
    labels: Tensor
    class_names: tuple[str, ...]
    frame: Frame
    skipped: tuple[Skipped, ...] = ()
    not_considered: tuple[str, ...] = ()
    note: str = ""
    decoders: Decoders | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.originals)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W), the margin included."""
        return self.frame.scene_shape

    @property
    def conversions(self) -> Mapping[str, int]:
        """How many images were changed in which way."""
        return dict(sorted(Counter(change for one in self.originals for change in one.changes).items()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over contents, names and labels in their order, class names, and the frame."""
        header = canonical_json([asdict(self.frame), self.class_names])
        rows = zip(self.originals, self.labels.tolist(), strict=True)
        lines = (canonical_json([one.key, label]) for one, label in rows)
        return digest_of_bytes(f"{line}\n".encode() for line in (header, *lines))

    def pixels(self, rows: slice) -> Tensor:
        """uint8 (n, C, H, W) of these images, decoded now.

        Raises:
            DataError: An image is not any more what it was when it was checked.
        """
        chosen = range(len(self))[rows]
        pixels = np.empty((len(chosen), *self.image_shape), dtype=np.uint8)

        def fill(place: int) -> None:
            pixels[place] = self.originals[chosen[place]].framed(self.frame)

        if self.decoders:
            wanted = [self.originals[row] for row in chosen]
            ahead = self.originals[chosen.stop : chosen.stop + len(chosen)]
            for place, image in enumerate(self.decoders.read(wanted, ahead, self.frame)):
                pixels[place] = image
        else:
            side_by_side(fill, range(len(chosen)))
        return torch.from_numpy(pixels)

    def name_of(self, index: int) -> str:
        """The path of an image in the set, or its number."""
        return self.originals[index].name

    def take(self, index: Tensor) -> FramedImages:
        """The images at these positions, in this order."""
        rows = torch.arange(len(self))[index].tolist()
        return replace(self, originals=tuple(self.originals[row] for row in rows), labels=self.labels[index])

    def with_labels(self, labels: Tensor, class_names: tuple[str, ...]) -> FramedImages:
        """The same images under other labels, int64 (N,)."""
        return replace(self, labels=labels, class_names=class_names)


def read_ahead(images: Images, decoders: Decoders) -> Images:
    """The same images; where they are files, `decoders` decode them, and the next ones ahead of time.

    For images that are read in order: each time as many are decoded ahead as were asked for.
    """
    if not (decoders and isinstance(images, FramedImages)):
        return images
    return replace(images, decoders=decoders)


def without_found_labels(images: Images, why: str) -> Images | None:
    """Images without labels that were only found in a table beside them; None where they have no such labels.

    Args:
        images: Of any kind.
        why: What is wrong with these labels, for a report.
    """
    if not isinstance(images, FramedImages) or not images.note or not images.class_names:
        return None
    unknown = torch.full((len(images),), UNKNOWN)
    return replace(images, labels=unknown, class_names=(), note=f"no {images.note}, which do not fit ({why})")


@dataclass(frozen=True, slots=True)
class ArrayRow(Original):
    """One image of an array, uint8 (C, H, W) with 1, 3 (RGB) or 4 (RGBA) channels."""

    array: npt.NDArray[np.uint8]

    @property
    def key(self) -> str:
        """A digest of shape and pixels; its name is only a number."""
        content = f"{self.array.shape}".encode() + np.ascontiguousarray(self.array).tobytes()
        return hashlib.sha256(content).hexdigest()

    def framed(self, frame: Frame) -> npt.NDArray[np.uint8]:
        """The image, on black where it is transparent."""
        pixels = self.array[0] if len(self.array) == 1 else self.array.transpose(1, 2, 0)
        return frame.apply(plain(Image.fromarray(np.ascontiguousarray(pixels))).image)


def framed(images: LabelledImages, frame: Frame) -> FramedImages:
    """Images in memory, framed like those in files.

    Raises:
        DataError: They have a number of channels that is no kind of image.
        OptionError: The scene does not fit.
    """
    shape = images.image_shape
    n_channels = 1 if shape[0] == 1 else 3
    on_black = ("transparency on black",) if shape[0] == RGBA else ()
    changes = (*images.conversions, *on_black, *frame.changes(n_channels, images.size_px))
    arrays = images.images.numpy()
    rows = (ArrayRow(images.name_of(row), changes, arrays[row]) for row in range(len(images)))
    return FramedImages(images.name, tuple(rows), images.labels, images.class_names, frame)
