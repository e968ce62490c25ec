"""Increases that add up along any network, whatever the errors are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.explain._blame import CAUSES, Loss, blame, loss_of
from shiftproof.explain._calls import IMAGES
from shiftproof.explain._equivariance import CONDITIONS, Condition, Errors, Measured
from shiftproof.explain._graph import Graph, Step
from shiftproof.explain._space import Space
from shiftproof.metrics import NotApplicable

N_IMAGES = 3
MAPS = Space("nchw", 4, (8, 8))


def step(name: str, *inputs: str, is_row: bool = False, opaque: bool = False) -> Step:
    space = None if is_row or opaque else MAPS
    return Step(name, "Layer", name, inputs, space, (4, 8, 8), is_row)


def constant(**errors: float) -> Errors:
    names: dict[str, Condition] = {
        "aligned": "multiples", "border": "with-border", "whole": "whole-pixel", "fraction": "fractional",
    }  # fmt: skip
    return {names[key]: np.full(N_IMAGES, value) for key, value in errors.items()}


EXACT = constant(aligned=0, border=0, whole=0, fraction=0)


def total(losses: dict[str, Loss]) -> float:
    return sum(float(loss.increase.mean()) for name, loss in losses.items() if name != IMAGES)


def chain(*errors: Errors, last_is_row: bool = False) -> dict[str, Loss]:
    names = [IMAGES, *(f"layer{i}" for i in range(1, len(errors)))]
    steps = {
        name: step(name, *names[i - 1 : i][:i], is_row=last_is_row and i == len(names) - 1)
        for i, name in enumerate(names)
    }
    graph = Graph(steps, names[-1], (3, 8, 8))
    return blame(graph, {name: Measured(e, 1.0) for name, e in zip(names, errors, strict=True)}, N_IMAGES)


@pytest.mark.parametrize(
    ("errors", "cause"),
    [
        (constant(aligned=0, border=0, whole=0.4, fraction=0.4), "downsampling"),
        (constant(aligned=0, border=0.4, whole=0, fraction=0), "border"),
        (constant(aligned=0, border=0, whole=0, fraction=0.4), "non-linearity"),
        (constant(aligned=0.4, border=0.4, whole=0.4, fraction=0.4), "other"),
    ],
)
def test_each_cause_is_told_apart(errors: Errors, cause: str) -> None:
    loss = chain(EXACT, EXACT, errors)["layer2"]
    assert {name: float(part.mean()) for name, part in loss.split.items()} == {
        name: pytest.approx(0.4 if name == cause else 0) for name in CAUSES
    }
    assert loss.share == 1


def test_where_maps_end_all_is_the_heads() -> None:
    kept = constant(aligned=0.9, border=0.9, whole=0.8, fraction=0.7)
    loss = chain(EXACT, EXACT, kept, last_is_row=True)["layer2"]
    assert float(loss.split["head"].mean()) == pytest.approx(0.7)
    assert all(not part.any() for cause, part in loss.split.items() if cause != "head")


def test_a_layer_that_restores_is_negative_and_counts_against_no_share() -> None:
    bad = constant(aligned=0, border=0, whole=0.4, fraction=0.4)
    better = constant(aligned=0, border=0, whole=0.1, fraction=0.1)
    losses = chain(EXACT, bad, better, bad)
    assert float(losses["layer2"].increase.mean()) == pytest.approx(-0.3)
    assert [losses[name].share for name in ("layer1", "layer2", "layer3")] == pytest.approx([4 / 7, 0, 3 / 7])


errors_of_a_step = st.builds(
    lambda rows: dict(zip(CONDITIONS, rows, strict=True)),
    st.lists(
        st.one_of(
            st.lists(st.floats(-1, 3), min_size=N_IMAGES, max_size=N_IMAGES).map(np.array),
            st.just(NotApplicable("no room")),
        ),
        min_size=4,
        max_size=4,
    ),
)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Graph, dict[str, Measured]]:
    """Any network: each step reads one to three of those before it; some cannot be measured."""
    names = [IMAGES, *(f"s{i}" for i in range(draw(st.integers(1, 7))))]
    steps = {IMAGES: step(IMAGES)}
    for i, name in enumerate(names[1:], start=1):
        inputs = draw(st.sets(st.sampled_from(names[:i]), min_size=1, max_size=3))
        steps[name] = step(name, *sorted(inputs), is_row=draw(st.booleans()), opaque=draw(st.booleans()))
    measured = {
        name: Measured(draw(errors_of_a_step), draw(st.floats(0, 5))) for name in names if name != IMAGES
    }
    fixed = {c: np.array(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))) for c in CONDITIONS}
    return Graph(steps, names[-1], (3, 8, 8)), {IMAGES: Measured(fixed, 1.0), **measured}


@given(networks())
def test_increases_add_up_to_the_loss_of_the_answer(case: tuple[Graph, dict[str, Measured]]) -> None:
    graph, measured = case
    losses = blame(graph, measured, N_IMAGES)
    expected = losses[graph.answer].level.mean() - losses[IMAGES].level.mean()
    assert total(losses) == pytest.approx(expected, abs=1e-9)
    for loss in losses.values():
        parts = sum(part.mean() for part in loss.split.values())
        assert parts == pytest.approx(float(loss.increase.mean()), abs=1e-9)


@given(networks())
def test_shares_add_up_to_one_or_there_is_no_loss(case: tuple[Graph, dict[str, Measured]]) -> None:
    graph, measured = case
    losses = blame(graph, measured, N_IMAGES)
    shares = [loss.share for loss in losses.values()]
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1 if any(shares) else 0)
    assert losses[IMAGES].share == 0


def test_branches_count_by_what_they_carry() -> None:
    """A sum of two branches with energies 3 and 1: the worse, weaker one has a quarter of the flow."""
    steps = {s.name: s for s in (step(IMAGES), step("a", IMAGES), step("b", IMAGES), step("sum", "a", "b"))}
    bad = constant(aligned=0, border=0, whole=0.8, fraction=0.8)
    mixed = constant(aligned=0, border=0, whole=0.2, fraction=0.2)
    losses = blame(
        Graph(steps, "sum", (3, 8, 8)),
        {
            IMAGES: Measured(EXACT, 4),
            "a": Measured(EXACT, 3),
            "b": Measured(bad, 1),
            "sum": Measured(mixed, 4),
        },
        N_IMAGES,
    )
    assert losses["b"].flow == pytest.approx(0.25)
    assert float(losses["b"].increase.mean()) == pytest.approx(0.2)
    assert float(losses["sum"].increase.mean()) == pytest.approx(0)
    assert losses["b"].share == pytest.approx(1)


def test_what_cannot_be_measured_is_as_its_input() -> None:
    bad = constant(aligned=0.1, border=0.2, whole=0.3, fraction=0.4)
    unknown: Errors = dict.fromkeys(CONDITIONS, NotApplicable("no room"))
    losses = chain(EXACT, bad, unknown, bad)
    assert np.array_equal(losses["layer2"].level, loss_of({c: np.asarray(e) for c, e in bad.items()}))
    assert losses["layer2"].share == 0
    assert losses["layer3"].share == 0


def test_a_step_beside_the_answer_has_no_flow() -> None:
    steps = {s.name: s for s in (step(IMAGES), step("aside", IMAGES), step("answer", IMAGES))}
    bad = constant(aligned=1, border=1, whole=1, fraction=1)
    losses = blame(
        Graph(steps, "answer", (3, 8, 8)),
        {name: Measured(EXACT if name != "aside" else bad, 1) for name in steps},
        N_IMAGES,
    )
    assert losses["aside"].flow == 0
    assert losses["aside"].share == 0
    assert Fraction(1) == steps["aside"].stride[0]
