"""One metric over parts of a response: parts that were picked by hand give the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from shiftproof.errors import ComparisonError, OptionError
from shiftproof.metrics import Estimate, NotApplicable, by_class, by_phase, by_radius, by_shift, metrics
from shiftproof.probe import Response

Make = Callable[..., Response]
AGREEMENT = metrics.get("agreement")
ACCURACY = metrics.get("accuracy")
OFFSETS = [(-2, 0), (-1, 1), (0, 0), (0, 1), (3, -3), (1, 2)]


@pytest.fixture(scope="module")
def response(build: Make) -> Response:
    """Six shifts, three images of classes 1, 1 and 2; the unshifted answers are the classes."""
    answers = [[0, 1, 1, 1, 0, 1], [0, 0, 1, 1, 1, 1], [0, 2, 2, 0, 0, 2]]
    return build(answers, [1, 1, 2], [1, 1, 2], offsets_px=OFFSETS)


def values(parts: object) -> dict[object, float | None]:
    assert isinstance(parts, dict)
    return {key: each.value if isinstance(each, Estimate) else None for key, each in parts.items()}


def test_by_shift(response: Response) -> None:
    expected = {(-2, 0): 0, (-1, 1): 2 / 3, (0, 0): None, (0, 1): 2 / 3, (3, -3): 1 / 3, (1, 2): 1}
    found = by_shift(AGREEMENT, response)
    assert values(found) == expected
    assert list(found) == OFFSETS if isinstance(found, dict) else False
    assert values(by_shift(ACCURACY, response)) == {**expected, (0, 0): 1}


def test_by_radius(response: Response) -> None:
    assert values(by_radius(AGREEMENT, response)) == pytest.approx({0: None, 1: 4 / 6, 2: 3 / 6, 3: 1 / 3})
    half = dataclasses.replace(response, offsets_px=response.offsets_px / 2)
    # radii 1, 0.5, 0, 0.5, 1.5, 1
    assert values(by_radius(AGREEMENT, half)) == pytest.approx({0: None, 1: 7 / 12, 2: 1 / 3}, abs=0.001)


def test_by_radius_with_offsets_of_each_image(build: Make) -> None:
    drawn = build([[0, 0], [0, 1]], [0, 0], [0, 0], offsets_px=[[(0, 1), (1, 1)], [(2, 0), (0, 0.5)]])
    found = by_radius(AGREEMENT, drawn)
    assert values(found) == {1: 0.5, 2: 1}
    one, two = found[1], found[2]
    assert isinstance(one, Estimate)
    assert isinstance(two, Estimate)
    assert (one.n_images, two.n_images) == (2, 1)


def test_convention_by_phase(response: Response) -> None:
    """−1 mod 2 is 1: an offset to the left is on the same grid as one to the right."""
    expected = {(0, 0): 0, (0, 1): 2 / 3, (1, 0): 1, (1, 1): 3 / 6}
    assert values(by_phase(AGREEMENT, response, stride_px=2)) == pytest.approx(expected)
    everything = AGREEMENT.estimate(response)
    assert by_phase(AGREEMENT, response, stride_px=1) == {(0, 0): everything}
    with pytest.raises(OptionError, match="a stride of at least 1 px"):
        by_phase(AGREEMENT, response, stride_px=0)
    half = dataclasses.replace(response, offsets_px=response.offsets_px / 2)
    assert isinstance(by_phase(AGREEMENT, half, stride_px=2), NotApplicable)


def test_by_class(response: Response) -> None:
    assert values(by_class(AGREEMENT, response)) == pytest.approx({1: 6 / 10, 2: 2 / 5})
    assert values(by_class(metrics.get("sensitivity"), response)) == {1: None, 2: None}
    assert by_class(AGREEMENT, dataclasses.replace(response, labels=np.array([1, -1, -1]))).keys() == {1}  # type: ignore[union-attr]
    nobody = dataclasses.replace(response, labels=np.array([-1, -1, -1]))
    assert isinstance(by_class(AGREEMENT, nobody), NotApplicable)


def test_there_must_be_something_to_look_at(simulate: Make) -> None:
    with pytest.raises(ComparisonError, match="at least one response"):
        by_radius(AGREEMENT)
    with pytest.raises(ComparisonError, match="same images under the same shifts"):
        by_shift(AGREEMENT, simulate(0), simulate(1))


def test_no_map_without_shared_offsets(simulate: Make) -> None:
    assert isinstance(by_shift(AGREEMENT, simulate(0, per_image=True)), NotApplicable)


@pytest.mark.parametrize("metric", list(metrics), ids=lambda m: m.name)
def test_every_metric_has_every_view(metric: object, simulate: Make) -> None:
    """Parts of several seeds, of shared offsets and of drawn ones; the parts of images add up."""
    spec = metrics.get(getattr(metric, "name"))  # noqa: B009
    seeds = [simulate(0, 80, 8, tremor=t) for t in (2.0, 3.0)]
    drawn = simulate(1, 80, 8, tremor=2, per_image=True)
    for found in (
        by_shift(spec, *seeds), by_radius(spec, *seeds), by_class(spec, *seeds), by_radius(spec, drawn),
        by_phase(spec, *seeds, stride_px=2), by_phase(spec, drawn, stride_px=3), by_class(spec, drawn),
    ):  # fmt: skip
        assert isinstance(found, dict)
        assert found
        for part in found.values():
            assert isinstance(part, (Estimate, NotApplicable))
            assert isinstance(part, NotApplicable) or part.low <= part.value <= part.high


def test_parts_are_those_of_the_whole(simulate: Make) -> None:
    """Accuracy of a grid is the mean of its map; that of a class is that of its images."""
    response = simulate(2, 60, 9)
    found = by_shift(
        ACCURACY,
        dataclasses.replace(response, offsets_px=np.indices((3, 3)).reshape(2, 9).T.astype(np.float64)),
    )
    whole = ACCURACY.estimate(response)
    assert isinstance(whole, Estimate)
    assert np.mean(list(values(found).values())) == pytest.approx(whole.value)
