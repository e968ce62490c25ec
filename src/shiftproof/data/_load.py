"""A reference to a set of images of one shape: the entrance to everything beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from shiftproof._address import Address, is_address, place
from shiftproof._digest import derive_seed
from shiftproof.data._check import Checked, Entry, Original, check_all, check_file
from shiftproof.data._collections import ImagesLike, Stream, open_collection
from shiftproof.data._decoders import Decoders
from shiftproof.data._elements import kind_of
from shiftproof.data._folder import list_folder
from shiftproof.data._frame import CROP, Fit, Frame, Resampling, check_options
from shiftproof.data._framed import FramedImages, framed
from shiftproof.data._images import UNKNOWN, Images, LabelledImages
from shiftproof.data._items import Items, check_item
from shiftproof.data._labels import numbered
from shiftproof.data._listing import Listing, as_text, claims_to_be_image
from shiftproof.data._locations import InFolder
from shiftproof.data._manifest import list_manifest
from shiftproof.data._npz import load_npz
from shiftproof.data._passes import Passes
from shiftproof.data._reading import AS_USUAL, OPTIONS, Reading
from shiftproof.data._references import list_at_address, list_packed
from shiftproof.data._samples import window_change
from shiftproof.data._sources import data_sources, load_data
from shiftproof.errors import DataError, OptionError

N_SHOWN = 5

# Of the files looked at, so many may be unusable.
MAX_BAD = 0.01


def load_images(
    source: ImagesLike,
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
    reading: Reading = AS_USUAL,
    decoders: Decoders | None = None,
) -> Images:
    """Load images to measure on, of the shape that a model takes.

    Arrays that already have the shape come as `LabelledImages`, untouched. Files and images of Pillow are
    decoded and framed when their pixels are asked for, and once before, to know that they can be used.
    Arrays of Python, and those that datasets and loaders give, have the shape that they should have: they are
    never framed, whatever `image_shape` is. A loader is gone through twice, and held in memory as bytes.

    Args:
        source: `demo:mnist`, `mnist` or `idx:FOLDER` (their test split), a folder with one sub-folder
            for each class or with images without labels, `FILE.csv`, `FILE.npz`, one image file, tar shards
            such as `{000..003}.tar`, `FILE.parquet` or a folder of either, or an address of any of these but
            tables and arrays; or what Python has: see `open_collection`.
        image_shape: (C, H, W) that the model takes. None: that of the images, if they have one size.
        resize_px: Length of the short side before the centre is cut out; None: just enough for the cut,
            and nothing at all for an image that has its size.
        resampling: How pixels are weighed when resizing.
        fit: What becomes of an image of other proportions.
        margin_px: (my, mx); the images come with this many more pixels on either side, (C, H + 2·my,
            W + 2·mx), to be shifted without a border.
        limit: A random subset of this many, in random order; None or enough: all, in the source's order.
        seed: For the subset.
        max_bad: The share of unusable files, of those looked at, that is tolerated; 0 to 1.
        class_names: Names of classes that the source only numbers.
        reading: Where files are, which columns name them, and what is black and white in them.
        decoders: Processes by which files are decoded that once.

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
    wanted = _Wanted(image_shape, margin_px, resize_px, resampling, fit)
    if limit is not None and limit < 1:
        raise OptionError("a limit of at least 1 image", limit)
    if not 0 <= max_bad <= 1:
        raise OptionError("a share of unusable files from 0 to 1", max_bad)
    opened = _open(source, reading)
    if isinstance(opened, Stream):
        kind = kind_of(opened.collection, reading)
        images: Images = Passes(opened.collection, kind, reading, wanted.frame).load(limit, seed)
    elif isinstance(opened, Listing | Items):
        images = _checked(opened, reading, wanted, limit, seed, max_bad, decoders or Decoders(0))
    elif not len(opened):
        raise DataError("at least one image", "none")
    else:
        images = opened.take(_draw(len(opened), limit, seed)) if limit and limit < len(opened) else opened
        if isinstance(images, LabelledImages) and isinstance(source, str | Path):
            images = _fit(images, wanted.frame_of(images.image_shape))
    _check_window_was_used(reading, images)
    return images if class_names is None else _named(images, class_names)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the images should become, as far as it is known before they are; see `Frame`."""

    image_shape: tuple[int, int, int] | None
    margin_px: tuple[int, int]
    resize_px: int | None
    resampling: Resampling
    fit: Fit

    def __post_init__(self) -> None:
        check_options(self.image_shape, self.margin_px, self.resize_px, self.resampling)
        # What does not fit is said before anything is looked for.
        assert self.image_shape is None or self.frame

    @property
    def frame(self) -> Frame | None:
        return None if self.image_shape is None else self.frame_of(self.image_shape)

    def frame_of(self, shape: tuple[int, int, int]) -> Frame:
        """The frame, for images of this shape where none was given."""
        return Frame(self.image_shape or shape, self.margin_px, self.resize_px, self.resampling, self.fit)


def _open(source: ImagesLike, reading: Reading) -> Images | Listing | Items | Stream:
    if not isinstance(source, str | Path | Address):
        return open_collection(source, reading)
    reference = str(source)
    scheme, _, _ = reference.partition(":")
    if scheme in data_sources and data_sources.get(scheme).load is not None:
        reading.refuse(*OPTIONS, source=reference)
        return load_data(reference, "test")
    if is_address(reference):
        found = place(reference)
        if isinstance(found, Address):
            return list_at_address(found, reading)
        reference = str(found)
    path = Path(reference).expanduser() if reference.startswith("~/") else Path(reference)
    if (packed := list_packed(reference, reading)) is not None:
        return packed
    if not _exists(path, reference):
        raise _unknown(reference, "Nothing has that name.")
    kind = path.suffix.lower()
    if path.is_dir():
        return list_folder(path, reading)
    if kind == ".csv":
        return list_manifest(path, reading)
    if kind == ".npz":
        return load_npz(path, reading)
    if claims_to_be_image(path):
        reading.refuse("root", "path_column", "label_column", source="one image")
        # Who names a link means the file behind it.
        real, name = path.resolve(), as_text(path.name)
        return Listing(name, (Entry(name, InFolder(real, (real.parent,)), UNKNOWN),))
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


def _checked(
    opened: Listing | Items,
    reading: Reading,
    wanted: _Wanted,
    limit: int | None,
    seed: int,
    max_bad: float,
    decoders: Decoders,
) -> FramedImages:
    """Files or elements that can be used, decoded once; all of them, or so many at random."""
    n = len(opened.entries) if isinstance(opened, Listing) else len(opened)
    # All in random order, not just the subset: a bad one is replaced by the next in line.
    rows = range(n) if limit is None or limit >= n else _draw(n, n, seed).tolist()
    n_wanted, frame = min(limit or n, n), wanted.frame
    if isinstance(opened, Items):
        check_one = partial(check_item, items=opened, frame=frame)
        good, bad = check_all(rows, check_one, n_wanted=n_wanted, max_bad=max_bad)
        labels, class_names = numbered([one.label for one in good], opened.kind.class_names, opened.kind.name)
        name, beside, note = opened.kind.name, tuple[str, ...](), ""
    else:
        check_entry = partial(check_file, frame=frame, window=reading.window)
        entries = [opened.entries[row] for row in rows]
        good, bad = check_all(entries, check_entry, n_wanted=n_wanted, max_bad=max_bad, each=decoders.each)
        labels = _labels(opened, good)
        name, class_names, beside, note = opened.name, opened.class_names, opened.not_considered, opened.note
    frame = _frame_of(good, wanted)
    originals = tuple(_with_changes(one, frame) for one in good)
    return FramedImages(name, originals, labels, class_names, frame, tuple(sorted(bad)), beside, note)


def _frame_of(checked: Sequence[Checked], wanted: _Wanted) -> Frame:
    arrays = [one for one in checked if one.as_it_is]
    if arrays:
        return Frame(_shape_of_all(checked, arrays[0]))
    return wanted.frame or wanted.frame_of(_common_shape(checked))


def _shape_of_all(checked: Sequence[Checked], first: Checked) -> tuple[int, int, int]:
    """The shape of arrays, which are not framed."""
    for one in checked:
        if not one.as_it_is:
            raise DataError(
                "either images of Pillow or arrays in one collection",
                f"an array as {first.original.name}, and none as {one.original.name}",
            )
        if (one.n_channels, *one.size_px) != (first.n_channels, *first.size_px):
            raise DataError(
                f"images of one shape, {(first.n_channels, *first.size_px)} as {first.original.name}",
                f"{(one.n_channels, *one.size_px)} as {one.original.name}",
                fix="Bring them to one size before, in the transform.",
            )
    return first.n_channels, *first.size_px


def _common_shape(checked: Sequence[Checked]) -> tuple[int, int, int]:
    sizes = Counter(one.size_px for one in checked)
    if len(sizes) > 1:
        shown = ", ".join(f"{height} × {width}" for (height, width), _ in sizes.most_common(N_SHOWN))
        raise DataError(
            "images of one size, as no size is given",
            f"{len(sizes)} sizes: {shown}{', …' if len(sizes) > N_SHOWN else ''} px",
            fix="Say which size the model takes: --size, `Classifier(…, framing=Framing((C, H, W)))` in "
            "Python.",
        )
    return max(one.n_channels for one in checked), *checked[0].size_px


def _with_changes(one: Checked, frame: Frame) -> Original:
    if one.as_it_is:
        return one.original
    if frame.is_too_large(one.size_px):
        raise _too_thin(one.size_px)
    return replace(one.original, changes=(*one.original.changes, *frame.changes(one.n_channels, one.size_px)))


def _check_window_was_used(reading: Reading, images: Images) -> None:
    if reading.window is not None and window_change(reading.window) not in images.conversions:
        raise OptionError(
            "a window only for images of more than 8 bits per sample",
            f"{reading.window[0]:g},{reading.window[1]:g} for {images.name!r}, which has none",
            fix="Leave out --window.",
        )


def _labels(listing: Listing, checked: Sequence[Checked]) -> Tensor:
    labels = torch.tensor([one.label for one in checked])
    return torch.tensor(listing.label_sets)[labels] if listing.label_sets else labels


def _too_thin(size_px: tuple[int, int]) -> DataError:
    return DataError("images that can be resized", f"{size_px[0]} × {size_px[1]} px: too long and thin")


def _named(images: Images, class_names: tuple[str, ...]) -> Images:
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
