"""A large response is looked at in blocks of images: the same numbers, in memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftproof.metrics import MetricSpec, Selection, by_class, by_radius, metrics, parse_gate, select
from shiftproof.metrics._selection import everything, inside
from shiftproof.probe import Response
from shiftproof.records import Estimate, NotApplicable

WHOLE = Selection.blocks
OFFSETS = np.array([(dy, dx) for dy in (-3, 0, 2) for dx in (-1, 0, 4)], float)
PARTS: dict[str, Callable[[Selection], Selection]] = {
    "everything": everything,
    "inside 2 px": inside(2),
    "only the zero shift": inside(0),
    "one class": lambda some: some.with_images(some.labels == 1),
}


def response(n_images: int, seed: int = 0, offsets: np.ndarray = OFFSETS) -> Response:
    draw = np.random.default_rng(seed)
    shape = (n_images, len(offsets))
    return Response(
        predicted=draw.integers(0, 3, shape).astype(np.int32),
        true_prob=draw.random(shape, np.float32),
        drift=draw.random(shape, np.float32),
        offsets_px=offsets,
        labels=draw.integers(-1, 3, n_images),
        unshifted_output=draw.standard_normal((n_images, 3)).astype(np.float32),
        provenance={},
    )


@settings(max_examples=25)
@given(n_images=st.integers(1, 30), n_rows=st.integers(1, 12), seed=st.integers(0, 3))
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("spec", metrics, ids=lambda spec: spec.name)
def test_scores_are_those_of_the_whole(
    spec: MetricSpec, part: Callable[[Selection], Selection], n_images: int, n_rows: int, seed: int
) -> None:
    whole, n_cells = select(response(n_images, seed)), n_rows * len(OFFSETS)
    at_once = replace(spec, of_each=False).scores(whole, part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Selection, "blocks", lambda self: WHOLE(self, n_cells))
        in_blocks = spec.scores(whole, part)
    if isinstance(at_once, NotApplicable):
        assert isinstance(in_blocks, NotApplicable)
        return
    assert not isinstance(in_blocks, NotApplicable)
    np.testing.assert_array_equal(in_blocks.counts, at_once.counts)
    np.testing.assert_array_equal(in_blocks.sample, at_once.sample)


def test_memory_does_not_grow_with_the_images() -> None:
    """Not by more than one number an image."""
    grid = np.array([(dy, dx) for dy in range(-8, 9) for dx in range(-8, 9)], float)
    small, large = response(8_000, offsets=grid), response(24_000, offsets=grid)
    size = large.predicted.nbytes + large.true_prob.nbytes + large.drift.nbytes
    for spec in metrics:
        if "single-label" in spec.tasks:
            grown = peak(spec, large) - peak(spec, small)
            assert grown < size / 8, spec.name


def peak(spec: MetricSpec, answers: Response) -> int:
    tracemalloc.start()
    spec.scores(answers)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_views_and_gates_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, agreement = response(40), metrics.get("agreement")

    def found() -> list[object]:
        by = [by_radius(agreement, answers), by_class(agreement, answers)]
        values = [
            each.value for one in by if not isinstance(one, NotApplicable) for each in one.values()
            if isinstance(each, Estimate)
        ]  # fmt: skip
        gate = parse_gate("agreement@2>=0.5").estimate(answers)
        assert isinstance(gate, Estimate)
        return [*values, gate.value, gate.n_images]

    whole = found()
    assert len(whole) > 5
    monkeypatch.setattr(Selection, "blocks", lambda self: WHOLE(self, 3 * len(OFFSETS)))
    assert found() == whole
