"""What an edit is worth: the same images, the same shifts, the same clock for every one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier, Task, evaluating
from shiftproof.data import UNKNOWN, Images
from shiftproof.edits import forwards
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.fix._count import Count, Tell
from shiftproof.metrics import Difference, Estimate, NotApplicable, compare_responses, metrics
from shiftproof.probe import AtOnce, Response, averaged_at_once, measure_response
from shiftproof.shifts import ShiftProtocol
from shiftproof.zoo import ImageShape

Estimates = Mapping[str, Estimate | NotApplicable]
SHOWN = ("clean-accuracy", "accuracy", "agreement", "worst-case-accuracy")
TIMED_IMAGES = 8
# Times that an answer is clocked: at least so often, and for so long where it is short, but no more often.
REPEATS, TIMED_SECONDS, MOST_REPEATS = 5, 1.0, 50


@dataclass(frozen=True)
class Measuring:
    """How every candidate is measured.

    Args:
        protocol: Which shifts.
        seed: Of the shifts.
        device: Where models are.
        batch_size, threads: As in `measure_response`.
        check_stop: Called between batches; may raise `Stopped`.
    """

    protocol: ShiftProtocol
    seed: int
    device: torch.device
    batch_size: int | None
    threads: int | None
    check_stop: Callable[[], None]

    def response(self, classifier: Classifier, images: Images) -> Response:
        """What a candidate answers."""
        return measure_response(
            classifier,
            images,
            self.protocol,
            seed=self.seed,
            batch_size=self.batch_size,
            device=self.device,
            threads=self.threads,
            provenance={"data": images.digest},
            check_stop=self.check_stop,
        )

    def responses(
        self, classifiers: Sequence[Classifier], images: Images, n_images: int, tell: Tell
    ) -> list[Response | ShiftproofError]:
        """What each answers to the first of the images, or the error that ended it.

        Args:
            classifiers: The candidates.
            images: Which images.
            n_images: How many of them, from the first.
            tell: Told every few seconds how many candidates are measured.
        """
        shown = images if n_images == len(images) else images.take(torch.arange(n_images))
        count, found = Count(len(classifiers), tell), []
        for number, each in enumerate(classifiers):
            found.append(self._response_or_error(each, shown))
            count(number, found[-1])
        return found

    def _response_or_error(self, classifier: Classifier, images: Images) -> Response | ShiftproofError:
        try:
            return self.response(classifier, images)
        except Stopped:
            raise
        except ShiftproofError as error:
            return error


def estimates(response: Response, confidence: float) -> dict[str, Estimate | NotApplicable]:
    """The numbers of a row."""
    return {name: metrics.get(name).estimate(response, confidence=confidence) for name in SHOWN}


def score(found: Estimates) -> float:
    """By what candidates are chosen: how often the answer to a shifted image is right."""
    return _value(found["accuracy"])


def clean_score(found: Estimates) -> float:
    """How often the answer to the image as it is is right."""
    return _value(found["clean-accuracy"])


def _value(found: Estimate | NotApplicable) -> float:
    return found.value if isinstance(found, Estimate) else 0.0


def differences(
    response: Response, original: Response, confidence: float
) -> dict[str, Difference | NotApplicable]:
    """Those of a row minus those of the original, paired by image."""
    return {
        name: compare_responses(response, original, metrics.get(name), confidence=confidence)
        for name in SHOWN
    }


def with_truth(
    classifier: Classifier, images: Images, device: torch.device, task: Task, n_classes: int
) -> tuple[Images, bool]:
    """The images with labels, and whether these were given.

    Where no image has a label, what the model answers to the image as it is counts as right: a model that
    always says the same would be perfectly invariant, and is not what anybody wants.
    """
    if bool((images.labels != UNKNOWN).any()):
        return images, True
    answers = task.decided(answers_to(classifier, images, device)).long().cpu()
    names = classifier.class_names or tuple(str(k) for k in range(n_classes))
    return images.with_labels(answers, names), False


@torch.inference_mode()
def answers_to(classifier: Classifier, images: Images, device: torch.device, batch: int = 64) -> Tensor:
    """What it answers to the images as they are: (N, K)."""
    with evaluating(classifier.model):
        parts = [
            classifier(images.pixels(slice(start, start + batch)).to(device).float() / 255)
            for start in range(0, len(images), batch)
        ]
    return torch.cat(parts)


def milliseconds(classifiers: Mapping[str, Classifier], images: Tensor) -> dict[str, float]:
    """What an image costs each of several models: the best of `REPEATS` or more, in turns.

    The best one is the one that the rest of the machine disturbed least. Shifts that a model averages over
    are computed at once where that is exact, as they are wherever a model is measured.

    Args:
        classifiers: By name.
        images: (N, C, H, W) in [0, 1], on their device.
    """
    best = dict.fromkeys(classifiers, float("inf"))
    channels, height, width = images.shape[1:]
    timed = {name: averaged_at_once(each, (channels, height, width)) for name, each in classifiers.items()}
    turn, start = 0, time.perf_counter()
    while turn <= REPEATS or (turn <= MOST_REPEATS and time.perf_counter() - start < TIMED_SECONDS):
        for name, classifier in timed.items():
            seconds = _seconds(classifier, images)
            if turn:  # The first one warms up.
                best[name] = min(best[name], 1000 * seconds / len(images))
        turn += 1
    return best


@torch.inference_mode()
def _seconds(classifier: Classifier, images: Tensor) -> float:
    with evaluating(classifier.model):
        start = time.perf_counter()
        classifier(images).sum().item()  # waits for the answer
        return time.perf_counter() - start


def passes(classifier: Classifier, image_shape: ImageShape) -> tuple[int, float]:
    """Forward passes for an image: one for each view of it, and as many as they cost when they share work.

    Args:
        classifier: An edited one.
        image_shape: (C, H, W).
    """
    n = forwards(classifier.model)
    shared = averaged_at_once(classifier, image_shape).model
    return n, shared.forwards if isinstance(shared, AtOnce) else float(n)


def n_parameters(model: object) -> int | None:
    """How many numbers a module has learned; None for a function."""
    return sum(p.numel() for p in model.parameters()) if isinstance(model, nn.Module) else None


def on_the_front(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """For each point, whether no other one is worth more at the cost, or as much at less.

    Example:
        >>> on_the_front([1, 2, 3], [0.5, 0.9, 0.8])
        [True, True, False]
    """
    points = list(zip(costs, values, strict=True))
    return [
        not any((c <= cost and v > value) or (c < cost and v >= value) for c, v in points)
        for cost, value in points
    ]
