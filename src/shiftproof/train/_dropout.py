"""Dropout with randomness of its own, so that lanes do not wait for, or disturb, each other."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch
from numpy.random import BitGenerator
from torch import Tensor, nn

# Probabilities are multiples of 1/256, so that a few random bits decide about one number.
LEVELS = 256
_POSITIONS = torch.arange(32, dtype=torch.int32)[:, None]
_SIGN = torch.tensor(31, dtype=torch.int32)
_local = threading.local()


def scratch(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A buffer that this thread keeps between calls: fresh pages cost as much as the arithmetic."""
    buffers = _local.__dict__
    key = f"{name} {shape}"
    if key not in buffers:
        buffers[key] = torch.empty(shape, dtype=dtype)
    buffer: Tensor = buffers[key]
    return buffer


def can_keep(probability: float) -> bool:
    """Whether `random_words` can draw with this probability: a multiple of 1/256 inside (0, 1)."""
    return 0 < probability < 1 and probability * LEVELS == round(probability * LEVELS)


def random_words(bits: BitGenerator, keep: float, n_words: int) -> Tensor:
    """Words whose 32 bits are each 1 with probability `keep`.

    A number in [0, 1) is written in binary and compared with `keep` from the last digit to the first,
    for all 32 draws of a word at once: 1/2 takes one random word, 3/4 takes two.

    Args:
        bits: Source of randomness.
        keep: A multiple of 1/256 inside (0, 1).
        n_words: How many.

    Returns:
        int32 of shape (n_words,).

    Example:
        >>> from numpy.random import SFC64
        >>> words = random_words(SFC64(0), 0.75, 1000)
        >>> shares = torch.stack([(words >> i) & 1 for i in range(32)]).float().mean()
        >>> round(float(shares), 1)
        0.8
    """
    digits = f"{round(keep * LEVELS):08b}"
    words = np.zeros((n_words + 1) // 2, np.uint64)
    for digit in reversed(digits.rstrip("0")):
        fresh = bits.random_raw(len(words))
        words = fresh | words if digit == "1" else fresh & words
    return torch.from_numpy(words.view(np.int32)[:n_words])


def drop_(values: Tensor, words: Tensor) -> Tensor:
    """Set to zero, in place, the values whose bit in `words` is 0.

    Torch multiplies by a bool mask seven times slower than it works on integers, so each bit is
    spread over 32 and put over the bits of a float.

    Args:
        values: float32, contiguous.
        words: int32, at least one word for 32 values.
    """
    mask = scratch("mask", 32, len(words), dtype=torch.int32)
    torch.bitwise_left_shift(words, _POSITIONS, out=mask)
    torch.bitwise_right_shift(mask, _SIGN, out=mask)  # arithmetic: all ones, or all zeros
    values.view(-1).view(torch.int32).bitwise_and_(mask.view(-1)[: values.numel()])
    return values


def words_for(n_values: int) -> int:
    """Words that decide about so many values."""
    return -(-n_values // 32)


def dropout_stage(layer: nn.Dropout) -> Callable[[Tensor, BitGenerator], Tensor] | None:
    """Dropout as a function of features and random bits; None for a probability it cannot draw."""
    keep = 1 - layer.p
    if not can_keep(keep):
        return None

    def dropout(features: Tensor, bits: BitGenerator) -> Tensor:
        # Ones of the type whose bits `drop_` knows; 0 and 1 are exact in every other.
        ones = torch.ones(features.shape, dtype=torch.float32)
        kept = drop_(ones, random_words(bits, keep, words_for(features.numel())))
        return features * kept.to(features.dtype).mul_(1 / keep)

    return dropout
