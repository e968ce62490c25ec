"""Dropout with randomness of its own, so that lanes do not wait for, or disturb, each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import BitGenerator
from torch import Tensor, nn

# Probabilities are multiples of 1/256: one random byte decides about one number.
LEVELS = 256


def random_bytes(n_bytes: int, bits: BitGenerator) -> Tensor:
    """Uniform random bytes: uint8 of shape (n_bytes,)."""
    words = bits.random_raw(-(-n_bytes // 8))
    return torch.from_numpy(np.asarray(words).view(np.uint8)[:n_bytes])


def dropout_stage(layer: nn.Dropout) -> Callable[[Tensor, BitGenerator], Tensor] | None:
    """Dropout as a function of features and random bits, for probabilities in steps of 1/256."""
    threshold = layer.p * LEVELS
    if threshold != round(threshold) or layer.p >= 1:
        return None

    def dropout(features: Tensor, bits: BitGenerator) -> Tensor:
        kept = random_bytes(features.numel(), bits).view(features.shape) >= int(threshold)
        return features * (kept * (1 / (1 - layer.p)))

    return dropout
