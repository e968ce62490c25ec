"""Where images come from: `mnist`, or `idx:FOLDER`."""

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
    """A way to get images from a reference `scheme` or `scheme:rest`.

    Args:
        name: The scheme.
        load: Takes what follows the colon and the split.
        summary: One line for a table.
        source: Attribution and licence.
    """

    name: str
    load: Callable[[str, Split], LabelledImages]
    summary: str
    source: str


data_sources: Registry[DataSource] = Registry("data source")


def load_data(reference: str, split: Split) -> LabelledImages:
    """Load a set of labelled images.

    Args:
        reference: `mnist` (in the package, no download) or `idx:FOLDER`.
        split: `train` or `test`.

    Returns:
        The images and their labels.

    Raises:
        UnknownNameError: No such source or split.
        DataError: A file is missing or damaged.

    Example:
        >>> test = load_data("mnist", "test")
        >>> test.images.shape, test.images.dtype
        (torch.Size([10000, 1, 28, 28]), torch.uint8)
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    scheme, _, rest = reference.partition(":")
    return data_sources.get(scheme).load(rest, split)


def _load_mnist(rest: str, split: Split) -> LabelledImages:
    if rest:
        raise DataError("the reference 'mnist'", repr(f"mnist:{rest}"), fix="Nothing follows it.")
    return load_idx_folder(MNIST_FOLDER, split, name="mnist")


def _load_idx(rest: str, split: Split) -> LabelledImages:
    if not rest:
        raise DataError("a folder after 'idx:'", "nothing", fix="Write for example idx:fashion/.")
    return load_idx_folder(Path(rest).expanduser(), split)


data_sources.register(
    "mnist",
    DataSource(
        "mnist",
        _load_mnist,
        "70,000 handwritten digits, 28 × 28, in the package",
        "Y. LeCun, C. Cortes, C. Burges, The MNIST database; CC BY-SA 3.0",
    ),
)
data_sources.register(
    "idx",
    DataSource(
        "idx",
        _load_idx,
        "a folder in the format of MNIST, plain or gzip: idx:FOLDER",
        "your files; Fashion-MNIST, KMNIST, QMNIST and EMNIST come in this form",
    ),
)
