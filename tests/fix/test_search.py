"""Successive halving: who is trained for how long, and what that says of the time left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import nn

from shiftproof.adapters import Classifier, EditStep, as_classifier, edit_classifier, read_steps
from shiftproof.data import Images, LabelledImages, load_data
from shiftproof.engine import HERE
from shiftproof.errors import ShiftproofError, TrainingError
from shiftproof.explain import explain
from shiftproof.fix import Lesson, LessonProgress, Proposal, Teaching, fix, propose
from shiftproof.fix._count import Tell
from shiftproof.fix._jury import Case, workers_for
from shiftproof.fix._measure import Measuring
from shiftproof.fix._search import FINALISTS, Searched, search
from shiftproof.fix._trainings import Trainings
from shiftproof.probe import Response
from shiftproof.report import fix_markdown
from shiftproof.shifts import find_protocol
from shiftproof.zoo import load_trained

CPU = torch.device("cpu")
BOX = find_protocol("box:2,2,2")
# Six networks to train; two proposals are the same network with something else around it.
PROPOSALS = [
    Proposal((EditStep("max-blur-pool"),)),
    Proposal((EditStep("max-blur-pool"), EditStep("average-logits"))),
    Proposal((EditStep("max-blur-pool", None, {"kernel_size": 2}),)),
    Proposal((EditStep("max-blur-pool", None, {"kernel_size": 4}),)),
    Proposal((EditStep("composer-blurpool"),)),
    Proposal((EditStep("low-pass-pool"),)),
    Proposal(()),
    Proposal((EditStep("canonical-position"),)),
]


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return load_data("mnist", "test").head(96)


def names_of(made: Searched) -> list[str]:
    """What was measured."""
    return [*(each.name for each in made.finalists), *(each.name for each in made.dropped)]


def measuring() -> Measuring:
    return Measuring(BOX, 0, CPU, None, 1, lambda: None)


def test_every_rung_trains_half_as_many_for_twice_as_long(digits: LabelledImages) -> None:
    calls: list[tuple[list[str], float, float]] = []

    def train(
        networks: Sequence[tuple[str, nn.Module]], until: float, rest: float
    ) -> dict[str, ShiftproofError]:
        assert all(isinstance(network, nn.Module) for _, network in networks)
        calls.append(([edits for edits, _ in networks], until, rest))
        return {}

    made = search(as_classifier(load_trained("cnn2")), PROPOSALS, digits, measuring(), train=train)
    assert not made.failed
    assert len(made.finalists) == FINALISTS
    (first, half, later), (_, whole, nothing) = calls
    assert set(first) == {str(p) for p in map(_learned, PROPOSALS) if p}
    assert (half, whole) == (0.5, 1.0)
    # What is left falls to nothing, and the second rung trains no more than four networks from half on.
    assert later == pytest.approx(FINALISTS * 0.5)
    assert nothing == 0
    assert all(each.trained in (0, 1) for each in made.finalists)
    # What was dropped is recorded with what it was measured on, those that went farther first.
    names = names_of(made)
    assert len(names) == len(set(names))
    assert {each.name for each in PROPOSALS} <= set(names)
    assert {each.fate for each in made.dropped} == {"dropped"}
    n_images = [each.n_images for each in made.dropped]
    assert n_images == sorted(n_images, reverse=True)
    assert n_images[-1] == 48
    assert {each.trained for each in made.dropped} <= {0, 0.5, 1}


def test_nothing_is_measured_twice_on_the_same_images(digits: LabelledImages) -> None:
    asked: list[int] = []

    class Counting(Measuring):
        def responses(
            self, classifiers: Sequence[Classifier], images: Images, n_images: int, tell: Tell
        ) -> list[Response | ShiftproofError]:
            asked.append(len(classifiers))
            return super().responses(classifiers, images, n_images, tell)

    steps: list[str] = []
    counting = Counting(BOX, 0, CPU, None, 1, lambda: None)
    made = search(
        as_classifier(load_trained("cnn2")), PROPOSALS[:6], digits.head(20), counting, on_step=steps.append
    )
    assert not made.failed
    assert len(made.finalists) == FINALISTS
    # Six edits, and then only what was put together of the best ones.
    assert asked[0] == 6
    assert all(n < FINALISTS for n in asked[1:])
    assert steps[0] == "6 edits on 20 images"
    scores = [each.score for each in made.finalists]
    assert scores == sorted(scores, reverse=True)


def pools_and_strides() -> nn.Module:
    """Two kinds of layers that alias, each with an edit of its own, and borders."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    ).eval()  # fmt: skip


def test_edits_of_different_layers_or_causes_are_tried_together(digits: LabelledImages) -> None:
    names = ("max-blur-pool", "blur-strides", "low-pass-pool", "conv-blur-pool", "composer-blurpool")
    proposals = [Proposal((EditStep(name),)) for name in names]
    made = search(as_classifier(pools_and_strides()), proposals, digits.head(24), measuring())
    (pair,) = [name for name in names_of(made) if len(set(name.split(" + ")) & set(names)) == 2]
    assert pair.endswith(" + batch-statistics")
    assert "max-blur-pool" in pair
    assert "blur-strides" in pair or "conv-blur-pool" in pair, "others change its layers themselves"
    assert not made.failed


def test_edits_that_a_user_wants_together_are_one_candidate(digits: LabelledImages) -> None:
    asked = "max-blur-pool(3) + padding-reflect+average-logits(radius_px=1)"
    found = fix(pools_and_strides(), digits.head(40), protocol="box:1,1,1", edits=[asked], threads=1)
    (row,) = found.table[1:]
    assert row.name == "max-blur-pool (3) + padding-reflect + average-logits (radius_px=1)"
    assert [change.layer for change in row.changes] == ["3", "0", "4", "model"]
    again = [(step.edit, step.layers, step.options) for step in read_steps(row.name)]
    assert again == [(step.edit, step.layers, step.options) for step in row.steps], "a name is read again"


def test_polyphase_and_a_head_of_means_go_together_and_are_proved(digits: LabelledImages) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 196, 10)
    ).eval()
    found = fix(
        network, digits.head(40), protocol="circular:1", edits=["aps + global-mean-head"], threads=1,
        clean_margin=1.0,
    )  # fmt: skip
    (row,) = found.table[1:]
    assert "all circular shifts by whole pixels" in row.certificate


def test_an_average_over_phases_is_over_those_of_the_network(digits: LabelledImages) -> None:
    """Two strides of 2 on a circle: after four phases in y and in x nothing is left to change."""
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(n, 8, 3, 2, 1, padding_mode="circular") for n in (1, 8)]
    network = nn.Sequential(*convolutions, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    classifier, images = as_classifier(network.eval()), digits.images[:8].float() / 255
    fits, _ = propose(classifier, explain(network, images, n_remedies=0), images[:2])
    (phases,) = [each for each in fits if "average-phases" in each.name]
    assert phases.name == "average-phases (stride=4)"
    mean = edit_classifier(classifier, phases.steps).classifier
    with torch.inference_mode():
        torch.testing.assert_close(
            mean(images), mean(torch.roll(images, (1, 2), (2, 3))), rtol=1e-4, atol=1e-5
        )


def _learned(proposal: Proposal) -> str | None:
    steps = [step for step in proposal.steps if step.edit not in ("average-logits", "canonical-position")]
    return Proposal(tuple(steps)).name if steps or not proposal.steps else None


def test_a_network_with_something_around_it_is_trained_once(digits: LabelledImages) -> None:
    teaching = Teaching(digits, as_classifier(load_trained("cnn2")), True, BOX, Lesson(batch_size=32), CPU)
    told: list[tuple[str, LessonProgress]] = []
    looks: list[None] = []
    trainings = Trainings(teaching.n_steps, "", None, lambda name, progress: told.append((name, progress)))
    one, two = load_trained("cnn2"), load_trained("cnn2")
    case = Case((digits,), replace(measuring(), check_stop=lambda: looks.append(None)), teaching)
    with workers_for(case, HERE, teaching.original, trainings.hear) as (_, workers):
        assert not trainings.train(workers, [("edit", one), ("edit", two)], 1.0, 2.0)
    assert len(looks) == 1 + teaching.n_steps, "once before it begins, and before each of three steps"
    for first, second, before in zip(
        one.parameters(), two.parameters(), load_trained("cnn2").parameters(), strict=True
    ):
        assert torch.equal(first, second)
        assert not torch.equal(first, before)
    ((name, progress),) = told
    assert name == "edit"
    assert progress.step == 3
    # Two lessons are still to come, at the pace of the one that is done.
    assert progress.seconds_left == pytest.approx(2 * trainings._pace.seconds, rel=0.2)


def test_a_training_that_fails_is_named_and_the_others_go_on(digits: LabelledImages) -> None:
    def train(
        networks: Sequence[tuple[str, nn.Module]], until: float, rest: float
    ) -> dict[str, ShiftproofError]:
        return {"composer-blurpool": TrainingError("a finite loss", "nan at step 1")}

    made = search(as_classifier(load_trained("cnn2")), PROPOSALS[3:7], digits, measuring(), train=train)
    assert [each.name for each in made.failed] == ["composer-blurpool"]
    assert "a finite loss" in (made.failed[0].not_possible or "")
    assert "composer-blurpool" not in names_of(made)


def test_what_layers_lose_is_shown_before_and_after() -> None:
    """A network whose only loss is a stride, which the edit takes away."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    ).eval()  # fmt: skip
    images = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    found = fix(network, images, protocol="circular:3", edits=["aps"], threads=1, clean_margin=1.0)
    assert found.chosen == "aps"
    before, after = found.record.losses
    assert before is not None
    assert after is not None
    (pool,) = [each.loss for each in before.layers if each.layer == "2"]
    assert pool.value > 0
    assert after.change.value < before.change.value
    text = fix_markdown(found.record)
    assert "| layer | original | aps |" in text
    assert f"| 2 | {pool.value:.3f} (" in text
