"""What a network minimises in training, where that is not the cross-entropy of its logits."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Objective(nn.Module, ABC):
    """A network's own loss. Its parameters are learned, counted and saved with those of the network.

    It holds no state that a call changes: parts of a batch are computed side by side.

    Attributes:
        reads: Name of the layer of the body whose answer it looks at, besides the logits.
    """

    reads: str

    @abstractmethod
    def forward(self, images: Tensor, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum of the losses of some images.

        Args:
            images: (N, C, H, W) in [0, 1], before `input_scale`.
            features: What the layer `reads` answered.
            logits: (N, K).
            labels: (N,) int64.

        Returns:
            A number, without axes: a sum, so that the parts of a batch can be added.
        """
