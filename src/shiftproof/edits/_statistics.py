"""Batch statistics measured again: what a network expects of its maps, after the maps have changed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import Record, copied
from shiftproof.errors import OptionError
from shiftproof.records import Change

BATCH = 32


def batch_statistics(model: nn.Module, images: Tensor | None = None) -> Edited:
    """Means and variances of batch normalisation, as the images at hand have them."""
    network = copied(model)
    record = measure_statistics(network, images)
    return record.of(network, "batch-statistics")


@torch.no_grad()
def measure_statistics(network: nn.Module, images: Tensor | None) -> Record:
    """The same in place, in a network that is a copy already."""
    record = Record()
    norms = {
        path: layer
        for path, layer in network.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    }
    if not norms:
        return record
    if images is None or len(images) < 2:
        raise OptionError(
            "at least 2 `images` for batch-statistics",
            "none" if images is None else len(images),
            cause="Means and variances are those of images.",
        )
    modes = {path: (layer.training, layer.momentum) for path, layer in norms.items()}
    for layer in norms.values():
        layer.reset_running_stats()
        layer.training, layer.momentum = True, None  # The plain mean over batches.
    try:
        for start in range(0, len(images) - 1, BATCH):
            network(images[start : start + BATCH + (start + BATCH == len(images) - 1)])
    finally:
        for path, layer in norms.items():
            layer.training, layer.momentum = modes[path]
    record.changes += [Change(path, "statistics of its training", f"statistics of {len(images):,} images")
                       for path in norms]  # fmt: skip
    return record


edits.register(
    "batch-statistics",
    Edit(
        "batch-statistics",
        "surgery",
        batch_statistics,
        "means and variances of batch normalisation measured again on the images at hand",
        "Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.1",
        "nothing",
        "images",
    ),
)
