"""Where images come from: `mnist`, a folder, a file, and how each is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shiftproof._registry import Registry, unknown_name
from shiftproof.data._idx import SPLITS, load_idx_folder
from shiftproof.data._images import LabelledImages
from shiftproof.errors import DataError

Split = Literal["train", "test"]
MNIST_FOLDER = Path(__file__).parent / "mnist"


@dataclass(frozen=True, slots=True)
class DataSource:
    """A way to get images from a reference `scheme`, `scheme:rest`, or a path.

    Args:
        name: The scheme, or what kind of path.
        reference: How it is written.
        load: Takes what follows the colon and the split; None for a path, which has no splits.
        summary: One line for a table.
        source: Attribution and licence.
    """

    name: str
    reference: str
    load: Callable[[str, Split], LabelledImages] | None
    summary: str
    source: str


data_sources: Registry[DataSource] = Registry("data source")


def load_data(reference: str, split: Split) -> LabelledImages:
    """Load a set of labelled images that has a training and a test split.

    Args:
        reference: `mnist` (in the package, no download) or `idx:FOLDER`.
        split: `train` or `test`.

    Returns:
        The images and their labels.

    Raises:
        UnknownNameError: No such source or split.
        DataError: A file is missing or damaged, or the source has no splits.

    Example:
        >>> test = load_data("mnist", "test")
        >>> test.images.shape, test.images.dtype
        (torch.Size([10000, 1, 28, 28]), torch.uint8)
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    scheme, _, rest = reference.partition(":")
    load = data_sources.get(scheme).load
    if load is None:
        raise DataError(
            "a source with a training and a test split: mnist or idx:FOLDER",
            repr(reference),
            cause="Images in other files can be measured on, but not trained on.",
        )
    return load(rest, split)


def _load_mnist(rest: str, split: Split) -> LabelledImages:
    if rest:
        raise DataError("the reference 'mnist'", repr(f"mnist:{rest}"), fix="Nothing follows it.")
    return load_idx_folder(MNIST_FOLDER, split, name="mnist")


def _load_demo(rest: str, split: Split) -> LabelledImages:
    if rest != "mnist":
        raise DataError("the reference 'demo:mnist'", repr(f"demo:{rest}"))
    return _load_mnist("", split)


def _load_idx(rest: str, split: Split) -> LabelledImages:
    if not rest:
        raise DataError("a folder after 'idx:'", "nothing", fix="Write for example idx:fashion/.")
    return load_idx_folder(Path(rest).expanduser(), split)


MNIST = "Y. LeCun, C. Cortes, C. Burges, The MNIST database; CC BY-SA 3.0"
for _source in (
    DataSource("mnist", "mnist", _load_mnist, "70,000 handwritten digits, 28 × 28, in the package", MNIST),
    DataSource(
        "idx",
        "idx:FOLDER",
        _load_idx,
        "a folder in the format of MNIST, plain or gzip: idx:FOLDER",
        "your files; Fashion-MNIST, KMNIST, QMNIST and EMNIST come in this form",
    ),
    DataSource("demo", "demo:mnist", _load_demo, "the same digits by another name: demo:mnist", MNIST),
    DataSource(
        "folder",
        "a folder of images",
        None,
        "one sub-folder for each class, or images without labels: FOLDER",
        "your files; PNG, JPEG, WEBP, BMP, TIFF",
    ),
    DataSource(
        "csv",
        "FILE.csv",
        None,
        "a table with a column `path` or `filename` and, if known, `label` or `class`: FILE.csv",
        "your files; paths are relative to the table's folder, or to --root",
    ),
    DataSource(
        "npz",
        "FILE.npz",
        None,
        "NumPy arrays `images` and, if known, `labels`: FILE.npz",
        "your files; (N, H, W), (N, H, W, C) or (N, C, H, W); uint8, uint16, or float in [0, 1]",
    ),
    DataSource(
        "tar",
        "{000..003}.tar",
        None,
        "WebDataset shards: FILE.tar, a range in braces, or a folder of them",
        "your files; of each sample an image, and a label in .cls or .json",
    ),
    DataSource(
        "parquet",
        "FILE.parquet",
        None,
        "image data sets of Hugging Face: FILE.parquet, a range in braces, or a folder of them",
        "your files; a column `image` with bytes and, if known, `label`",
    ),
    DataSource(
        "address",
        "s3://BUCKET/FOLDER",
        None,
        "a folder of images, tar or Parquet files on a store: s3://, gs://, …",
        "your files; any store that fsspec knows",
    ),
    DataSource("image", "an image file", None, "one image without a label: FILE.png", "your file"),
):
    data_sources.register(_source.name, _source)
