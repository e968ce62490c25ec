"""What an audit shows for each task, and whether the labels of the images fit it."""

from __future__ import annotations

from dataclasses import dataclass

from shiftproof._tasks import TaskName
from shiftproof.adapters import Classifier, Task
from shiftproof.data import Images, match_labels
from shiftproof.errors import DataError
from shiftproof.probe import Response


@dataclass(frozen=True, slots=True)
class Shown:
    """The metrics of a report.

    Args:
        headline: The four that say most, for images with labels.
        headline_without_labels: The same for images without.
        drawn: Those with maps and curves.
        of_classes: Those with a number for each class or label.
    """

    headline: tuple[str, ...]
    headline_without_labels: tuple[str, ...]
    drawn: tuple[str, ...]
    of_classes: tuple[str, ...]


_OF_CLASSES = Shown(
    headline=("clean-accuracy", "agreement", "worst-case-agreement", "kept-when-right"),
    headline_without_labels=("agreement", "worst-case-agreement", "wobble", "drift"),
    drawn=("agreement", "accuracy", "drift"),
    of_classes=("clean-accuracy", "agreement", "worst-case-agreement"),
)
_OF_VECTORS = ("cosine", "agreement", "worst-case-agreement", "neighbour-overlap")
SHOWN: dict[TaskName, Shown] = {
    "single-label": _OF_CLASSES,
    "binary": _OF_CLASSES,
    "multi-label": Shown(
        headline=("clean-average-precision", "average-precision", "agreement", "label-flip-rate"),
        headline_without_labels=("agreement", "worst-case-agreement", "label-flip-rate", "mean-abs-change"),
        drawn=("agreement", "average-precision", "label-flip-rate"),
        of_classes=("clean-average-precision", "average-precision", "label-flip-rate"),
    ),
    "embedding": Shown(
        headline=_OF_VECTORS,
        headline_without_labels=_OF_VECTORS,
        drawn=("agreement", "cosine", "neighbour-overlap"),
        of_classes=("agreement", "cosine", "neighbour-overlap"),
    ),
}


def headline(response: Response) -> tuple[str, ...]:
    """The four metrics that say most, with or without labels."""
    shown = SHOWN[response.task.name]
    return shown.headline if (response.labels >= 0).any() else shown.headline_without_labels


def fitted(images: Images, classifier: Classifier, task: Task, n_classes: int) -> Images:
    """Images with labels as the model numbers them.

    Args:
        images: With labels or without.
        classifier: May have names for its classes.
        task: What it answers.
        n_classes: How many classes or labels there are.

    Raises:
        DataError: The labels are of another task, or of other classes.
    """
    several, known = images.labels.ndim == 2, bool((images.labels >= 0).any())
    if task.name == "multi-label" and known and not several:
        raise DataError(
            f"images that may have several labels, for {classifier.name}",
            f"one class for each image of {images.name}",
            cause="Its task is multi-label, and a folder for each class, like a column `label`, says nothing "
            "about the other labels of an image.",
            fix="Write a CSV file with the columns path,labels and cells such as cat|dog; or give images "
            "without labels.",
        )
    if several and task.name != "multi-label":
        raise DataError(
            f"one class for each image, or none, for {classifier.name}",
            f"several labels for images of {images.name}",
            cause=f"Its task is {task.name} ({task.why}).",
            fix="Say --task multi-label if each of its numbers is a label.",
        )
    if task.name == "embedding":  # its numbers are no classes
        return images
    try:
        return match_labels(images, classifier.class_names, n_classes)
    except DataError as error:
        if task.name != "binary":
            raise
        raise DataError(
            error.expected,
            error.got,
            cause=f"One number for each image tells two classes apart. {error.cause}".strip(),
            fix=error.fix,
        ) from error
