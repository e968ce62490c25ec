"""The first metrics: accuracy, agreement with the unshifted answer, worst case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shiftproof._registry import Registry
from shiftproof.errors import ComparisonError
from shiftproof.metrics._estimate import Estimate, estimate_share
from shiftproof.probe import Response

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A share in [0, 1] that every image contributes to, and what it means.

    Args:
        name: Unique name; says what rises.
        per_image: A response to one share per image: float64 (N,), in [0, 1].
        summary: One sentence for a reader.
        higher_is_better: Direction.
        source: Where it comes from, and how ours differs.
        unit: Unit of its estimate.
    """

    name: str
    per_image: Callable[[Response], Shares]
    summary: str
    higher_is_better: bool
    source: str
    unit: str = "share of images"

    def estimate(self, *responses: Response, confidence: float = 0.95) -> Estimate:
        """The metric with its interval, over one response or over several seeds.

        Args:
            responses: One per trained network; all to the same images under the same shifts.
            confidence: Nominal coverage.

        Raises:
            ComparisonError: The responses are not to the same images under the same shifts.
        """
        _check_same_question(responses)
        rows = np.stack([self.per_image(response) for response in responses])
        return estimate_share(rows, unit=self.unit, confidence=confidence)


metrics: Registry[MetricSpec] = Registry("metric")


def accuracy_per_image(response: Response) -> Shares:
    """Share of the shifts at which the true class is predicted: float64 (N,)."""
    return _share_of_shifts(_right(response))


def agreement_per_image(response: Response) -> Shares:
    """Share of the shifts at which the answer is that to the unshifted image: float64 (N,)."""
    return _share_of_shifts(response.predicted == response.unshifted_predicted[:, None])


def worst_case_per_image(response: Response) -> Shares:
    """1 where the true class is predicted unshifted and at every shift, else 0: float64 (N,)."""
    right = response.unshifted_predicted == response.labels
    return np.asarray(right & _right(response).all(1), dtype=np.float64)


def _share_of_shifts(holds: npt.NDArray[np.bool_]) -> Shares:
    return np.asarray(holds.mean(1), dtype=np.float64)


def _right(response: Response) -> npt.NDArray[np.bool_]:
    return np.asarray(response.predicted == response.labels[:, None])


def _check_same_question(responses: Sequence[Response]) -> None:
    if not responses:
        raise ComparisonError("at least one response", "none")
    first = responses[0]
    for other in responses[1:]:
        if not (
            np.array_equal(first.labels, other.labels) and np.array_equal(first.offsets_px, other.offsets_px)
        ):
            raise ComparisonError(
                "responses to the same images under the same shifts",
                f"{first.n_images} images, {first.n_shifts} shifts beside "
                f"{other.n_images} images, {other.n_shifts} shifts with other labels or offsets",
                fix="Measure all of them with the same data, protocol and seed.",
            )


for _spec in (
    MetricSpec(
        "accuracy",
        accuracy_per_image,
        "how often the shifted image is classified correctly",
        True,
        "mean over shifts, then over images",
    ),
    MetricSpec(
        "agreement",
        agreement_per_image,
        "how often the answer to the shifted image is that to the unshifted one, right or wrong",
        True,
        "Azulay and Weiss 2019, arXiv:1805.12177 (1 − their change rate)",
    ),
    MetricSpec(
        "worst-case-accuracy",
        worst_case_per_image,
        "how often an image is classified correctly unshifted and at every shift measured",
        True,
        "Engstrom et al. 2019, arXiv:1712.02779, over the protocol's shifts instead of a grid attack",
    ),
):
    metrics.register(_spec.name, _spec)
