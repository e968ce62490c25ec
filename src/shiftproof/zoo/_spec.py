"""Networks by name: frozen facts, and one function that builds any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shiftproof._digest import derive_seed
from shiftproof._registry import Registry

ImageShape = tuple[int, int, int]
MNIST_SHAPE: ImageShape = (1, 28, 28)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What is known of a network before it is built.

    Args:
        name: Unique name.
        body: Builds the layers for an image shape (C, H, W) and a number of classes.
        n_parameters: Trainable numbers for 28 × 28 grey images and ten classes.
        summary: One line for a table.
        source: Where it was published, and how ours differs.
    """

    name: str
    body: Callable[[ImageShape, int], nn.Sequential]
    n_parameters: int
    summary: str
    source: str


networks: Registry[NetworkSpec] = Registry("network")


class Network(nn.Module):
    """A network of the zoo: images in [0, 1] to logits.

    Args:
        name: Its name in `networks`.
        body: The layers.
        input_scale: What the images are multiplied with first: 1, or 255 for the raw bytes that the
            article feeds. It belongs to the network, so that shifts happen on images in [0, 1].
        image_shape: (C, H, W) of the images.
        n_classes: Length of the answer.

    Shape:
        (N, C, H, W) float to (N, number of classes).
    """

    def __init__(
        self,
        name: str,
        body: nn.Sequential,
        *,
        input_scale: float,
        image_shape: ImageShape,
        n_classes: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.body = body
        self.input_scale = input_scale
        self.image_shape = image_shape
        self.n_classes = n_classes

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(self.scaled(images))
        return logits

    def scaled(self, images: Tensor) -> Tensor:
        """The images as the first layer sees them."""
        return images if self.input_scale == 1 else images * self.input_scale

    def extra_repr(self) -> str:
        return f"{self.name}, input_scale={self.input_scale:g}"


def build_network(
    name: str,
    *,
    seed: int = 0,
    input_scale: float = 1.0,
    image_shape: ImageShape = MNIST_SHAPE,
    n_classes: int = 10,
) -> Network:
    """Build a network of the zoo, initialised as Keras does: Glorot-uniform weights, zero biases.

    Args:
        name: A name from `networks`.
        seed: Source of the initial weights.
        input_scale: See `Network`.
        image_shape: (C, H, W) of the images.
        n_classes: Length of the answer.

    Raises:
        UnknownNameError: No such network.

    Example:
        >>> sum(p.numel() for p in build_network("cnn2").parameters())
        85670
    """
    body = networks.get(name).body(image_shape, n_classes)
    generator = torch.Generator().manual_seed(derive_seed(seed, "initial weights"))
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return Network(name, body, input_scale=input_scale, image_shape=image_shape, n_classes=n_classes)
