"""What a metric is: a function of a response, with everything that a reader of its number must know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from shiftproof._registry import Registry
from shiftproof._tasks import TaskName
from shiftproof.errors import ComparisonError
from shiftproof.metrics._estimate import Bounds, Kind, estimate_scores
from shiftproof.metrics._scores import MOVED, Scores, joined
from shiftproof.metrics._selection import Selection, everything, select
from shiftproof.probe import Response
from shiftproof.records import Estimate, NotApplicable

ALL: tuple[TaskName, ...] = get_args(TaskName)
# Tasks whose answer is one class, and those whose answer can be right.
CLASSES: tuple[TaskName, ...] = ("single-label", "binary")
WITH_TRUTH: tuple[TaskName, ...] = (*CLASSES, "multi-label")
IN_WORDS: dict[TaskName, str] = {
    "single-label": "answers with one class",
    "binary": "answers of yes or no",
    "multi-label": "answers with several labels",
    "embedding": "embeddings",
}


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A number about a response that every image contributes to, and what it means.

    Args:
        name: Unique name; says what rises.
        per_image: A response, or a part of it, to one number per image, or why there is none.
        summary: One sentence for a reader.
        higher_is_better: Direction.
        source: Where it comes from, and how ours differs.
        unit: Unit of its estimate.
        bounds: Least and largest value it can have; None for no bound.
        kind: How images are put together: the mean of a `share` between its bounds, the `mean` of
            numbers without an upper bound, or the `median`.
        needs_labels: Whether it only has a meaning for images whose true class is known.
        needs_moves: Whether it only has a meaning where an image was moved.
        tasks: For which answers it has a meaning.
        of_each: Whether the number of an image depends on its own answers alone: then a large response is
            looked at in parts, and memory does not grow with images × shifts.
    """

    name: str
    per_image: Callable[[Selection], Scores | NotApplicable]
    summary: str
    higher_is_better: bool
    source: str
    unit: str = "share of images"
    bounds: Bounds = (0.0, 1.0)
    kind: Kind = "share"
    needs_labels: bool = False
    needs_moves: bool = True
    tasks: tuple[TaskName, ...] = CLASSES
    of_each: bool = True

    def scores(
        self, answers: Response | Selection, part: Callable[[Selection], Selection] = everything
    ) -> Scores | NotApplicable:
        """One number per image, and which of them count; at least one does.

        Args:
            answers: A response, or a part of it such as `within(response, 4)`.
            part: Chooses what to look at, as in `Selection.with_shifts`; of some images as of all.
        """
        selection = select(answers)
        blocks = map(part, selection.blocks() if self.of_each else [selection])
        return joined([(block.n_images, self._of_block(block)) for block in blocks])

    def _of_block(self, selection: Selection) -> Scores | NotApplicable:
        if selection.task.name not in self.tasks:
            return NotApplicable(f"it has no meaning for {IN_WORDS[selection.task.name]}")
        if not selection.n_images:
            return NotApplicable("there are no images")
        if self.needs_labels and not selection.labelled.any():
            return NotApplicable("no image has a known true class")
        if self.needs_moves and not any(block.moved.any() for block in selection.blocks()):
            return NotApplicable(MOVED)
        scores = self.per_image(selection)
        if isinstance(scores, NotApplicable):
            return scores
        if self.needs_labels:
            scores = scores.only(selection.labelled)
        return scores if scores.counts.any() else NotApplicable(scores.reason)

    def estimate(
        self,
        *answers: Response | Selection,
        confidence: float = 0.95,
        part: Callable[[Selection], Selection] = everything,
    ) -> Estimate | NotApplicable:
        """The metric with its interval, over one response or over several seeds.

        Args:
            answers: One response (or part of one) per trained network; all to the same images under
                the same shifts.
            confidence: Nominal coverage.
            part: As in `scores`.

        Returns:
            The estimate, or why there is none: for example agreement where nothing was moved.

        Raises:
            ComparisonError: The responses are not to the same images under the same shifts.
        """
        found = [self.scores(selection, part) for selection in one_question(answers)]
        scores = [each for each in found if isinstance(each, Scores)]
        for each in found:
            if isinstance(each, NotApplicable):
                return each
        return estimate_scores(
            scores, kind=self.kind, unit=self.unit, bounds=self.bounds, confidence=confidence
        )


metrics: Registry[MetricSpec] = Registry("metric")


def one_question(answers: Sequence[Response | Selection]) -> list[Selection]:
    """Everything of each; `ComparisonError` where they are not to the same images and shifts, or none."""
    selections = [select(each) for each in answers]
    if not selections:
        raise ComparisonError("at least one response", "none")
    first = selections[0]
    for other in selections[1:]:
        if not (
            np.array_equal(first.labels, other.labels) and np.array_equal(first.offsets_px, other.offsets_px)
        ):
            raise ComparisonError(
                "responses to the same images under the same shifts",
                f"{first.n_images} images, {first.predicted.shape[1]} shifts beside "
                f"{other.n_images} images, {other.predicted.shape[1]} shifts with other labels or offsets",
                fix="Measure all of them with the same data, protocol and seed.",
            )
    return selections
