"""The kinds of answers that a model can give, and what reports call them."""

from __future__ import annotations

from typing import Literal, NamedTuple

TaskName = Literal["single-label", "binary", "multi-label", "embedding"]
Outputs = Literal["logits", "probabilities", "vector"]


class Words(NamedTuple):
    """How a report speaks of what agreement compares.

    Args:
        answer: One of them.
        answers: Several.
        always_same: What a model does that answers every image alike.
    """

    answer: str
    answers: str
    always_same: str


_OF_CLASSES = Words("prediction", "predictions", "predicts the same class for every image")
WORDS: dict[TaskName, Words] = {
    "single-label": _OF_CLASSES,
    "binary": _OF_CLASSES,
    "multi-label": Words("set of labels", "sets of labels", "finds the same labels in every image"),
    "embedding": Words(
        "nearest neighbour", "nearest neighbours", "has the same nearest neighbour for every image"
    ),
}
