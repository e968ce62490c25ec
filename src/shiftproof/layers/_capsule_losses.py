"""What capsules learn from: lengths beyond their margins, and an image drawn from the right capsule.

Source: Sabour, Frosst and Hinton 2017, arXiv:1710.09829.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from shiftproof.errors import OptionError, ShapeError

RECONSTRUCTION_WEIGHT = 0.0005
"""Weight of the summed squared error of an image beside its margin loss; 0.392 × the mean for 28 × 28."""


def margin_loss(
    lengths: Tensor, labels: Tensor, *, present: float = 0.9, absent: float = 0.1, absent_weight: float = 0.5
) -> Tensor:
    """How far capsule lengths miss their margins, squared: long for the right class, short for the others.

    Args:
        lengths: (N, K), in [0, 1); any float dtype.
        labels: (N,) int64, classes in [0, K).
        present: m⁺: from this length on, the right class costs nothing.
        absent: m⁻: up to this length, the other classes cost nothing.
        absent_weight: λ: weight of each other class, so that learning does not start by shrinking all.

    Returns:
        (N,), ≥ 0: max(0, m⁺ − ‖v_right‖)² + λ Σ over the others of max(0, ‖v‖ − m⁻)².

    Raises:
        ShapeError: Shapes that are not (N, K) and (N,).

    Source:
        Sabour et al. 2017, equation 4.

    Example:
        >>> margin_loss(torch.tensor([[0.5, 0.3, 0.05]]), torch.tensor([0]))
        tensor([0.1800])
    """
    if lengths.ndim != 2 or labels.shape != lengths.shape[:1]:
        raise ShapeError(
            "`lengths` of shape (N, K) and `labels` of shape (N,)",
            f"{tuple(lengths.shape)} and {tuple(labels.shape)}",
        )
    missing = (present - lengths).relu().square()
    superfluous = absent_weight * (lengths - absent).relu().square()
    return torch.where(one_of(lengths.shape[1], labels), missing, superfluous).sum(1)


def one_of(n_classes: int, labels: Tensor) -> Tensor:
    """Which entry of (N, K) is the label's: bool. Unlike `one_hot`, it never waits for the device."""
    return labels[:, None] == torch.arange(n_classes, device=labels.device)


class CapsuleDecoder(nn.Module):
    """Draws the image from the capsule of one class; all other capsules are set to zero.

    Args:
        n_capsules: K, the number of classes.
        length: Numbers in a capsule.
        image_shape: (C, H, W) of what is drawn.
        hidden: Widths of the dense layers in between, each with ReLU; a sigmoid is last.

    Shape:
        Capsules (N, K, length) and classes (N,) int64 to images (N, C, H, W) in (0, 1).

    Raises:
        OptionError: A number below 1.

    Source:
        Sabour et al. 2017, figure 2: 512 → 1024 → 784.

    Example:
        >>> decoder = CapsuleDecoder(10, 16, (1, 28, 28))
        >>> decoder(torch.zeros(2, 10, 16), torch.tensor([3, 8])).shape
        torch.Size([2, 1, 28, 28])
        >>> sum(p.numel() for p in decoder.parameters())
        1411344
    """

    def __init__(
        self,
        n_capsules: int,
        length: int,
        image_shape: tuple[int, int, int],
        *,
        hidden: tuple[int, ...] = (512, 1024),
    ) -> None:
        super().__init__()
        widths = (n_capsules * length, *hidden, math.prod(image_shape))
        if min(widths) < 1:
            raise OptionError("layers of at least 1 number", " → ".join(map(str, widths)))
        self.image_shape = image_shape
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for i, (before, after) in enumerate(pairwise(widths), start=1):
            layers[f"dense{i}"] = nn.Linear(before, after)
            layers[f"relu{i}"] = nn.ReLU()
        layers.popitem()
        layers["sigmoid"] = nn.Sigmoid()
        self.layers = nn.Sequential(layers)

    def forward(self, capsules: Tensor, classes: Tensor) -> Tensor:
        kept = capsules * one_of(capsules.shape[1], classes).unsqueeze(2)
        images: Tensor = self.layers(kept.flatten(1)).unflatten(1, self.image_shape)
        return images
