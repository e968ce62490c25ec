"""The classes of the data against those of the model: the same, or an error, never a guess."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from shiftproof.data._images import UNKNOWN, Images
from shiftproof.data._labels import MAX_DIGITS
from shiftproof.errors import DataError

N_SHOWN = 5
K = TypeVar("K")
V = TypeVar("V")
WORDNET_ID = re.compile(r"n\d{8}", re.IGNORECASE)


def match_labels(images: Images, class_names: tuple[str, ...] | None, n_classes: int) -> Images:
    """Labels as the model numbers its classes.

    With the model's names, those of the data are looked up: as they are written, else with case and
    `_` or blank ignored; identifiers of WordNet (`n02123045`) only as they are written. Without, names
    that are all integers are the model's numbers; other names are numbered in their order if there are
    as many as the model has classes.

    Args:
        images: The data; unlabelled images stay unlabelled.
        class_names: The model's, in its order; None where unknown.
        n_classes: How many the model tells apart.

    Returns:
        The images with labels in [0, n_classes) or −1, and the model's class names, the data's where
        the model's are not known.

    Raises:
        DataError: The classes do not agree.

    Example:
        >>> from shiftproof.data import LabelledImages
        >>> data = LabelledImages("x", torch.zeros(2, 1, 1, 1, dtype=torch.uint8),
        ...                       torch.tensor([0, 1]), ("ant", "tabby_cat"))
        >>> match_labels(data, ("Tabby cat", "dog", "ant"), 3).labels
        tensor([2, 0])
    """
    if images.labels.ndim == 2:
        return _match_sets(images, class_names, n_classes)
    if class_names is not None and len(class_names) != n_classes:
        raise DataError(
            f"{n_classes} class names for a model with {n_classes} classes",
            f"{len(class_names)}",
            fix="Pass one for each, in the model's order, with `--class-names FILE`.",
        )
    if class_names is not None:
        return _by_name(images, class_names)
    if not images.class_names:
        return images
    if all(_is_number(name) for name in images.class_names):
        return _by_number(images, n_classes)
    if len(images.class_names) != n_classes:
        raise DataError(
            f"as many classes in the data as in the model ({n_classes})",
            f"{len(images.class_names)}: {_shown(images.class_names)}",
            cause="The model's class names are not known, so they cannot be compared.",
            fix="Pass them with `--class-names FILE`.",
        )
    return images


def _match_sets(images: Images, class_names: tuple[str, ...] | None, n_classes: int) -> Images:
    """Columns of labels in the order of the model's; what the data do not name, no image has."""
    names = class_names
    if names is None:
        numbered = all(_is_number(name) for name in images.class_names)
        names = tuple(map(str, range(n_classes))) if numbered else images.class_names
    place = {name: number for number, name in enumerate(names)}
    absent = [name for name in images.class_names if name not in place]
    if absent or len(names) != n_classes:
        raise DataError(
            f"labels among the {n_classes} of the model",
            f"{len(images.class_names)}: {_shown(absent or images.class_names)}",
            fix="Pass the model's names in its order with `--class-names FILE`.",
        )
    labels = torch.zeros(len(images), n_classes, dtype=torch.int64)
    labels[:, [place[name] for name in images.class_names]] = images.labels
    return images.with_labels(labels, names)


def _by_number(images: Images, n_classes: int) -> Images:
    """The names are the numbers: of those in use, none may be beyond the model's."""
    numbers = [int(name) for name in images.class_names]
    largest = max((numbers[label] for label in _used(images)), default=0)
    if largest >= n_classes:
        raise DataError(
            f"labels from 0 to {n_classes - 1} for a model with {n_classes} classes",
            largest,
            fix="Pass the model's class names with `--class-names FILE` if the numbers mean something else.",
        )
    if numbers == list(range(len(numbers))) and len(numbers) <= n_classes:
        return images
    places = [number if number < n_classes else UNKNOWN for number in numbers]
    return _renumbered(images, places, tuple(str(number) for number in range(n_classes)))


def _by_name(images: Images, class_names: tuple[str, ...]) -> Images:
    exact, loose = _index(class_names, str), _index(class_names, _loosely)
    names, used = images.class_names, _used(images)
    found = [exact.get(name) or loose.get(_loosely(name)) or [] for name in names]
    # A source that numbers its classes has made up names for numbers that no image has.
    made_up = {place for place, name in enumerate(names) if place not in used and _is_number(name)}
    absent = [name for place, name in enumerate(names) if not found[place] and place not in made_up]
    if absent:
        raise DataError(
            f"classes that the model has, like {_shown(class_names)}",
            f"{len(absent)} that it does not have: {_shown(absent)}",
            cause="Data and model do not name their classes alike.",
            fix="Rename the classes of the data, or pass the names that they have with `--class-names FILE`.",
        )
    for name, places in zip(names, found, strict=True):
        if len(places) > 1:
            raise DataError(
                f"one class of the model for {name!r}",
                f"{len(places)}: numbers {', '.join(map(str, places))}",
                fix="Tell them apart with `--class-names FILE`.",
            )
    return _renumbered(images, [places[0] if places else UNKNOWN for places in found], class_names)


def _used(images: Images) -> set[int]:
    return set(images.labels.tolist()) - {UNKNOWN}


def _renumbered(images: Images, places: Sequence[int], class_names: tuple[str, ...]) -> Images:
    for place, together in _index(places, int).items():
        if len(together) > 1 and place != UNKNOWN:
            raise DataError(
                f"one class of the data for the model's {class_names[place]!r}",
                f"{len(together)}: {_shown([images.class_names[row] for row in together])}",
                fix="Put them together.",
            )
    # The last entry is found by the label −1.
    table = torch.tensor([*places, UNKNOWN])
    return images.with_labels(table[images.labels], class_names)


def _index(values: Sequence[V], key: Callable[[V], K]) -> dict[K, list[int]]:
    places: dict[K, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        places[key(value)].append(place)
    return dict(places)


def _loosely(name: str) -> str:
    return name if WORDNET_ID.fullmatch(name) else " ".join(name.replace("_", " ").casefold().split())


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= MAX_DIGITS


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:N_SHOWN])) + (", …" if len(names) > N_SHOWN else "")
