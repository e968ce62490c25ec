"""What a metric looks at: a response, or the part of it with some shifts or images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from shiftproof.probe import Response

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Selection:
    """Answers to N images under S shifts, of which some count. The fields are those of `Response`.

    Args:
        predicted: int (N, S).
        true_prob: float32 (N, S).
        drift: float32 (N, S).
        offsets_px: float64 (S, 2) or (N, S, 2).
        labels: int (N,); −1 where unknown.
        unshifted_predicted: int (N,).
        unshifted_true_prob: float32 (N,).
        unshifted_logits: float32 (N, K).
        counts: bool (N, S); which answers are looked at.
        of_images: What was computed from the images alone, shared by all parts with the same images.
    """

    predicted: npt.NDArray[np.integer[Any]]
    true_prob: npt.NDArray[np.floating[Any]]
    drift: npt.NDArray[np.floating[Any]]
    offsets_px: Floats
    labels: npt.NDArray[np.integer[Any]]
    unshifted_predicted: npt.NDArray[np.integer[Any]]
    unshifted_true_prob: npt.NDArray[np.floating[Any]]
    unshifted_logits: npt.NDArray[np.floating[Any]]
    counts: Bools
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
        return replace(
            self,
            predicted=self.predicted[:, chosen],
            true_prob=self.true_prob[:, chosen],
            drift=self.drift[:, chosen],
            counts=self.counts[:, chosen],
            offsets_px=self.offsets_px[chosen],
        )

    def with_images(self, chosen: Bools) -> Selection:
        """Only some images: bool (N,)."""
        return replace(
            self,
            predicted=self.predicted[chosen],
            true_prob=self.true_prob[chosen],
            drift=self.drift[chosen],
            counts=self.counts[chosen],
            offsets_px=self.offsets_px if self.shares_offsets else self.offsets_px[chosen],
            labels=self.labels[chosen],
            unshifted_predicted=self.unshifted_predicted[chosen],
            unshifted_true_prob=self.unshifted_true_prob[chosen],
            unshifted_logits=self.unshifted_logits[chosen],
            of_images={},
        )


def select(answers: Response | Selection) -> Selection:
    """Everything of a response; a selection stays what it is."""
    if isinstance(answers, Selection):
        return answers
    return Selection(
        predicted=answers.predicted,
        true_prob=answers.true_prob,
        drift=answers.drift,
        offsets_px=answers.offsets_px,
        labels=answers.labels,
        unshifted_predicted=answers.unshifted_predicted,
        unshifted_true_prob=answers.unshifted_true_prob,
        unshifted_logits=answers.unshifted_logits,
        counts=np.broadcast_to(np.True_, answers.predicted.shape),
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
        ...     labels=np.zeros(1, np.int64), unshifted_logits=np.ones((1, 2), np.float32), provenance={})
        >>> within(response, 4).offsets_px.tolist()
        [[0.0, 1.0], [-4.0, 2.0]]
    """
    selection = select(answers)
    return selection.with_shifts(selection.radius_px <= radius_px)
