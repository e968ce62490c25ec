"""Networks by name: frozen facts, and one function that builds any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shiftproof._digest import derive_seed
from shiftproof._registry import Registry
from shiftproof.zoo._objective import Objective

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
        objective: Builds what training minimises, for an image shape and a number of classes; absent for
            the cross-entropy of the logits.
    """

    name: str
    body: Callable[[ImageShape, int], nn.Sequential]
    n_parameters: int
    summary: str
    source: str
    objective: Callable[[ImageShape, int], Objective] | None = None


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
        objective: What training minimises; None for the cross-entropy of the logits.

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
        objective: Objective | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.body = body
        self.input_scale = input_scale
        self.image_shape = image_shape
        self.n_classes = n_classes
        self.objective = objective

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(self.scaled(images))
        return logits

    def scaled(self, images: Tensor) -> Tensor:
        """The images as the first layer sees them."""
        return images if self.input_scale == 1 else images * self.input_scale

    @property
    def n_read(self) -> int:
        """Layers of the body up to the one that the objective looks at; all of them without an objective."""
        names = [name for name, _ in self.body.named_children()]
        return len(names) if self.objective is None else names.index(self.objective.reads) + 1

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What training minimises, summed over images, and the logits: one pass through the layers.

        Args:
            images: (N, C, H, W) float in [0, 1].
            labels: (N,) int64.

        Returns:
            The sum of the losses, without axes, and logits (N, number of classes).
        """
        if self.objective is None:
            logits: Tensor = self(images)
            return self.judge(images, logits, logits, labels), logits
        features = self.body[: self.n_read](self.scaled(images))
        logits = self.body[self.n_read :](features)
        return self.judge(images, features, logits, labels), logits

    def judge(self, images: Tensor, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses, for a caller that has computed the layers; see `Objective`."""
        if self.objective is None:
            return cross_entropy(logits, labels, reduction="sum")
        loss: Tensor = self.objective(images, features, logits, labels)
        return loss

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
    spec = networks.get(name)
    body = spec.body(image_shape, n_classes)
    objective = spec.objective(image_shape, n_classes) if spec.objective else None
    generator = torch.Generator().manual_seed(derive_seed(seed, "initial weights"))
    for part in filter(None, (body, objective)):
        for module in part.modules():
            _initialise(module, generator)
    return Network(
        name,
        body,
        input_scale=input_scale,
        image_shape=image_shape,
        n_classes=n_classes,
        objective=objective,
    )


@runtime_checkable
class _HasWeights(Protocol):
    """A layer that is no ordinary one and draws its own weights."""

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the initial weights in place."""


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, _HasWeights):
        module.initialise(generator)
