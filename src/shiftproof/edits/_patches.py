"""Transformers: patches that are cut where the content says, and positions that are forgotten."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
        if not isinstance(layer, nn.Conv2d) or not is_patches(layer) or id(layer) in ready:
            return None
        return New(anchored(layer), "PolyphaseAnchor2d before it")

    return replace_layers(network, rule, layers=layers).of(network, "patch-anchor")


def anchored(layer: nn.Conv2d) -> nn.Module:
    """A convolution that cuts patches, with the roll before it."""
    return layer_before(layer, "anchor", PolyphaseAnchor2d(pair(layer.stride)))


def no_positions(model: nn.Module) -> Edited:
    """Absolute positions forgotten: each patch gets the mean of all positional embeddings."""
    network = copied(model)
    record = Record()
    for path, values in network.named_parameters():
        if path.rpartition(".")[2] not in _POSITIONS or values.ndim != 3:
            continue
        patches = values.data[:, _first_patch(values) :]
        if torch.equal(patches, patches[:, :1].expand_as(patches)):
            continue
        patches[:] = patches.mean(1, keepdim=True)
        record.changes.append(Change(path, "one embedding for each position", "their mean"))
    return record.of(network, "no-positions")


def _first_patch(positions: Tensor) -> int:
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
