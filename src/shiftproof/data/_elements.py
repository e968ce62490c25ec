"""One element of a collection that belongs to somebody else: where its image is, and where its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from shiftproof.data._arrays import PASS_BEFORE, as_numpy, bytes_of, channels_first
from shiftproof.data._decode import from_pillow
from shiftproof.data._label_sets import listed_labels
from shiftproof.data._reading import AS_USUAL, Reading
from shiftproof.data._samples import Bytes
from shiftproof.errors import DataError

IMAGE_KEYS = ("image", "images", "img", "pixel_values")
LABEL_KEYS = ("label", "labels", "class", "target")


class Element(NamedTuple):
    """An image as it was found, and its label; None: it has none."""

    image: Any
    label: Any


class Pixels(NamedTuple):
    """An image with 8 bits per sample: of Pillow, to be framed; or an array (C, H, W), which is as it is."""

    image: Image.Image | Bytes
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a collection beside its elements.

    Args:
        name: For reports and messages.
        class_names: One per class; empty where it has none.
        image_key: Where images are in elements that are mappings; None: under a usual key.
        label_key: The same of the labels.
        lists_labels: Whether a label is a list of the numbers of those that the image has.
        normalised: The remedy where its images were normalised.
    """

    name: str
    class_names: tuple[str, ...] = ()
    image_key: str | None = None
    label_key: str | None = None
    lists_labels: bool = False
    normalised: str = PASS_BEFORE


def kind_of(collection: Any, reading: Reading = AS_USUAL) -> Kind:
    """The name of a collection, its classes, and the columns of its elements, as far as it has them.

    Knows `classes` of torchvision's datasets, `features` of Hugging Face's, and those that wrap others.
    """
    name = type(collection).__name__
    inner = _innermost(collection)
    if inner is not collection:
        name = f"{name} of {type(inner).__name__}"
    features = getattr(inner, "features", None)
    image_key, label_key = reading.path_column, reading.label_column
    classes = _names(getattr(inner, "classes", None))
    lists = False
    if isinstance(features, Mapping):
        image_key = image_key or _only(name, features, "Image", "path_column")
        inner_features = {column: _of_list(feature) for column, feature in features.items()}
        label_key = label_key or _only(name, inner_features, "ClassLabel", "label_column")
        feature = features.get(label_key)
        classes = _names(getattr(_of_list(feature), "names", None))
        lists = _of_list(feature) is not feature and bool(classes)
    return Kind(name, classes, image_key, label_key, lists, _remedy(collection))


def split_element(element: Any, kind: Kind, where: str) -> Element:
    """Image and label of an element: a pair, a mapping, or the image alone.

    Raises:
        DataError: A mapping without an image under a usual key, or an empty pair.

    Example:
        >>> split_element({"img": 1, "label": 2, "id": 3}, Kind("x"), "x[0]")
        Element(image=1, label=2)
    """
    if isinstance(element, Mapping):
        image_key = _key(element, kind.image_key, IMAGE_KEYS)
        label_key = _key(element, kind.label_key, LABEL_KEYS)
        if image_key is None or (label_key is None and kind.label_key):
            raise DataError(
                f"an image under a key such as 'image' in {where}"
                if image_key is None
                else f"a label under {kind.label_key!r} in {where}",
                ", ".join(map(repr, element)) or "an empty mapping",
                fix='Name the keys: `Reading(path_column="…", label_column="…")`.',
            )
        label = None if label_key is None else element[label_key]
        if kind.lists_labels:
            label = listed_labels(label, len(kind.class_names), where)
        return Element(element[image_key], label)
    if isinstance(element, tuple | list):
        if not element:
            raise DataError(
                f"an image, alone or with a label, as {where}", f"an empty {type(element).__name__}"
            )
        return Element(element[0], element[1] if len(element) > 1 else None)
    return Element(element, None)


def is_array(image: Any) -> bool:
    """Whether an image is one of numbers, rather than of Pillow."""
    return isinstance(image, Tensor | np.ndarray)


def pixels_of(image: Any, kind: Kind, reading: Reading, where: str) -> Pixels:
    """The image of an element, with 8 bits per sample.

    Raises:
        DataError: It is none, or an array of numbers of which nobody knows what black and white are.
        UnusableImage: Pillow cannot decode it.
    """
    if isinstance(image, Image.Image):
        return Pixels(*from_pillow(image, reading.window))
    if not is_array(image):
        raise DataError(
            f"an image of Pillow, a tensor or an array as {where}",
            f"one of type {type(image).__name__}",
            cause="Files are named by a list of paths alone." if isinstance(image, str) else "",
        )
    array = as_numpy(image, where)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"an image of shape (C, H, W), (H, W, C) or (H, W) as {where}", array.shape)
    samples = channels_first(array[None, None] if array.ndim == 2 else array[None], where)
    pixels, changes = bytes_of(samples, where, reading.window, normalised=kind.normalised)
    return Pixels(np.ascontiguousarray(pixels[0]), changes)


def _innermost(collection: Any) -> Any:
    """What a loader, a subset or several sets in a row are made of, if that is one thing."""
    for _ in range(10):
        inner = getattr(collection, "dataset", None)
        parts = getattr(collection, "datasets", None)
        if inner is None and isinstance(parts, list | tuple) and parts:
            same = all(getattr(part, "classes", None) == getattr(parts[0], "classes", None) for part in parts)
            inner = parts[0] if same else None
        if inner is None:
            break
        collection = inner
    return collection


def _names(names: Any) -> tuple[str, ...]:
    """Names of classes; the first of several that mean the same. None of them, unless they all differ."""
    if not isinstance(names, list | tuple):
        return ()
    first = tuple(name[0] if isinstance(name, list | tuple) and name else name for name in names)
    return first if all(isinstance(name, str) for name in first) else ()


def _of_list(feature: Any) -> Any:
    """What a list of Hugging Face is of; any other feature as it is."""
    return getattr(feature, "feature", feature)


def _only(name: str, features: Mapping[str, Any], kind: str, option: str) -> str | None:
    """The one column of a kind; None where there is none."""
    found = [column for column, feature in features.items() if type(feature).__name__ == kind]
    if len(found) > 1:
        raise DataError(
            f"one column of {name} with a feature {kind}",
            ", ".join(map(repr, found)),
            fix=f'Name one: `Reading({option}="{found[0]}")`.',
        )
    return found[0] if found else None


def _key(element: Mapping[Any, Any], given: str | None, usual: tuple[str, ...]) -> str | None:
    return next((key for key in ([given] if given else usual) if key in element), None)


def _remedy(collection: Any) -> str:
    """How to take the normalisation out of a transform, with its own numbers where they can be seen."""
    transform = getattr(_innermost(collection), "transform", None)
    for step in [transform, *(getattr(transform, "transforms", None) or ())]:
        if type(step).__name__ == "Normalize" and hasattr(step, "mean") and hasattr(step, "std"):
            mean, std = (tuple(float(value) for value in values) for values in (step.mean, step.std))
            return (
                'Take Normalize out of its transform, and pass `Classifier("model", model, '
                f"preprocess=Preprocess(mean={mean}, std={std}))`; both are in shiftproof.adapters."
            )
    return PASS_BEFORE
