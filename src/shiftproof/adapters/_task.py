"""What an answer of a model is: one class, yes or no, a set of labels, or a vector."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

import torch
from torch import Tensor

from shiftproof._digest import Json
from shiftproof._registry import unknown_name
from shiftproof._tasks import Outputs, TaskName
from shiftproof.adapters._thresholds import (
    Threshold,
    check_threshold,
    in_outputs,
    shown_threshold,
    thresholds_of_labels,
)
from shiftproof.errors import ModelError, OptionError

# Probabilities that were computed in half precision.
SLACK = 2e-3
# A set of so many labels has a number of its own; larger ones are hashed.
BITS = 62
_ODD = 0x2545F4914F6CDD1D


@dataclass(frozen=True, slots=True)
class Task:
    """What the numbers (…, K) that a model answers with mean.

    Args:
        name: `single-label`: the largest of K numbers is the class. `binary`: one number, the positive class
            above the threshold. `multi-label`: each of K numbers is a label, there above the threshold.
            `embedding`: a vector, of which the direction counts.
        outputs: `logits`; `probabilities`, where a softmax or sigmoid is part of the model; or `vector`.
        threshold: Of the probability, in [0, 1], for `binary` and `multi-label`; one for all labels, or one
            for each. None for the others.
        why: How this is known, for a report.

    Example:
        >>> Task("binary", "logits", 0.5).decided(torch.tensor([[-1.0], [0.0], [2.0]]))
        tensor([0, 0, 1], dtype=torch.int32)
        >>> Task("multi-label", "probabilities", 0.5).decided(torch.tensor([[0.9, 0.1, 0.8]]))
        tensor([5])
    """

    name: TaskName = "single-label"
    outputs: Outputs = "logits"
    threshold: float | tuple[float, ...] | None = None
    why: str = field(default="", compare=False)

    def n_classes(self, n_outputs: int) -> int:
        """How many classes or labels K numbers tell apart; for an embedding, its length."""
        return 2 if self.name == "binary" else n_outputs

    def identity(self) -> dict[str, Json]:
        """What an answer depends on, as JSON."""
        threshold: Json = [*self.threshold] if isinstance(self.threshold, tuple) else self.threshold
        return {"name": self.name, "outputs": self.outputs, "threshold": threshold}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Of each class or label: (…, K); for `binary` of the positive class, (…, 1).

        Args:
            outputs: (…, K), not of an embedding.
        """
        if self.outputs == "probabilities":
            return outputs
        return outputs.softmax(-1) if self.name == "single-label" else outputs.sigmoid()

    def probability_of(self, outputs: Tensor, classes: Tensor) -> Tensor:
        """Of one class in each row, for `single-label` and `binary`: (…).

        Args:
            outputs: (…, K).
            classes: int64 (…).
        """
        if self.name == "binary":
            positive = self.probabilities(outputs)[..., 0]
            return torch.where(classes == 1, positive, 1 - positive)
        chosen = outputs.gather(-1, classes[..., None])[..., 0]
        if self.outputs == "probabilities":
            return chosen
        # softmax at one class: cheaper than the whole of it, which matters for small models.
        return (chosen - outputs.logsumexp(-1)).exp()

    def decided(self, outputs: Tensor) -> Tensor:
        """The answer as a number: the class, or the number of the set of labels. Not of an embedding.

        Args:
            outputs: (…, K).

        Returns:
            int32 (…): the class, the lowest on a tie; 1 where the probability is above the threshold. For
            `multi-label` int64 (…): see `number_of_set`.
        """
        if self.name == "single-label":
            return outputs.argmax(-1).int()
        there = self.there(outputs)
        return there[..., 0].int() if self.name == "binary" else number_of_set(there)

    def there(self, outputs: Tensor) -> Tensor:
        """Which labels are there, or whether the answer is positive: bool (…, K) of outputs (…, K).

        Logits are compared with the logit of the threshold, so that no rounding of a probability decides.

        Example:
            >>> Task("multi-label", "logits", (0.5, 0.9)).there(torch.tensor([1.0, 1.0]))
            tensor([ True, False])
        """
        assert self.threshold is not None, f"{self.name} has no threshold"
        if isinstance(self.threshold, float | int):
            return outputs > self._cut(self.threshold)
        cuts = torch.tensor([self._cut(each) for each in self.threshold], dtype=torch.float64)
        return outputs > cuts.to(outputs)

    def of_label(self, label: int) -> Task:
        """The task of one of several labels alone."""
        if not isinstance(self.threshold, tuple):
            return self
        return replace(self, threshold=self.threshold[label])

    def _cut(self, threshold: float) -> float:
        return in_outputs(threshold) if self.outputs == "logits" else threshold


def number_of_set(there: Tensor) -> Tensor:
    """A number for each set of labels, the same for the same set: int64 (…) of bool (…, K).

    Up to 62 labels are the bits of it. Of more labels it is a hash, so that two different sets have the same
    number by chance alone, in one of 4·10¹⁸ cases.

    Example:
        >>> number_of_set(torch.tensor([[True, False, True], [False, False, False]]))
        tensor([5, 0])
    """
    number = torch.zeros(there.shape[:-1], dtype=torch.int64, device=there.device)
    for part in torch.split(there.long(), BITS, -1):
        place = torch.arange(part.shape[-1], device=there.device)
        number = _mixed(number) ^ (part << place).sum(-1)
    return number


def _mixed(number: Tensor) -> Tensor:
    """0 for 0, else other bits, of which there are 62; whole numbers wrap around."""
    spread = (number * _ODD) & ((1 << BITS) - 1)
    return spread ^ (spread >> 31)


def check_task(task: str | None, outputs: str | None, threshold: Threshold | None) -> None:
    """Nothing where what was said of a task can be.

    Raises:
        UnknownNameError: No such task or kind of outputs.
        OptionError: A threshold outside [0, 1], or of a task without one.
    """
    for what, said, known in (("task", task, TaskName), ("kind of outputs", outputs, Outputs)):
        if said is not None and said not in get_args(known):
            raise unknown_name(what, str(said), get_args(known))
    if task is not None and outputs is not None and (task == "embedding") != (outputs == "vector"):
        raise OptionError(
            f"outputs that {task} can have",
            outputs,
            cause="An embedding is a vector, and every other task has logits or probabilities.",
        )
    if threshold is None:
        return
    check_threshold(threshold)
    if task in ("single-label", "embedding"):
        raise OptionError(
            f"no threshold for {task}",
            shown_threshold(threshold),
            cause="Only binary and multi-label answers have one.",
        )


def check_outputs(task: Task, outputs: Tensor, name: str) -> None:
    """Nothing where numbers (…, K) can be what a task says.

    Raises:
        ModelError: Probabilities outside [0, 1], or an embedding without a direction.
        OptionError: Not as many thresholds as there are labels.
    """
    if isinstance(task.threshold, tuple):
        thresholds_of_labels(task.threshold, outputs.shape[-1])
    if task.outputs == "probabilities":
        low, high = outputs.aminmax()
        if not (low >= -SLACK and high <= 1 + SLACK):
            raise ModelError(
                f"probabilities from 0 to 1 as the answer of {name}",
                f"numbers from {float(low):.4g} to {float(high):.4g}",
                cause=f"Its answers were read as probabilities: {task.why}." if task.why else "",
                fix="If they are logits, say so: --outputs logits (`outputs='logits'` in Python).",
            )
    if task.name == "embedding" and not bool(outputs.any(-1).all()):
        raise ModelError(
            f"embeddings with a direction as the answer of {name}",
            "one with zeros alone",
            cause="Its cosine to another vector is not defined.",
            fix="Leave out images without content, or check the model.",
        )


def other_outputs(n_now: int, n_before: int) -> ModelError:
    """The error for a model that does not answer everything with as many numbers."""
    return ModelError(
        f"a model that answers every image with {n_before} numbers", n_now, cause="It has answered both."
    )
