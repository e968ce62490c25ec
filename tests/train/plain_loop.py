"""Training as a text book writes it: the oracle of tests/train/test_plain_loop*.py.

It shares no code with `shiftproof.train`: one image order, one loss, `backward()`, and Adam of torch in
its plain form, tensor by tensor. Seeds, losses and shifts are computed here from their definitions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor, nn

Floats = npt.NDArray[np.float64]


def seed_for(seed: int, *words: str | int) -> int:
    """The first 63 bits of the SHA-256 of `[seed, *words]` as JSON without blanks."""
    text = json.dumps([seed, *words], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class Box:
    """Shifts that are uniform in ± (dy, dx) px, and how SciPy calls their border."""

    name: str
    dy: float
    dx: float
    border: Literal["nearest", "grid-constant"]


@dataclass(frozen=True)
class Settings:
    """What a training depends on, besides the network and its images."""

    epochs: int
    batch_size: int
    seed: int = 3
    learning_rate: float = 1e-3
    epsilon: float = 1e-7
    box: Box | None = None


def order_of(n_images: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch takes its images."""
    generator = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
    return torch.randperm(n_images, generator=generator)


def offsets_of(n_images: int, box: Box, seed: int, epoch: int) -> Floats:
    """(dy, dx) of every image in one epoch: float64 (N, 2)."""
    root = seed_for(seed, "augmentation", epoch)
    generator = torch.Generator().manual_seed(seed_for(root, "protocol", box.name))
    uniform = torch.rand(n_images, 1, 2, dtype=torch.float64, generator=generator)[:, 0]
    return np.asarray((2 * uniform - 1).numpy() * (box.dy, box.dx))


def moved(images: Floats, offsets_px: Floats, box: Box) -> Floats:
    """Images (N, C, H, W) whose content is moved by (dy, dx), bilinearly, by SciPy."""
    found = np.empty_like(images)
    for image, (dy, dx), place in zip(images, offsets_px, found, strict=True):
        ndimage.shift(image, (0, dy, dx), output=place, order=1, mode=box.border, prefilter=False)
    return found


def loss_of(network: Any, images: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of a batch, written out: cross-entropy, or that of the capsule network."""
    scaled = images * network.input_scale
    rows = torch.arange(len(labels))
    if network.objective is None:
        logits: Tensor = network.body(scaled)
        return (logits.logsumexp(1) - logits[rows, labels]).mean()
    poses: Tensor = network.body[:-1](
        scaled
    )  # (N, classes, 16): Sabour et al. 2017, equation 4 and section 4.1
    lengths = poses.square().sum(2).sqrt()
    too_long = 0.5 * (lengths - 0.1).clamp_min(0) ** 2
    too_short = (0.9 - lengths[rows, labels]).clamp_min(0) ** 2
    margin = too_long.sum() - too_long[rows, labels].sum() + too_short.sum()
    kept = torch.zeros_like(poses)
    kept[rows, labels] = poses[rows, labels]
    drawn: Tensor = network.objective.decoder.layers(kept.flatten(1))
    error = ((drawn - images.flatten(1)) ** 2).sum()
    return (margin + 0.0005 * error) / len(labels)


def train(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    before_step: Callable[[int, int, int], None] = lambda epoch, start, stop: None,
) -> dict[str, Tensor]:
    """Train in place on bytes (N, C, H, W); returns the moments of Adam, as `NAME/exp_avg`.

    Only what needs a gradient is learned. `before_step` is told the epoch and the positions in its order.
    The network is left in training mode.
    """
    network.train()
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    dtype = next(iter(learned.values())).dtype
    adam = torch.optim.Adam(
        learned.values(), lr=settings.learning_rate, eps=settings.epsilon, fused=False, foreach=False
    )
    pixels = images.numpy().astype(np.float64) / 255
    for epoch in range(1, settings.epochs + 1):
        seen = pixels
        if settings.box is not None:
            offsets_px = offsets_of(len(pixels), settings.box, settings.seed, epoch)
            seen = moved(pixels, offsets_px, settings.box)
        order = order_of(len(images), settings.seed, epoch)
        for start in range(0, len(order), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            before_step(epoch, start, start + len(batch))
            adam.zero_grad()
            loss_of(network, torch.from_numpy(seen[batch]).to(dtype), labels[batch]).backward()  # type: ignore[no-untyped-call]
            adam.step()
    return {
        f"{name}/{key}": adam.state[parameter][key]
        for name, parameter in learned.items()
        for key in ("exp_avg", "exp_avg_sq")
    }
