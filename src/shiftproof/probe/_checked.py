"""What is computed at once is compared with what is asked one by one before it is used."""

from __future__ import annotations

from torch import Tensor

# What is compared: images, and shifts of each.
CHECKED_IMAGES, CHECKED_SHIFTS = 4, 25
# Of the largest logit: sums of float32 in another order differ by far less, a plan that is wrong by far more.
TOLERANCE = 1e-3


def agree(found: Tensor, expected: Tensor) -> bool:
    """Whether logits are those that are expected, but for the order of sums.

    Example:
        >>> import torch
        >>> agree(torch.tensor([[5.001, 0.001]]), torch.tensor([[5.0, 0.0]]))
        True
    """
    largest = expected.abs().amax().clamp(min=1e-6)
    return bool(((found - expected).abs() <= TOLERANCE * largest).all())
