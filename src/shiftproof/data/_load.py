"""A reference to a set of images of one shape: the entrance to everything beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from shiftproof._digest import derive_seed
from shiftproof.data._check import Checked, Entry, check_files
from shiftproof.data._folder import list_folder
from shiftproof.data._frame import CROP, Fit, Frame, Resampling, check_options
from shiftproof.data._framed import FramedImages, framed
from shiftproof.data._images import UNKNOWN, Images, LabelledImages, Skipped
from shiftproof.data._listing import Listing, as_text, claims_to_be_image
from shiftproof.data._manifest import list_manifest
from shiftproof.data._npz import load_npz
from shiftproof.data._sources import data_sources, load_data
from shiftproof.errors import DataError, OptionError

N_SHOWN = 5

# Of the files looked at, so many may be unusable.
MAX_BAD = 0.01


def load_images(
    reference: str,
    *,
    image_shape: tuple[int, int, int] | None,
    resize_px: int | None = None,
    resampling: Resampling = "bilinear",
    fit: Fit = CROP,
    margin_px: tuple[int, int] = (0, 0),
    limit: int | None = None,
    seed: int = 0,
    max_bad: float = MAX_BAD,
    class_names: tuple[str, ...] | None = None,
) -> Images:
    """Load images to measure on, of the shape that a model takes.

    Arrays that already have the shape come as `LabelledImages`, untouched. All else is decoded and
    framed when its pixels are asked for; files are decoded once before, to know that they can be used.

    Args:
        reference: `demo:mnist`, `mnist` or `idx:FOLDER` (their test split), a folder with one sub-folder
            for each class or with images without labels, `FILE.csv`, `FILE.npz`, or one image file.
        image_shape: (C, H, W) that the model takes. None: that of the images, if they have one size.
        resize_px: Length of the short side before the centre is cut out; None: just enough for the cut,
            and nothing at all for an image that has its size.
        resampling: How pixels are weighed when resizing.
        fit: What becomes of an image of other proportions.
        margin_px: (my, mx); the images come with this many more pixels on either side, (C, H + 2·my,
            W + 2·mx), to be shifted without a border.
        limit: A random subset of this many, in random order; None or enough: all, in the source's order.
        seed: For the subset.
        max_bad: The share of unusable files, of those looked at, that is put up with; 0 to 1.
        class_names: Names of classes that the source only numbers.

    Returns:
        At least one image; what was skipped and converted is counted.

    Raises:
        OptionError: `resize_px` is too small for the margin, or another argument makes no sense.
        DataError: No such source, no usable image, too many unusable ones, images of several sizes
            without `image_shape`, or a label without a name.

    Example:
        >>> digits = load_images("demo:mnist", image_shape=(3, 32, 32), limit=2)
        >>> digits.pixels(slice(0, 2)).shape, digits.conversions
        (torch.Size([2, 3, 32, 32]), {'enlarged': 2, 'grey repeated to RGB': 2})
    """
    check_options(image_shape, margin_px, resize_px, resampling)
    if limit is not None and limit < 1:
        raise OptionError("a limit of at least 1 image", limit)
    if not 0 <= max_bad <= 1:
        raise OptionError("a share of unusable files from 0 to 1", max_bad)
    frame = Frame(image_shape, margin_px, resize_px, resampling, fit) if image_shape else None

    def frame_for(shape: tuple[int, int, int]) -> Frame:
        return frame or Frame(shape, margin_px, resize_px, resampling, fit)

    source = _open(reference)
    if isinstance(source, LabelledImages):
        chosen = (
            source if limit is None or limit >= len(source) else source.take(_draw(len(source), limit, seed))
        )
        images: LabelledImages | FramedImages = _fit(chosen, frame_for(chosen.image_shape))
    else:
        checked, skipped = _check(source, frame, limit, seed, max_bad)
        images = _collect(source, checked, skipped, frame or frame_for(_common_shape(checked)))
    return images if class_names is None else _named(images, class_names)


def _open(reference: str) -> LabelledImages | Listing:
    scheme, _, _ = reference.partition(":")
    if scheme in data_sources and data_sources.get(scheme).load is not None:
        return load_data(reference, "test")
    path = Path(reference).expanduser() if reference.startswith("~/") else Path(reference)
    if not _exists(path, reference):
        raise _unknown(reference, "Nothing has that name.")
    kind = path.suffix.lower()
    if path.is_dir():
        return list_folder(path)
    if kind == ".csv":
        return list_manifest(path)
    if kind == ".npz":
        return load_npz(path)
    if claims_to_be_image(path):
        # Who names a link means the file behind it.
        real, name = path.resolve(), as_text(path.name)
        return Listing(name, real.parent, (Entry(name, real, UNKNOWN),))
    raise _unknown(reference, "Its file type is not supported.")


def _exists(path: Path, reference: str) -> bool:
    try:
        return bool(reference) and path.exists()
    except OSError as error:
        raise _unknown(reference, f"It cannot be reached ({error.strerror}).") from error


def _unknown(reference: str, cause: str) -> DataError:
    possible = ", ".join(source.reference for source in data_sources)
    return DataError("images to measure on", repr(reference), cause=cause, fix=f"Possible: {possible}.")


def _draw(n: int, n_drawn: int, seed: int) -> Tensor:
    """A random subset in random order."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "limit"))
    return torch.randperm(n, generator=generator)[:n_drawn]


def _fit(images: LabelledImages, frame: Frame) -> LabelledImages | FramedImages:
    if images.image_shape == frame.scene_shape and frame.resized_px(images.size_px) == images.size_px:
        return images
    if frame.is_too_large(images.size_px):
        raise _too_thin(images.size_px)
    return framed(images, frame)


def _check(
    listing: Listing, frame: Frame | None, limit: int | None, seed: int, max_bad: float
) -> tuple[list[Checked], list[Skipped]]:
    n = len(listing.entries)
    entries: Sequence[Entry] = listing.entries
    if limit is not None and limit < n:
        # All in random order, not just the subset: a bad file is replaced by the next in line.
        entries = [entries[row] for row in _draw(n, n, seed).tolist()]
    return check_files(entries, listing.root, frame, n_wanted=min(limit or n, n), max_bad=max_bad)


def _common_shape(checked: Sequence[Checked]) -> tuple[int, int, int]:
    sizes = Counter(one.size_px for one in checked)
    if len(sizes) > 1:
        shown = ", ".join(f"{height} × {width}" for (height, width), _ in sizes.most_common(N_SHOWN))
        raise DataError(
            "images of one size, as no size is given",
            f"{len(sizes)} sizes: {shown}{', …' if len(sizes) > N_SHOWN else ''} px",
            fix="Say which size the model takes: --size.",
        )
    return max(one.n_channels for one in checked), *checked[0].size_px


def _collect(
    listing: Listing, checked: Sequence[Checked], skipped: Sequence[Skipped], frame: Frame
) -> FramedImages:
    size_px = checked[0].size_px
    if frame.is_too_large(size_px):
        raise _too_thin(size_px)
    files = (
        replace(file, changes=(*file.changes, *frame.changes(n_channels, size_px)))
        for file, _, size_px, n_channels in checked
    )
    return FramedImages(
        listing.name,
        tuple(files),
        _labels(listing, checked),
        listing.class_names,
        frame,
        tuple(sorted(skipped)),
        listing.not_considered,
    )


def _labels(listing: Listing, checked: Sequence[Checked]) -> Tensor:
    labels = torch.tensor([one.label for one in checked])
    return torch.tensor(listing.label_sets)[labels] if listing.label_sets else labels


def _too_thin(size_px: tuple[int, int]) -> DataError:
    return DataError("images that can be resized", f"{size_px[0]} × {size_px[1]} px: too long and thin")


def _named(
    images: LabelledImages | FramedImages, class_names: tuple[str, ...]
) -> LabelledImages | FramedImages:
    """Names instead of the numbers 0, 1, …; a source with names of its own keeps them."""
    if images.class_names != tuple(str(number) for number in range(len(images.class_names))):
        return images
    largest = len(images.class_names) - 1 if images.labels.ndim == 2 else int(images.labels.max())
    if largest >= len(class_names):
        raise DataError(
            f"a class name for each label up to {largest}",
            f"{len(class_names)} names",
            cause=f"The labels of {images.name!r} are numbers from 0.",
            fix="Pass as many with `--class-names FILE`.",
        )
    return images.with_labels(images.labels, class_names)
