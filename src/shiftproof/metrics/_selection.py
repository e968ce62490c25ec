"""What a metric looks at: a response, or the part of it with some shifts or images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from shiftproof.adapters import Task
from shiftproof.probe import Response

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]
Number = TypeVar("Number", bound=np.generic)


# What is computed of a large response is computed of so many answers at a time.
CELLS_AT_ONCE = 2**21
# Fields with a cell for each image and shift, and with a row for each image.
OF_CELLS = ("predicted", "true_prob", "drift", "label_output", "cosine", "neighbours", "counts")
OF_IMAGES = (
    "labels", "label_sets", "unshifted_predicted", "unshifted_true_prob", "unshifted_neighbours",
    "unshifted_output",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Selection:
    """Answers to N images under S shifts, of which some count. The fields are those of `Response`.

    Args:
        task: What an answer is.
        predicted: int (N, S); where an answer is a set of labels, a small number for each set that occurs.
        drift: float32 (N, S).
        offsets_px: float64 (S, 2) or (N, S, 2).
        labels: int (N,); the right answer as in `predicted`, −1 where unknown; for `embedding` the class.
        unshifted_predicted: int (N,).
        unshifted_output: float32 (N, K).
        counts: bool (N, S); which answers are looked at.
        true_prob: float32 (N, S).
        unshifted_true_prob: float32 (N,).
        label_output: float32 (N, S, K).
        label_sets: int (N, K) of 0 and 1; which labels are right.
        cosine: float32 (N, S).
        neighbours: int (N, S, k).
        unshifted_neighbours: int (N, k).
        of_images: What was computed from the images alone, shared by all parts with the same images.
    """

    task: Task
    predicted: npt.NDArray[np.integer[Any]]
    drift: npt.NDArray[np.floating[Any]]
    offsets_px: Floats
    labels: npt.NDArray[np.integer[Any]]
    unshifted_predicted: npt.NDArray[np.integer[Any]]
    unshifted_output: npt.NDArray[np.floating[Any]]
    counts: Bools
    true_prob: npt.NDArray[np.floating[Any]] | None = None
    unshifted_true_prob: npt.NDArray[np.floating[Any]] | None = None
    label_output: npt.NDArray[np.floating[Any]] | None = None
    label_sets: npt.NDArray[np.integer[Any]] | None = None
    cosine: npt.NDArray[np.floating[Any]] | None = None
    neighbours: npt.NDArray[np.integer[Any]] | None = None
    unshifted_neighbours: npt.NDArray[np.integer[Any]] | None = None
    of_images: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.predicted)

    @property
    def shares_offsets(self) -> bool:
        """Whether all images have the same shifts, so that a shift is a column."""
        return self.offsets_px.ndim == 2

    @cached_property
    def labelled(self) -> Bools:
        """bool (N,); whose true class is known."""
        return np.asarray(self.labels >= 0)

    @cached_property
    def radius_px(self) -> Floats:
        """float64 (S,) or (N, S); max(|dy|, |dx|) of each shift, in pixels."""
        return np.asarray(np.abs(self.offsets_px).max(-1))

    @cached_property
    def moved(self) -> Bools:
        """bool (N, S); what counts without the zero shift, whose answer is the unshifted one anyway."""
        return self.counts & (self.radius_px > 0)

    @property
    def is_measured(self) -> Bools:
        """bool (N,); which images have a shift that counts."""
        return np.asarray(self.counts.any(1))

    @property
    def is_moved(self) -> Bools:
        """bool (N,); which images have a shift that counts and is not zero."""
        return np.asarray(self.moved.any(1))

    def with_shifts(self, chosen: Bools) -> Selection:
        """Only some shifts: bool (S,) where all images share them, or (N, S)."""
        if chosen.ndim == 2:
            return replace(self, counts=self.counts & chosen)
        return replace(self, offsets_px=self.offsets_px[chosen], **self._cut(OF_CELLS, (slice(None), chosen)))

    def with_images(self, chosen: Bools | Ints | slice) -> Selection:
        """Only some images: bool (N,), their numbers in any order, or a slice, which copies nothing."""
        return replace(
            self,
            offsets_px=self.offsets_px if self.shares_offsets else self.offsets_px[chosen],
            of_images={},
            **self._cut((*OF_CELLS, *OF_IMAGES), (chosen,)),
        )

    def blocks(
        self, n_cells: int = CELLS_AT_ONCE, *, order: npt.NDArray[np.int64] | None = None
    ) -> Iterator[Selection]:
        """Some images after the others, so many that their cells are not more than these.

        Args:
            n_cells: How many answers at a time.
            order: Which images, the first ones first; by default all as they are, without copies.
        """
        n_images = self.n_images if order is None else len(order)
        n_rows = max(1, n_cells // max(1, self.predicted.shape[1]))
        if order is None and n_images <= n_rows:
            yield self
            return
        for start in range(0, n_images, n_rows):
            rows = slice(start, start + n_rows)
            yield self.with_images(rows if order is None else order[rows])

    def with_label(self, label: int) -> Selection:
        """Only one of several labels: its answers are 1 where it is there, and 0."""
        seen, unshifted = needed(self.label_output)[..., [label]], self.unshifted_output[:, [label]]
        task = self.task.of_label(label)
        sets = None if self.label_sets is None else self.label_sets[:, [label]]
        return replace(
            self,
            task=task,
            predicted=there(task, seen)[..., 0].astype(np.int64),
            unshifted_predicted=there(task, unshifted)[:, 0].astype(np.int64),
            labels=self.labels if sets is None else sets[:, 0],
            label_output=seen,
            label_sets=sets,
            unshifted_output=unshifted,
            of_images={},
        )

    def _cut(self, names: Sequence[str], index: tuple[Any, ...]) -> dict[str, Any]:
        arrays = {name: getattr(self, name) for name in names}
        return {name: array[index] for name, array in arrays.items() if array is not None}


def everything(selection: Selection) -> Selection:
    """All of it, as a choice of a part."""
    return selection


def there(task: Task, outputs: npt.NDArray[np.floating[Any]]) -> Bools:
    """Which labels are there: bool (…, K) of outputs (…, K)."""
    return np.asarray(task.there(torch.from_numpy(outputs)))


def needed(array: npt.NDArray[Number] | None) -> npt.NDArray[Number]:
    """An array that the task of a metric has."""
    assert array is not None, "metrics are asked about their tasks alone"
    return array


def select(answers: Response | Selection) -> Selection:
    """Everything of a response; a selection stays what it is."""
    if isinstance(answers, Selection):
        return answers
    predicted, unshifted_predicted, labels = answers.small_numbers
    has_class = answers.task.name in ("single-label", "binary")
    return Selection(
        task=answers.task,
        predicted=predicted,
        drift=answers.drift,
        offsets_px=answers.offsets_px,
        labels=labels,
        unshifted_predicted=unshifted_predicted,
        unshifted_output=answers.unshifted_output,
        counts=np.broadcast_to(np.True_, answers.predicted.shape),
        true_prob=answers.true_prob if has_class else None,
        unshifted_true_prob=answers.unshifted_true_prob if has_class else None,
        label_output=answers.label_output,
        label_sets=answers.labels if answers.labels.ndim == 2 else None,
        cosine=answers.cosine,
        neighbours=answers.neighbours,
        unshifted_neighbours=answers.unshifted_neighbours,
    )


def as_if_moved(repeated: Response) -> Selection:
    """Answers to the same image asked again, as if each repetition were a shift: what metrics make of noise.

    Args:
        repeated: From `shiftproof.probe.measure_noise`, whose offsets are 0.
    """
    places = np.arange(1.0, 1 + repeated.n_shifts)
    return replace(select(repeated), offsets_px=np.stack([0 * places, places], 1))


def within(answers: Response | Selection, radius_px: float) -> Selection:
    """Only the shifts of at most a radius, as in the gate `agreement@4`.

    Args:
        answers: A response or a part of it.
        radius_px: Largest max(|dy|, |dx|), in pixels.

    Returns:
        A selection that every metric takes in place of a response. Where shifts were drawn for each
        image, an image without a shift inside the radius does not count in a metric over shifts.

    Example:
        >>> import numpy as np
        >>> response = Response(
        ...     predicted=np.zeros((1, 3), np.int32), true_prob=np.ones((1, 3), np.float32),
        ...     drift=np.zeros((1, 3), np.float32), offsets_px=np.array([[0.0, 1], [-4, 2], [5, 0]]),
        ...     labels=np.zeros(1, np.int64), unshifted_output=np.ones((1, 2), np.float32), provenance={})
        >>> within(response, 4).offsets_px.tolist()
        [[0.0, 1.0], [-4.0, 2.0]]
    """
    return inside(radius_px)(select(answers))


def inside(radius_px: float | None) -> Callable[[Selection], Selection]:
    """The same as a choice of a part; everything for None."""
    if radius_px is None:
        return everything
    return lambda selection: selection.with_shifts(selection.radius_px <= radius_px)
