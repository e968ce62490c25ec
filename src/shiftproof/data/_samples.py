"""Samples of more than 8 bits, brought to 8: by their type alone, or by a window of values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from shiftproof.errors import OptionError

Window = tuple[float, float]
Samples = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

# Samples at a time: what they need in float64 is little beside the image.
BLOCK = 2**20
SIXTEEN_TO_EIGHT = "16 bits to 8"
ROUNDED = "rounded to 256 levels"


class UnusableImage(Exception):
    """Why a file is not used, in a few words; it becomes a `Skipped`, never a traceback."""


def check_window(window: Window | None) -> None:
    """Raise `OptionError` for what is no window: two finite values, the lower one first."""
    if window is None:
        return
    if len(window) != 2 or not all(map(math.isfinite, window)) or not window[0] < window[1]:
        raise OptionError(
            "a window of two finite values, the lower one first",
            ", ".join(map(str, window)),
            fix="For example --window 0,4095, or `window=(0, 4095)`.",
        )


def window_change(window: Window) -> str:
    """How a window is counted among the conversions."""
    return f"window {window[0]:g} to {window[1]:g}"


def eight_bits(samples: Samples, window: Window | None) -> tuple[Bytes, tuple[str, ...]]:
    """Samples of any real type as bytes, and what was done to them, in words.

    Args:
        samples: Integers, floats or truth values, of any shape.
        window: (low, high): low and all below become 0, high and all above 255, linear in between and
            rounded to the nearest; NaN becomes 0. Bytes stay as they are. None: 16 bits without a sign
            are divided by 257, truth values become 0 and 255, floats must be in [0, 1].

    Returns:
        uint8 of the same shape.

    Raises:
        UnusableImage: Without a window, values of which nobody knows what black and white are.

    Example:
        >>> eight_bits(np.array([0, 257, 65535], np.uint16), None)
        (array([  0,   1, 255], dtype=uint8), ('16 bits to 8',))
        >>> eight_bits(np.array([-1000.0, -300.0, 900.0]), (-1000, 400))
        (array([  0, 128, 255], dtype=uint8), ('window -1000 to 400',))
    """
    kind = samples.dtype.kind
    if samples.dtype == np.uint8:
        return samples, ()
    if kind == "b":
        return samples.astype(np.uint8) * np.uint8(255), ()
    if kind not in "uif":
        raise UnusableImage(f"samples of type {samples.dtype}")
    if window is not None:
        found_nan = kind == "f" and bool(np.isnan(samples).any())
        changes = (window_change(window), *(["NaN to black"] if found_nan else []))
        return _scaled(samples, *window), changes
    if samples.dtype == np.uint16:
        return divided_by_257(samples), (SIXTEEN_TO_EIGHT,)
    low, high = (float(samples.min()), float(samples.max())) if samples.size else (0.0, 0.0)
    # A comparison with NaN is false, so that it is caught as well.
    if kind != "f" or not (low >= 0 and high <= 1):
        sort = {"u": "unsigned", "i": "signed", "f": "floating-point"}[kind]
        raise UnusableImage(
            f"{sort} {8 * samples.itemsize}-bit samples, from {low:g} to {high:g}: which of them are black "
            "and white is said by --window LOW,HIGH, `Reading(window=(low, high))` in Python"
        )
    return _scaled(samples, 0.0, 1.0), (ROUNDED,)


def divided_by_257(samples: npt.NDArray[np.uint16]) -> Bytes:
    """16-bit samples v to 8 bits, round(v ÷ 257), so that 65535 becomes 255 and nothing is clipped.

    Example:
        >>> divided_by_257(np.array([0, 128, 129, 32768, 65535], np.uint16))
        array([  0,   0,   1, 128, 255], dtype=uint8)
    """
    # 257 is odd, so that there are no ties.
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _scaled(samples: Samples, low: float, high: float) -> Bytes:
    flat = samples.reshape(-1)
    scaled = np.empty(flat.shape, dtype=np.uint8)
    for start in range(0, len(flat), BLOCK):
        part = flat[start : start + BLOCK].astype(np.float64)
        share = (np.clip(np.nan_to_num(part, nan=low), low, high) - low) / (high - low)
        scaled[start : start + BLOCK] = np.rint(255 * share)
    return scaled.reshape(samples.shape)
