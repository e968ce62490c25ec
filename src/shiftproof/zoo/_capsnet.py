"""The capsule network for digits, as published, and one that a CPU trains in minutes.

Source: S. Sabour, N. Frosst, G. E. Hinton, Dynamic Routing Between Capsules, 2017, arXiv:1710.09829.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from shiftproof.errors import ShapeError
from shiftproof.layers import (
    RECONSTRUCTION_WEIGHT,
    CapsuleDecoder,
    CapsuleLengths,
    PrimaryCapsules,
    RoutedCapsules,
    margin_loss,
)
from shiftproof.zoo._objective import Objective
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

PAPER = "Sabour, Frosst and Hinton 2017, arXiv:1710.09829"

KERNEL = 9
RECEPTIVE_PX = 2 * KERNEL - 1  # of one primary capsule, in each direction
IN_LENGTH, OUT_LENGTH = 8, 16


class CapsuleObjective(Objective):
    """Margin loss of the lengths, and 0.0005 × the summed squared error of the image that is drawn.

    It is drawn from the capsule of the true class.

    Args:
        decoder: Draws images from the capsules.

    Source:
        Sabour et al. 2017, sections 3 and 4.1.
    """

    reads = "digits"

    def __init__(self, decoder: CapsuleDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, images: Tensor, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        error: Tensor = (self.decoder(features, labels) - images).square().sum()
        return margin_loss(logits, labels).sum() + RECONSTRUCTION_WEIGHT * error


@dataclass(frozen=True, slots=True)
class _CapsNet:
    """The sizes in which the published network and the small one differ."""

    n_filters: int
    n_maps: int
    hidden: tuple[int, int]

    def body(self, image_shape: ImageShape, n_classes: int) -> nn.Sequential:
        channels, height, width = image_shape
        if min(height, width) < RECEPTIVE_PX:
            raise ShapeError(
                f"images of at least {RECEPTIVE_PX} × {RECEPTIVE_PX} px",
                f"{height} × {width}",
                cause="Two 9 × 9 convolutions without padding leave nothing of them.",
                fix="Use larger images, or another network.",
            )
        rows, columns = ((size - RECEPTIVE_PX) // 2 + 1 for size in (height, width))
        return nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, self.n_filters, KERNEL),
                relu1=nn.ReLU(),
                primary=PrimaryCapsules(self.n_filters, n_maps=self.n_maps, length=IN_LENGTH, kernel=KERNEL),
                digits=RoutedCapsules(
                    self.n_maps * rows * columns, n_classes, in_length=IN_LENGTH, out_length=OUT_LENGTH
                ),
                lengths=CapsuleLengths(),
            )
        )

    def objective(self, image_shape: ImageShape, n_classes: int) -> CapsuleObjective:
        return CapsuleObjective(CapsuleDecoder(n_classes, OUT_LENGTH, image_shape, hidden=self.hidden))


_PUBLISHED = _CapsNet(n_filters=256, n_maps=32, hidden=(512, 1024))
_SMALL = _CapsNet(n_filters=32, n_maps=8, hidden=(128, 256))

for _spec in (
    NetworkSpec(
        "capsnet",
        _PUBLISHED.body,
        8_215_568,
        "1152 capsules routed to one for each class, and a decoder",
        f"{PAPER}, the MNIST network; Glorot weights, and training as the recipe says",
        _PUBLISHED.objective,
    ),
    NetworkSpec(
        "capsnet-small",
        _SMALL.body,
        792_336,
        "capsnet with 288 capsules, for CPUs",
        f"{PAPER}; ours has 32 filters for 256, 8 maps of capsules for 32, and a decoder of 128 → 256 → 784",
        _SMALL.objective,
    ),
):
    networks.register(_spec.name, _spec)
