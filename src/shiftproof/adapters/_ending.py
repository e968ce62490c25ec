"""What a network of torch ends in: its last operation says whether its numbers are probabilities."""

from __future__ import annotations

import re
from typing import Any, Literal

from torch import Tensor

# `linear`: a layer whose numbers have no bounds, so they are no probabilities.
Ending = Literal["sigmoid", "softmax", "linear"]
_LAST: dict[str, Ending] = {
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "linear",
    "Addmm": "linear",
    "Mm": "linear",
    "Bmm": "linear",
    "Convolution": "linear",
}
# Operations that leave each number as it is.
_SAME_NUMBERS = {
    "Alias", "AsStrided", "Clone", "Permute", "ReshapeAlias", "Select", "Slice", "Split", "Squeeze", "T",
    "ToCopy", "Transpose", "Unbind", "Unsqueeze", "UnsafeView", "View",
}  # fmt: skip


def ending_of(output: Tensor) -> Ending | None:
    """The operation that a tensor comes from, where autograd has kept it and it says anything.

    Example:
        >>> import torch
        >>> image = torch.ones(1, 3, requires_grad=True)
        >>> ending_of(image.sigmoid()[:, :1]), ending_of(image * 2)
        ('sigmoid', None)
    """
    node: Any = output.grad_fn
    while node is not None:
        name = re.sub(r"Backward\d*$", "", node.name())
        if name not in _SAME_NUMBERS:
            return _LAST.get(name)
        node = node.next_functions[0][0] if node.next_functions else None
    return None
