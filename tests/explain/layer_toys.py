"""Networks whose faults are known, because they were put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from shiftproof.layers import GlobalMeanPool

CHANNELS = 6


def pictures(n_images: int = 6, size_px: int = 16, channels: int = 2, *, seed: int = 0) -> Tensor:
    """White noise: every shift brings a picture that has nothing to do with the one before."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_images, channels, size_px, size_px, generator=generator)


def contrasts(n_images: int = 6, size_px: int = 16, channels: int = 2, *, seed: int = 0) -> Tensor:
    """White noise from 0 to another brightness for each image and channel, so that means say something."""
    generator = torch.Generator().manual_seed(seed + 1)
    brightness = 0.2 + 0.8 * torch.rand(n_images, channels, 1, 1, generator=generator)
    return pictures(n_images, size_px, channels, seed=seed) * brightness


def smooth_pictures(n_images: int = 6, size_px: int = 16, channels: int = 2, *, seed: int = 0) -> Tensor:
    """Sums of a few low frequencies, periodic, so that fractions of a pixel move them exactly."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.zeros(n_images, channels, size_px, size_px, dtype=torch.complex64)
    reach = size_px // 6
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            turns = torch.rand(n_images, channels, generator=generator) * 2 * torch.pi
            spectrum[:, :, dy, dx] = torch.polar(torch.ones_like(turns), turns)
    waves = torch.fft.ifft2(spectrum).real
    low, high = waves.amin(), waves.amax()
    images: Tensor = (waves - low) / (high - low)
    return images


def conv(
    channels: int = CHANNELS, *, kernel: int = 3, into: int = CHANNELS, border: str = "circular"
) -> nn.Conv2d:
    padding = 0 if border == "valid" else kernel // 2
    mode: Any = "zeros" if border == "valid" else border
    return nn.Conv2d(channels, into, kernel, padding=padding, padding_mode=mode)


class PositionMap(nn.Module):
    """Weighs each position by a number of its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.randn(1, CHANNELS, size, size))

    def forward(self, maps: Tensor) -> Tensor:
        weighed: Tensor = maps * torch.sigmoid(4 * self.map)
        return weighed


def good_network(
    *inserted: nn.Module, seed: int = 0, place: int = 4, head: nn.Module | None = None
) -> nn.Sequential:
    """Circular convolutions, ReLU and a global mean, with layers inserted; equivariant without them."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [conv(2), nn.ReLU(), conv(), nn.ReLU(), conv(), nn.ReLU()]
    layers[place:place] = inserted
    ending = [head] if head is not None else [GlobalMeanPool(), nn.Linear(CHANNELS, 4)]
    network = nn.Sequential(*layers, *ending)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)
    return network.eval()


class Residual(nn.Module):
    """A sum of maps and what two convolutions make of them."""

    def __init__(self, border: str) -> None:
        super().__init__()
        self.first, self.second = conv(border=border), conv(border=border)

    def forward(self, maps: Tensor) -> Tensor:
        summed: Tensor = torch.relu(maps + self.second(torch.relu(self.first(maps))))
        return summed


def three_faults(seed: int) -> nn.Sequential:
    """Two strides and a border, at which different shares are lost in each network."""
    first, second = ("zeros", "circular")[:: 1 if seed % 2 else -1]
    return _random(
        seed,
        lambda: [
            conv(2, border=first, kernel=5), nn.ReLU(), nn.MaxPool2d(2), conv(border=second), nn.ReLU(),
            nn.MaxPool2d(2), conv(), nn.ReLU(),
        ],
    )  # fmt: skip


def borders_everywhere(seed: int) -> nn.Sequential:
    """Two strides, and a border of zeros at every convolution."""
    return _random(
        seed,
        lambda: [
            conv(2, border="zeros", kernel=5), nn.ReLU(), nn.MaxPool2d(2), conv(border="zeros"), nn.ReLU(),
            nn.MaxPool2d(2), conv(border="zeros"), nn.ReLU(),
        ],
    )  # fmt: skip


def residual_faults(seed: int) -> nn.Sequential:
    """Two strides, and borders of zeros within residual blocks and before them."""
    return _random(
        seed,
        lambda: [
            conv(2, border="zeros"), nn.ReLU(), Residual("zeros"), nn.MaxPool2d(2), Residual("zeros"),
            nn.MaxPool2d(2), Residual("zeros"),
        ],
    )  # fmt: skip


def _random(seed: int, layers: Callable[[], list[nn.Module]]) -> nn.Sequential:
    torch.manual_seed(seed)
    network = nn.Sequential(*layers(), GlobalMeanPool(), nn.Linear(CHANNELS, 4))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network.eval()
