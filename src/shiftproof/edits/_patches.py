"""Transformers: patches that are cut where the content says, and positions that are forgotten."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from shiftproof.edits._blur import is_patches
from shiftproof.edits._dense import pair
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import New, Record, behind, copied, layer_before, replace_layers
from shiftproof.layers import PolyphaseAnchor2d
from shiftproof.records import Change

_POSITIONS = ("pos_embed", "pos_embedding", "position_embeddings")


def patch_anchor(model: nn.Module, layers: Sequence[str] | None = None) -> Edited:
    """The image rolled before it is cut into patches, so that the strongest phase comes first."""

    network = copied(model)
    ready = behind(network, "anchor", PolyphaseAnchor2d)

    def rule(layer: nn.Module) -> New | None:
        if not is_patches(layer) or id(layer) in ready:
            return None
        return New(anchored(layer), "PolyphaseAnchor2d before it")

    return replace_layers(network, rule, layers=layers).of(network, "patch-anchor")


def anchored(layer: nn.Conv2d) -> nn.Module:
    """A convolution that cuts patches, with the roll before it."""
    return layer_before(layer, "anchor", PolyphaseAnchor2d(pair(layer.stride)))


def no_positions(model: nn.Module) -> Edited:
    """Absolute positions forgotten: each patch gets the mean of all positional embeddings."""
    network = copied(model)
    return Record(forget_positions(positions_of(network))).of(network, "no-positions")


def positions_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """Embeddings of absolute positions, (1, tokens, features) each, by their paths."""
    return {
        path: values
        for path, values in network.named_parameters()
        if path.rpartition(".")[2] in _POSITIONS and values.ndim == 3
    }


def forget_positions(positions: Mapping[str, nn.Parameter]) -> list[Change]:
    """Give each patch the mean, in place; those that have it already are not changed."""
    changes = []
    for path, values in positions.items():
        patches = values.data[:, tokens_before_patches(values) :]
        if torch.equal(patches, patches[:, :1].expand_as(patches)):
            continue
        patches[:] = patches.mean(1, keepdim=True)
        changes.append(Change(path, "one embedding for each position", "their mean"))
    return changes


def tokens_before_patches(positions: Tensor) -> int:
    """How many tokens, such as that of the class, come before the patches: as many as leave a square."""
    n = positions.shape[1]
    return n - math.isqrt(n) ** 2 if n - math.isqrt(n) ** 2 <= 2 else 0


for _edit in (
    Edit(
        "patch-anchor",
        "surgery",
        patch_anchor,
        "patches cut where the content says: the image rolled so that its strongest phase comes first",
        "Ding, Soselia, Armstrong, Su and Huang 2023, arXiv:2305.14214 (polyphase anchoring); exact for ties",
        "the norm of each phase of the image",
    ),
    Edit(
        "no-positions",
        "surgery",
        no_positions,
        "the mean of all positional embeddings in place of each",
        "Ding, Soselia, Armstrong, Su and Huang 2023, arXiv:2305.14214, on what positions tell",
        "nothing",
        "training",
    ),
):
    edits.register(_edit.name, _edit)
