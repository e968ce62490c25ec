"""All that happens to an image, from numbers in [0, 1] to logits, as one module."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from shiftproof.adapters._preprocess import Preprocess

MODEL = "model"


class Pipeline(nn.Sequential):
    """Preprocessing, the model, and what picks the logits out of an answer that has several parts.

    Args:
        preprocess: Comes first.
        model: In whichever mode it is.
        logits: Which part of the answer; None for an answer that is the logits.
    """

    def __init__(self, preprocess: Preprocess, model: nn.Module, logits: int | str | None) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(preprocess=preprocess)
        layers[MODEL] = model
        if logits is not None:
            layers["logits"] = Picked(logits)
        super().__init__(layers)
        # Of itself alone: to be in evaluation mode is up to the model.
        self.training = False


class Picked(nn.Module):
    """One part of an answer that has several."""

    def __init__(self, part: int | str) -> None:
        super().__init__()
        self.part = part
        self.training = False

    def forward(self, answer: dict[int | str, Tensor]) -> Tensor:
        return answer[self.part]
