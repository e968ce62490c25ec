"""Arrays of images, in every layout and type that people have, as `LabelledImages`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from shiftproof.data._images import UNKNOWN, LabelledImages
from shiftproof.data._labels import labels_of, numbered
from shiftproof.data._samples import Bytes, Samples, UnusableImage, Window, eight_bits
from shiftproof.errors import DataError

CHANNELS = (1, 3, 4)
ROWS_AT_ONCE = 256
NORMALISED = "Normalisation belongs to the model, after the shift."
PASS_BEFORE = "Pass images before it, and the normalisation as part of the model."


def from_arrays(images: Any, labels: Any, *, name: str, what: str, window: Window | None) -> LabelledImages:
    """Images with or without labels.

    Args:
        images: (N, C, H, W), (N, H, W, C) or (N, H, W); see `bytes_of`.
        labels: Integers or names, (N,) or (N, 1); or an array (N, K) of 0 and 1, where an image may have
            several; None: unknown.
        name: Of the set.
        what: The images in messages.
        window: What is black and what is white.

    Raises:
        DataError: Another shape or type, numbers out of range, or not one label for each image.

    Example:
        >>> photos = np.zeros((2, 8, 9, 3), np.uint8)
        >>> from_arrays(photos, ["cat", "ant"], name="x", what="images", window=None).image_shape
        (3, 8, 9)
    """
    samples = channels_first(as_numpy(images, what), what)
    if not samples.size:
        raise DataError(
            "at least one image", f"none, but {what} of shape {samples.shape}" if len(samples) else "none"
        )
    pixels, changes = bytes_of(samples, what, window)
    numbers, class_names = torch.full((len(pixels),), UNKNOWN), tuple[str, ...]()
    if labels is not None:
        numbers, class_names = numbered(labels_of(labels, len(pixels), what), (), name)
    conversions = dict.fromkeys(changes, len(pixels))
    return LabelledImages(name, as_tensor(pixels), numbers, class_names, conversions=conversions)


def as_numpy(images: Any, what: str) -> Samples:
    """An array of numbers, whatever holds it."""
    if isinstance(images, Tensor):
        tensor = images.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    array = np.asarray(images)
    if array.dtype.kind not in "buif":
        raise DataError(f"numbers in {what}", f"the type {array.dtype}", cause="Objects are not read.")
    return array


def as_tensor(pixels: Bytes) -> Tensor:
    """The same memory where it may be written to; torch has no tensors that may not."""
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def channels_first(images: Samples, what: str) -> Samples:
    """(N, C, H, W): as they are, unless only the last axis can be that of the channels.

    Example:
        >>> channels_first(np.zeros((5, 8, 9, 3)), "images").shape
        (5, 3, 8, 9)
    """
    if images.ndim == 3 and (images.shape[0] in CHANNELS or images.shape[2] in CHANNELS):
        raise DataError(
            f"{what} of shape (N, C, H, W), (N, H, W, C) or (N, H, W)",
            images.shape,
            cause="It could be one image, or several grey ones.",
            fix="Add an axis: `images[None]` or `images[:, None]`.",
        )
    if images.ndim == 3:
        return images[:, None]
    if images.ndim != 4:
        raise DataError(f"{what} of shape (N, C, H, W), (N, H, W, C) or (N, H, W)", images.shape)
    only_last = images.shape[3] in CHANNELS and images.shape[1] not in CHANNELS
    return images.transpose(0, 3, 1, 2) if only_last else images


def bytes_of(
    images: Samples, what: str, window: Window | None, *, normalised: str = PASS_BEFORE
) -> tuple[Bytes, tuple[str, ...]]:
    """uint8 of images of any type, and what was done to them.

    Args:
        images: uint8, uint16, truth values, or floats in [0, 1]; anything that is a number with a window.
        what: The images in messages.
        window: What is black and what is white.
        normalised: The remedy for images that were normalised.

    Raises:
        DataError: Numbers of which nobody knows what black and white are.
    """
    if images.dtype.kind in "ui" and window is None and images.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{what} of type uint8 or uint16, or float in [0, 1]",
            images.dtype,
            fix="Save `images.astype(numpy.uint8)` if the values are 0 to 255, or say which are black and "
            "white: --window LOW,HIGH, `Reading(window=(low, high))` in Python.",
        )
    if images.dtype == np.uint8:
        return images, ()
    pixels = np.empty(images.shape, dtype=np.uint8)
    changes: dict[str, None] = {}
    for start in range(0, len(images), ROWS_AT_ONCE):
        part = images[start : start + ROWS_AT_ONCE]
        try:
            pixels[start : start + ROWS_AT_ONCE], done = eight_bits(part, window)
        except UnusableImage as error:
            last = start + len(part) - 1
            raise DataError(
                f"finite values from 0 to 1 in the floating-point {what}",
                f"{part.min():g} to {part.max():g} in images {start} to {last}"
                if last
                else f"{part.min():g} to {part.max():g}",
                cause=NORMALISED,
                fix=normalised,
            ) from error
        changes |= dict.fromkeys(done)
    return pixels, tuple(changes)
