"""Which task a classifier has: as it was said, else as its answers and the labels of the images say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from shiftproof._tasks import Outputs, TaskName
from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._ending import Ending, ending_of
from shiftproof.adapters._failures import is_out_of_memory, of_others, too_little_memory
from shiftproof.adapters._task import (
    SLACK,
    Task,
    check_outputs,
    check_task,
    other_outputs,
)
from shiftproof.adapters._thresholds import (
    THRESHOLD,
    Threshold,
    numbers_of,
    shown_threshold,
    thresholds_of_labels,
)
from shiftproof.adapters._wrappers import inside
from shiftproof.errors import ModelError, OptionError

# Images that are asked about.
N_ASKED = 8


class TaskUnknownError(ModelError):
    """Neither what is said of a classifier nor its answers tell what these are."""


def with_task(
    classifier: Classifier,
    *,
    task: TaskName | None = None,
    outputs: Outputs | None = None,
    threshold: Threshold | None = None,
) -> Classifier:
    """The same classifier, of which more is said; None leaves what its source says.

    Raises:
        UnknownNameError: No such task or kind of outputs.
        OptionError: A threshold outside [0, 1], or parts that contradict each other.
    """
    check_task(task, outputs, threshold)
    if task is not None and task != classifier.task:
        # What the source says of another task has no meaning for this one.
        classifier = replace(classifier, outputs=None, threshold=None)
    said = replace(
        classifier,
        task=task or classifier.task,
        outputs=outputs or classifier.outputs,
        threshold=classifier.threshold if threshold is None else threshold,
    )
    check_task(said.task, said.outputs, said.threshold)
    return said


def known_task(classifier: Classifier) -> Task | None:
    """The task of a classifier of which enough is said; None where its answers have to be looked at.

    Example:
        >>> known_task(Classifier("mean", lambda images: images.mean((2, 3)), task="embedding")).outputs
        'vector'
    """
    if classifier.task is None or (classifier.outputs is None and classifier.task != "embedding"):
        return None
    threshold = classifier.threshold
    if isinstance(threshold, Mapping):  # the order of the labels is not known yet
        return None
    if threshold is not None and not isinstance(threshold, float | int):
        threshold = numbers_of(threshold)
    return _task(classifier, classifier.task, classifier.outputs or "vector", "as declared", threshold)


def tell_task(
    classifier: Classifier, images: Tensor, labels: Tensor, label_names: Sequence[str] = ()
) -> tuple[Task, int]:
    """The task of a classifier, by what is said of it and by its answers to a few images.

    Args:
        classifier: In evaluation mode.
        images: (n, C, H, W) in [0, 1]; a few that differ.
        labels: Of the whole set: int64 (N,), −1 where unknown; or (N, K) of 0 and 1, where an image may
            have several.
        label_names: Of the data, for thresholds by name where the model has no names of its own.

    Returns:
        The task, with the reason, and how many numbers an answer has.

    Raises:
        TaskUnknownError: It cannot be told.
        ModelError: What was said contradicts the answers.
        OptionError: Thresholds for other labels, or for other numbers of them.
        ShapeError: The answer is not (n, K).
    """
    answers = _one_by_one(classifier, images)
    known = known_task(classifier)
    name, why = (known.name, known.why) if known else _name(classifier, answers, images, labels)
    if name == "binary" and answers.shape[1] != 1:
        raise ModelError(
            f"one number for each image as the answer of {classifier.name}, for binary",
            f"{answers.shape[1]}",
            fix="Two classes with a number each are single-label; pick one number with --logits.",
        )
    if name == "single-label" and answers.shape[1] == 1:
        raise ModelError(
            f"one number for each class as the answer of {classifier.name}, for single-label",
            "one for each image",
            cause="It tells two classes apart by its sign or size, which is binary.",
            fix="Use --task binary.",
        )
    if known is None:
        outputs, because = _outputs(classifier, name, answers, images)
        threshold = classifier.threshold
        if name in ("binary", "multi-label"):
            names = _names(classifier, label_names) if name == "multi-label" else ()
            threshold = thresholds_of_labels(threshold, answers.shape[1], names)
        known = _task(classifier, name, outputs, f"{why}{because and '; '}{because}", threshold)
    check_outputs(known, answers, classifier.name)
    return known, answers.shape[1]


def _names(classifier: Classifier, label_names: Sequence[str]) -> Sequence[str]:
    """In the order of the outputs; none where labels are numbers, of which the last may not occur."""
    numbered = tuple(label_names) == tuple(map(str, range(len(label_names))))
    return classifier.class_names or (() if numbered else label_names)


@torch.inference_mode()
def _one_by_one(classifier: Classifier, images: Tensor) -> Tensor:
    try:
        rows = [classifier(image) for image in torch.split(images, 1)]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise too_little_memory() from error
    for row in rows:
        if row.shape[1] != rows[0].shape[1]:
            raise other_outputs(row.shape[1], rows[0].shape[1])
    return torch.cat(rows)


def _task(
    classifier: Classifier, name: TaskName, outputs: Outputs, why: str, threshold: Threshold | None
) -> Task:
    if name in ("single-label", "embedding"):
        if threshold is not None:
            raise OptionError(
                f"no threshold for {classifier.name}",
                shown_threshold(threshold),
                cause=f"Its task is {name} ({why}).",
                fix="Leave out --threshold, or say --task binary or multi-label.",
            )
        return Task(name, outputs, None, why)
    if threshold is None or isinstance(threshold, float | int):
        return Task(name, outputs, THRESHOLD if threshold is None else threshold, why)
    return Task(name, outputs, numbers_of(threshold), why)


def _name(classifier: Classifier, answers: Tensor, images: Tensor, labels: Tensor) -> tuple[TaskName, str]:
    if classifier.task is not None:
        return classifier.task, "as declared"
    if answers.shape[1] == 1:
        return "binary", "one number for each image"
    if labels.ndim == 2:
        return "multi-label", "images have several labels"
    if _sum_to_one(answers):
        return "single-label", "numbers that sum to 1"
    if bool(((answers.norm(dim=1) - 1).abs() < SLACK).all()):
        return "embedding", "vectors of length 1"
    if not _within(answers):
        return "single-label", "one number for each class"
    if bool((labels >= 0).any()):
        return "single-label", "each image has one class"
    ending = _ending(classifier, images)
    if ending == "linear":
        return "single-label", "one number for each class"
    if ending == "sigmoid":
        return "multi-label", "a sigmoid for each number"
    raise TaskUnknownError.cannot(
        f"tell what the answers of {classifier.name} are",
        f"they are {answers.shape[1]} numbers for each image, all from 0 to 1, which do not sum to 1",
        cause="They can be scores of classes, probabilities of labels, or an embedding.",
        fix="Say --task single-label, multi-label or embedding (`task=` in Python).",
    )


def _outputs(classifier: Classifier, name: TaskName, answers: Tensor, images: Tensor) -> tuple[Outputs, str]:
    if name == "embedding":
        return "vector", ""
    if classifier.outputs is not None:
        return classifier.outputs, f"{classifier.outputs} as declared"
    if not _within(answers):
        return "logits", "logits, as some lie outside 0 to 1"
    if name == "single-label" and _sum_to_one(answers):
        return "probabilities", "probabilities, as they sum to 1"
    ending = _ending(classifier, images)
    if ending == "linear":
        return "logits", "logits, as it ends in a linear layer"
    if ending is not None:
        return "probabilities", f"probabilities, as it ends in a {ending}"
    if name == "single-label":
        return "logits", "taken as logits"
    raise TaskUnknownError.cannot(
        f"tell whether {classifier.name} answers with logits or probabilities",
        "its numbers from 0 to 1 can be either",
        cause="The answer is yes above 0 for logits, and above 0.5 for probabilities.",
        fix="Say --outputs logits or --outputs probabilities (`outputs=` in Python).",
    )


def _within(answers: Tensor) -> bool:
    return bool(((answers >= -SLACK) & (answers <= 1 + SLACK)).all())


def _sum_to_one(answers: Tensor) -> bool:
    return _within(answers) and bool(((answers.sum(1) - 1).abs() < SLACK).all())


def _ending(classifier: Classifier, images: Tensor) -> Ending | None:
    """What the model ends in: as its source says, or as autograd has seen it for one image."""
    if classifier.ends_in is not None or not isinstance(classifier.model, nn.Module):
        return classifier.ends_in
    try:
        with torch.inference_mode(False), torch.enable_grad():
            seen = replace(classifier, model=inside(classifier.model))
            # A tensor that was made for inference alone cannot be followed.
            given = seen.shown(images[:1].clone()).requires_grad_()
            with classifier.wall(images):
                return ending_of(seen.part(seen.model(given)))
    except BaseException as error:  # whatever a model does under autograd, its numbers can still be looked at
        of_others(error)
        return None
