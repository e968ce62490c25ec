"""One number per image, and whose count: what a metric makes of a response before any statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from shiftproof.metrics._selection import Bools, Floats, Selection
from shiftproof.records import NotApplicable


@dataclass(frozen=True, eq=False)
class Scores:
    """A number for each image; the metric is their mean, or median, over the images that count.

    Args:
        values: float64 (N,); arbitrary where an image does not count.
        counts: bool (N,).
        reason: Why nothing counts, for the case that nothing does.
        shared: float64 (N,) or None; how much each image moves the metric through a number that all
            images share, such as a chance level: the influence function of that part, with mean 0.
        lowest: Least value that a mean could take on this data.
    """

    values: Floats
    counts: Bools
    reason: str
    shared: Floats | None = None
    lowest: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of the values that count."""
        return float(self.values[self.counts].mean())

    @property
    def influences(self) -> Floats:
        """float64 (N,); numbers whose mean is the metric and whose spread over images is its spread.

        Where all images count and nothing is shared they are the values; elsewhere the first-order
        (infinitesimal jackknife) contribution of each image to a ratio of means.
        """
        centred = np.where(self.counts, self.values, self.mean) - self.mean
        added = 0.0 if self.shared is None else self.shared
        return np.asarray(self.mean + centred / self.counts.mean() + added)

    @property
    def sample(self) -> Floats:
        """float64 (n,); independent numbers, one per image, whose mean is the metric."""
        return self.values[self.counts] if self.shared is None else self.influences

    def only(self, images: Bools) -> Scores:
        """The same with fewer images that count."""
        return replace(self, counts=self.counts & images)


def joined(blocks: Sequence[tuple[int, Scores | NotApplicable]]) -> Scores | NotApplicable:
    """The scores of blocks of images as those of all of them; where nothing counts in any, why.

    Args:
        blocks: How many images each has, and its scores, which share nothing where there are several.
    """
    scores = [each for _, each in blocks if isinstance(each, Scores)]
    reasons = [(n, each) for n, each in blocks if isinstance(each, NotApplicable)]
    if not scores:
        return next((each for n, each in reasons if n), reasons[0][1])
    if len(blocks) == 1:
        return scores[0]
    parts = [
        (each.values, each.counts) if isinstance(each, Scores) else (np.zeros(n), np.zeros(n, np.bool_))
        for n, each in blocks
    ]
    values, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return replace(scores[0], values=values, counts=counts)


def in_blocks(answers: Selection, per_image: Callable[[Selection], Scores]) -> Scores:
    """The scores of images each for itself, some after the others; see `Selection.blocks`."""
    blocks = [per_image(block) for block in answers.blocks()]
    values, counts = (
        np.concatenate(arrays) for arrays in zip(*((s.values, s.counts) for s in blocks), strict=True)
    )
    return replace(blocks[0], values=values, counts=counts)


MOVED = "no image was moved, and the zero shift agrees with itself by construction"


def mean_over_shifts(
    values: npt.NDArray[np.floating[Any]] | Bools, counts: Bools, reason: str = MOVED
) -> Scores:
    """The mean of (N, S) values over the shifts that count; an image without any does not count.

    Example:
        >>> cells = np.array([[1.0, 0.0], [1.0, 1.0]])
        >>> scores = mean_over_shifts(cells, np.array([[True, True], [False, False]]))
        >>> scores.values.tolist(), scores.counts.tolist()
        ([0.5, 0.0], [True, False])
    """
    n_shifts = counts.sum(1)
    total = np.add.reduce(values, axis=1, dtype=np.float64, where=counts)
    return Scores(total / np.maximum(n_shifts, 1), n_shifts > 0, reason)
