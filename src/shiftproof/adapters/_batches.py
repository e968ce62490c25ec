"""A model that takes a fixed number of images at once, asked about any number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_batches_of(size: int, ask: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Answers to any number of images from a model that takes exactly `size` of them.

    The last batch is filled up with zeros, whose answers are dropped.

    Args:
        size: How many images it takes, at least 1.
        ask: Images (size, …) to one tensor (size, …).
        images: (N, …), N of at least 1.

    Returns:
        (N, …).

    Example:
        >>> in_batches_of(2, lambda images: images + 1, torch.tensor([1, 2, 3]))
        tensor([2, 3, 4])
    """
    n_filled = -len(images) % size
    filled = torch.cat([images, images.new_zeros(n_filled, *images.shape[1:])]) if n_filled else images
    answers = [ask(batch) for batch in torch.split(filled, size)]
    return torch.cat(answers)[: len(images)]
