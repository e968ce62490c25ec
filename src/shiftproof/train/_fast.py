"""The same network, arranged for training on a CPU.

The zoo's networks are chains of ordinary layers. Where a few neighbouring layers can be computed
faster together, or need randomness from a source of their own, a stage takes their place. It shares
their parameters and gives the same answer; tests/train/test_fast.py compares both.
"""

from __future__ import annotations

from collections.abc import Callable

from numpy.random import BitGenerator
from torch import Tensor, nn

from shiftproof.train._conv_pool import conv_pool_stage
from shiftproof.train._dropout import dropout_stage
from shiftproof.train._pixelwise import pixelwise_stage
from shiftproof.zoo import Network, PixelRows

Stage = Callable[[Tensor, BitGenerator], Tensor]
Loss = Callable[[Tensor, Tensor, BitGenerator], tuple[Tensor, Tensor]]

# Longest first. A builder answers None where it has nothing to offer for these layers.
_STAGES: tuple[tuple[tuple[type[nn.Module], ...], Callable[..., Stage | None]], ...] = (
    (
        (
            PixelRows,
            nn.Linear,
            nn.ReLU,
            nn.Dropout,
            nn.Linear,
            nn.ReLU,
            nn.Dropout,
            nn.Flatten,
            nn.Linear,
        ),
        pixelwise_stage,
    ),
    ((nn.Conv2d, nn.ReLU, nn.MaxPool2d), conv_pool_stage),
    ((nn.Dropout,), dropout_stage),
)


def training_forward(network: Network) -> Stage:
    """The network's answer while training, as a function of images and a source of randomness.

    Args:
        network: A chain of layers; it is not changed.

    Returns:
        A function of images (N, C, H, W) in [0, 1] and random bits, that gives logits (N, K).

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from shiftproof.zoo import build_network
        >>> forward = training_forward(build_network("dense-nn"))
        >>> forward(torch.zeros(2, 1, 28, 28), np.random.SFC64(0)).shape
        torch.Size([2, 10])
    """
    body = _chain(list(network.body))
    return lambda images, bits: body(network.scaled(images), bits)


def training_loss(network: Network) -> Loss:
    """What training minimises, computed with the stages of `training_forward`.

    Args:
        network: A chain of layers; it is not changed.

    Returns:
        A function of images (N, C, H, W) in [0, 1], labels (N,) and random bits, that gives the sum of
        the losses and the logits, as `Network.loss` does.
    """
    layers = list(network.body)
    # No stage reaches across the layer that the objective looks at.
    until, after = _chain(layers[: network.n_read]), _chain(layers[network.n_read :])

    def loss(images: Tensor, labels: Tensor, bits: BitGenerator) -> tuple[Tensor, Tensor]:
        features = until(network.scaled(images), bits)
        logits = after(features, bits)
        return network.judge(images, features, logits, labels), logits

    return loss


def _chain(layers: list[nn.Module]) -> Stage:
    """The layers as one function, with a stage wherever there is one."""
    stages: list[Stage] = []
    while layers:
        stage, n_used = _next_stage(layers)
        stages.append(stage)
        layers = layers[n_used:]

    def run(features: Tensor, bits: BitGenerator) -> Tensor:
        for stage in stages:
            features = stage(features, bits)
        return features

    return run


def _next_stage(layers: list[nn.Module]) -> tuple[Stage, int]:
    for pattern, build in _STAGES:
        head = layers[: len(pattern)]
        if len(head) == len(pattern) and all(map(isinstance, head, pattern)):
            stage = build(*head)
            if stage is not None:
                return stage, len(pattern)
    layer = layers[0]
    return (lambda features, bits: layer(features)), 1
