"""Transformers that are told how far apart two patches are, and no more where each of them is."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from shiftproof.edits._patches import forget_positions, positions_of, tokens_before_patches
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import New, copied, replace_layers


class RelativePositions(nn.Module):
    """Attention with a learned number for each head and each offset between two patches, on a circle.

    The number is added to how much one patch looks at another; it starts at 0. Tokens that are no patch, such
    as that of the class, have no place, and 0.

    Args:
        attention: `nn.MultiheadAttention` whose batch comes first, or one that takes tokens and `attn_mask`.
        side: Patches in a row, and rows.
        n_before: Tokens before the patches.
    """

    index: Tensor

    def __init__(self, attention: nn.Module, side: int, n_before: int) -> None:
        super().__init__()
        self.attention, self.n_before = attention, n_before
        n_heads: Any = attention.num_heads
        weight = next(attention.parameters())
        self.bias = nn.Parameter(torch.zeros(n_heads, side * side, device=weight.device, dtype=weight.dtype))
        row, column = (torch.arange(side * side) // side, torch.arange(side * side) % side)
        down, right = ((place - place[:, None]) % side for place in (row, column))
        self.register_buffer("index", (down * side + right).to(weight.device), persistent=False)

    def forward(self, tokens: Tensor, *others: Tensor, attn_mask: Tensor | None = None, **how: Any) -> Any:
        bias = F.pad(self.bias[:, self.index], (self.n_before, 0, self.n_before, 0))
        if isinstance(self.attention, nn.MultiheadAttention):
            bias = bias.repeat(tokens.shape[0], 1, 1)  # It wants one for each image and head.
        mask = bias if attn_mask is None else bias + attn_mask
        return self.attention(tokens, *others, attn_mask=mask, **how)


def relative_positions(model: nn.Module) -> Edited:
    """The mean of all positional embeddings, and offsets between patches that attention learns."""
    network = copied(model)
    found = positions_of(network)
    grids = {(values.shape[1], tokens_before_patches(values)) for values in found.values()}
    is_done = any(isinstance(part, RelativePositions) for part in network.modules())

    def rule(layer: nn.Module) -> New | str | None:
        if len(grids) != 1 or is_done or not _is_attention(layer):
            return None
        ((n_tokens, n_before),) = grids
        side = math.isqrt(n_tokens - n_before)
        if side**2 != n_tokens - n_before:
            return "Its patches are no square, so that their rows are not known."
        if isinstance(layer, nn.MultiheadAttention) and not layer.batch_first:
            return "Its batch does not come first."
        return New(RelativePositions(layer, side, n_before), "offsets between patches, to be learned")

    record = replace_layers(network, rule)
    if record.changes:
        record.changes[:0] = forget_positions(found)
    return record.of(network, "relative-positions")


def _is_attention(layer: nn.Module) -> bool:
    takes = inspect.signature(layer.forward).parameters
    return isinstance(getattr(layer, "num_heads", None), int) and "attn_mask" in takes


edits.register(
    "relative-positions",
    Edit(
        "relative-positions",
        "surgery",
        relative_positions,
        "attention learns offsets between patches, on a circle, in place of absolute positions",
        "Shaw, Uszkoreit and Vaswani 2018, arXiv:1803.02155, as a bias for each head (Liu et al. 2021, "
        "arXiv:2103.14030), on a circle as in Ding et al. 2023, arXiv:2305.14214; starts at 0",
        "one addition for each pair of patches",
        "training",
    ),
)
