"""The claims about accuracy, on answers made by hand: each verdict follows what the answers are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from shiftproof.article._table import (
    LARGE,
    NONE,
    SMALL,
    Table,
    augmentation_checks,
    definition_checks,
    plummet_checks,
    replacement_checks,
)
from shiftproof.metrics import Estimate
from shiftproof.probe import Response
from shiftproof.records import Check, EnvironmentRecord, SplitRecord, StudyRecord

N = 1000
LABELS = np.arange(N) % 10
BY_HAND = StudyRecord(
    schema_version=1,
    kind="study",
    status="complete",
    name="by hand",
    title="",
    source="",
    preset="",
    preset_summary="",
    protocols=(),
    data=dict.fromkeys(("train", "test"), SplitRecord(name="by hand", n_images=N, digest="")),
    environment=EnvironmentRecord(shiftproof="", torch="", python="", device="", machine=""),
    config={"seeds": [0]},
    rows=(),
)
OFFSETS_PX = {NONE: 0.0, SMALL: 0.5, LARGE: 3.0}


def answers(accuracy: float, protocol: str, drift: float = 0.1) -> Response:
    """The first images are right, without a shift all are."""
    right = np.arange(N) < round(accuracy * N)
    predicted = np.where(right, LABELS, (LABELS + 1) % 10).astype(np.int32)[:, None]
    return Response(
        predicted=predicted,
        true_prob=right.astype(np.float32)[:, None],
        drift=np.full((N, 1), drift, np.float32),
        offsets_px=np.full((N, 1, 2), OFFSETS_PX[protocol]),
        labels=LABELS,
        unshifted_output=np.eye(10, dtype=np.float32)[LABELS],
        provenance={},
    )


def table(
    accuracies: Mapping[str, tuple[float, float, float]], n_seeds: int = 1, drift: float = 0.1
) -> Table:
    protocols = (NONE, SMALL, LARGE)
    return Table(
        BY_HAND,
        {
            row: [
                {p: answers(a, p, drift) for p, a in zip(protocols, each, strict=True)}
                for _ in range(n_seeds)
            ]
            for row, each in accuracies.items()
        },
    )


PUBLISHED = {
    "standard-nn": (0.93, 0.861, 0.449),
    "dense-nn": (0.93, 0.861, 0.449),
    "cnn1": (0.986, 0.919, 0.718),
    "cnn2": (0.989, 0.982, 0.831),
    "cnn2-augmented": (0.993, 0.992, 0.984),
}


def holds(checks: list[Check]) -> list[bool | None]:
    return [check.holds for check in checks]


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_reference_the_published_table_reproduces_claims_7_and_8(n_seeds: int) -> None:
    """D. Soni 2019, the table of the article, with its standard network also as dense-nn."""
    published = table(PUBLISHED, n_seeds)
    assert all(holds(plummet_checks(published)))
    assert all(holds(augmentation_checks(published)))


def test_equal_networks_reproduce_nothing() -> None:
    equal = table(dict.fromkeys(PUBLISHED, (0.9, 0.9, 0.9)))
    assert not any(holds(plummet_checks(equal)))
    assert holds(augmentation_checks(equal)) == [False, True]


def test_the_definition_asks_for_equal_logits() -> None:
    unmoved = dict.fromkeys(PUBLISHED, (1.0, 1.0, 1.0)) | {
        "standard-nn": (1, 1, 0.5),
        "dense-nn": (1, 1, 0.5),
    }
    assert holds(definition_checks(table(unmoved, drift=0.1))) == [False, True, True, True]
    assert holds(definition_checks(table(unmoved, drift=0.0))) == [True, True, True, True]


@pytest.mark.parametrize(("accuracy", "expected"), [(0.99, True), (0.9, False), (0.98, None)])
def test_a_replacement_may_lose_a_point(accuracy: float, expected: bool | None) -> None:
    both = table({"cnn2": (0.99, 0.99, 0.99), "strided-cnn": (accuracy, 0.9, accuracy)})
    assert holds(replacement_checks(both, "strided-cnn", "It")) == [expected, expected]


def test_oracle_a_contrast_is_the_difference_of_accuracies() -> None:
    effect = table(PUBLISHED).drops_less("cnn2", "standard-nn")
    assert isinstance(effect, Estimate)
    assert effect.value == pytest.approx((0.861 - 0.449) - (0.982 - 0.831))
    assert effect.low < effect.value < effect.high
