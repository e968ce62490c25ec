"""Stripes in noise: a task that has nothing to do with digits, clothes or any photograph."""

from __future__ import annotations

import math

import torch

from shiftproof._digest import derive_seed
from shiftproof.data import LabelledImages

CONTRAST, NOISE = 0.25, 0.2
WAVELENGTHS_PX = (4.0, 10.0)


def draw_gratings(
    n_images: int, *, n_classes: int = 5, size_px: tuple[int, int] = (28, 28), seed: int = 0
) -> LabelledImages:
    """Sine gratings in noise; the class is their orientation.

    Orientations are spaced evenly over half a turn. Phase and wavelength are drawn anew for each image,
    so that no single pixel says anything about the class.

    Args:
        n_images: How many; classes take turns.
        n_classes: Orientations.
        size_px: (height, width).
        seed: Source of phases, wavelengths and noise.

    Returns:
        Grey images of mean one half, with classes named by their angle.

    Example:
        >>> gratings = draw_gratings(10)
        >>> gratings.images.shape, gratings.class_names[:2], gratings.labels[:6].tolist()
        (torch.Size([10, 1, 28, 28]), ('0°', '36°'), [0, 1, 2, 3, 4, 0])
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "gratings"))
    labels = torch.arange(n_images) % n_classes
    angle = (labels * (math.pi / n_classes)).view(-1, 1, 1)
    phase = 2 * math.pi * torch.rand(n_images, 1, 1, generator=generator)
    shortest, longest = WAVELENGTHS_PX
    wavelength = shortest + (longest - shortest) * torch.rand(n_images, 1, 1, generator=generator)
    y, x = (torch.arange(size, dtype=torch.float32) for size in size_px)
    along = y[:, None] * angle.sin() + x * angle.cos()
    noise = NOISE * torch.randn(n_images, *size_px, generator=generator)
    values = 0.5 + CONTRAST * torch.sin(2 * math.pi * along / wavelength + phase) + noise
    images = values.clamp_(0, 1).mul_(255).round_().to(torch.uint8)[:, None]
    names = tuple(f"{180 * k / n_classes:g}°" for k in range(n_classes))
    return LabelledImages(f"gratings({seed})", images, labels, names)
