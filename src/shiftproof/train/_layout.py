"""Where the numbers of a tensor lie in memory, and why that matters to an optimizer.

`torch.autograd.grad` returns the gradient of a channels-last convolution in channels-last memory, unlike
`backward`, which lays a gradient out like its parameter. The fused Adam on a CPU walks through
parameter, gradient and moments as runs of memory and ignores their strides (pytorch issue 106951), so a
gradient in another layout updates the wrong weights, without an error.
"""

from __future__ import annotations

import torch
from torch import Tensor


def laid_out_like(parameter: Tensor, values: Tensor) -> Tensor:
    """The same values in the memory layout of a parameter of the same shape.

    Args:
        parameter: Of any layout that is dense.
        values: Of the same shape; returned as they are where the layouts agree.

    Example:
        >>> weight = torch.zeros(2, 3, 2, 2)
        >>> gradient = torch.ones(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
        >>> laid_out_like(weight, gradient).stride() == weight.stride()
        True
    """
    if values.stride() == parameter.stride():
        return values
    return torch.empty_like(parameter).copy_(values)


def is_dense(parameter: Tensor) -> bool:
    """Whether its numbers fill one run of memory without gaps or overlaps, in whatever order."""
    return torch.empty_like(parameter).stride() == parameter.stride()
