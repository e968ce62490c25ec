"""A classifier in another process: loaded again as it was loaded here, or sent as it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import nn

from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._failures import explained
from shiftproof.errors import ModelError


@dataclass(frozen=True, eq=False)
class SentClassifier:
    """What it takes to have a classifier elsewhere; `here` makes it.

    Args:
        known: The classifier; all of it but the model where that is loaded again.
        is_whole: Whether the model is with it.
    """

    known: Classifier
    is_whole: bool

    def here(self) -> Classifier:
        """The classifier, on the CPU.

        Raises:
            ModelError: What its reference names is another model here.
            ShiftproofError: It cannot be loaded.
        """
        if self.is_whole:
            return self.known
        assert self.known.origin is not None, "else it would be whole"
        found = self.known.origin.load()
        if found.digest != self.known.digest:
            raise ModelError.cannot(
                f"use {self.known.name} in another process",
                "it is another model there",
                cause="Its weights or its code have changed, or differ from node to node.",
            )
        task, outputs, threshold = self.known.task, self.known.outputs, self.known.threshold
        return replace(found, task=task, outputs=outputs, threshold=threshold)


def sent(classifier: Classifier) -> SentClassifier:
    """A classifier as it can be pickled: by its reference, as long as it is what that loaded.

    Example:
        >>> from shiftproof.adapters import load_classifier
        >>> sent(load_classifier("zoo:cnn1")).here().name
        'zoo:cnn1'
    """
    origin = classifier.origin
    if origin is not None and origin.digest == classifier.digest:
        return SentClassifier(replace(classifier, model=_elsewhere), is_whole=False)
    return SentClassifier(_on_cpu(classifier), is_whole=True)


def _on_cpu(classifier: Classifier) -> Classifier:
    """The same on the CPU, in a copy where it is somewhere else: another process may not have that device."""
    model = classifier.model
    if not isinstance(model, nn.Module):
        return classifier
    cpu = torch.device("cpu")
    if all(tensor.device == cpu for tensor in (*model.parameters(), *model.buffers())):
        return classifier
    with explained("copy the model"):
        return replace(classifier, model=copy.deepcopy(model)).to(cpu)


def _elsewhere(images: torch.Tensor) -> torch.Tensor:
    """In the place of a model that is loaded again."""
    raise AssertionError("it is loaded again before it is asked")
