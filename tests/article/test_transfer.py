"""Transfer: what is copied, how steps and layers are counted, and what the checks make of known results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.linalg import sqrtm
from scipy.stats import kendalltau

from shiftproof._figures import image_bytes
from shiftproof._threads import worker_pool
from shiftproof.article import draw_gratings
from shiftproof.article._curves import epochs_until, learning_curves
from shiftproof.article._lab import Lab
from shiftproof.article._resampling import DRAWS, rank_correlation, resampled_shares
from shiftproof.article._similarity import window_distance
from shiftproof.article._tasks import base_images, target_tasks
from shiftproof.article._transfer import (
    SCRATCH,
    Arm,
    Bits,
    Transfer,
    TransferSettings,
    _arms,
    _with_copies,
    transfer,
)
from shiftproof.article._transfer_checks import on_every, transfer_checks
from shiftproof.data import LabelledImages
from shiftproof.engine import Channel, open_run
from shiftproof.errors import OptionError, Stopped
from shiftproof.metrics import NotApplicable, estimate_share
from shiftproof.records import TransferRecord
from shiftproof.train import Recipe, fit
from shiftproof.zoo import build_network

NOWHERE = "no-such-folder"
TINY = TransferSettings(
    n_base=300,
    base=Recipe(epochs=2, learning_rate=1e-3, input_scale="unit"),
    n_labels=40,
    target=Recipe(epochs=1, learning_rate=1e-3, batch_size=20, input_scale="unit"),
    n_test=40,
    n_seeds=2,
    fashion=NOWHERE,
)
LAYERS = ("conv1", "conv2", "dense1")


@contextmanager
def opened(folder: Path, threads: int = 2) -> Iterator[Lab]:
    with open_run("try", {}, out=folder) as run, worker_pool(threads) as pool:
        yield Lab(run, torch.device("cpu"), Channel(lambda event: None, lambda: False), pool)


# --- counting ------------------------------------------------------------------------------------


def test_the_goal_is_crossed_on_a_straight_line() -> None:
    curve = np.array([0.2, 0.4, 0.3, 0.7])
    for goal, expected in ((0.1, 0.0), (0.2, 0.0), (0.3, 0.5), (0.4, 1.0), (0.6, 2.75), (0.7, 3.0)):
        epochs, reached = epochs_until(curve, goal)
        assert (float(epochs), float(reached)) == pytest.approx((expected, 1.0))
    assert [float(each) for each in epochs_until(curve, 0.8)] == [3.0, 0.0]


@given(hnp.arrays(np.int64, st.tuples(st.just(2), st.integers(2, 8)), elements=st.integers(0, 3)))
def test_rank_correlation_equals_scipy(ranks: np.ndarray) -> None:
    a, b = ranks.astype(float)
    if np.ptp(a) and np.ptp(b):
        assert float(rank_correlation(a, b)) == pytest.approx(kendalltau(a, b).statistic)
    else:
        assert float(rank_correlation(a, b)) == 0


def test_draws_spread_as_the_theory_of_crossed_factors_says() -> None:
    generator = np.random.default_rng(0)
    ability = np.array([0.5, 0.6, 0.7, 0.8])
    right = generator.random((4, 500)) < ability[:, None]
    draws = resampled_shares(right, images="a")
    assert draws.shape == (DRAWS,)
    of_seeds = right.mean(1).var(ddof=1) / 4
    of_images = right.mean(0).var(ddof=1) / 500
    assert draws.mean() == pytest.approx(right.mean(), abs=0.005)
    assert draws.std() == pytest.approx((of_seeds + of_images) ** 0.5, rel=0.1)


def test_draws_are_paired_and_exact() -> None:
    right = np.random.default_rng(1).random((3, 2, 70)) < 0.5
    draws = resampled_shares(right, images="a")
    # One of two seeds and 70 images are drawn: multiples of 1/70, the same for every curve.
    assert_whole(draws * 70)
    assert np.array_equal(draws[1], resampled_shares(right[1], images="a"))
    assert not np.array_equal(draws[1], resampled_shares(right[1], images="b"))
    assert np.array_equal(resampled_shares(np.ones((2, 9), bool), images="a"), np.ones(DRAWS))


def assert_whole(numbers: np.ndarray) -> None:
    assert np.abs(numbers - numbers.round()).max() < 1e-9


# --- similarity ----------------------------------------------------------------------------------


def test_window_distance_equals_the_formula_with_scipy(digits: LabelledImages) -> None:
    gratings = draw_gratings(200)
    sets = []
    for data in (digits.head(200), gratings):
        images = data.images[:, 0].numpy() / 255
        windows = np.lib.stride_tricks.sliding_window_view(images, (5, 5), (1, 2)).reshape(-1, 25)
        sets.append((windows.mean(0), np.cov(windows.T)))
    (mean_a, a), (mean_b, b) = sets
    squared = ((mean_a - mean_b) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    found = window_distance(digits.head(200), gratings)
    assert found == pytest.approx(squared**0.5, rel=1e-4)
    assert found == pytest.approx(window_distance(gratings, digits.head(200)))


def test_tasks_go_from_near_to_far_and_say_what_is_left_out() -> None:
    base = base_images(1000)
    tasks, left_out = target_tasks(1000, 50, NOWHERE)
    assert [task.name for task in tasks] == ["same digits", "other digits", "inverted digits", "gratings"]
    assert "Debian" in left_out["clothes"]
    assert all(len(task.test) == 50 and len(task.test.class_names) == 5 for task in tasks)
    distance = {task.name: window_distance(base, task.training) for task in tasks}
    assert distance["same digits"] < distance["other digits"] < distance["gratings"]
    # Nothing that the base has learned from is learned from again.
    assert base.positions is not None
    assert tasks[0].training.positions is not None
    assert not set(base.positions.tolist()) & set(tasks[0].training.positions.tolist())


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize("frozen", [False, True])
def test_copies_are_the_first_layers_and_the_rest_is_as_from_scratch(k: int, frozen: bool) -> None:
    source = build_network("cnn2", seed=7, n_classes=5)
    network = _with_copies(source, TINY, k, frozen, seed=0)
    scratch = _with_copies(source, TINY, 0, False, seed=0)
    for name, parameter in network.named_parameters():
        is_copy = name.split(".")[1] in LAYERS[:k]
        origin = source if is_copy else scratch
        assert torch.equal(parameter, origin.get_parameter(name))
        assert parameter.requires_grad == (not (is_copy and frozen))
    first = "body.conv1.weight"
    assert not torch.equal(
        scratch.get_parameter(first), build_network("cnn2", n_classes=5).get_parameter(first)
    )


def test_curves_are_what_the_network_answers_after_each_epoch(
    digits: LabelledImages, test_digits: LabelledImages, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=2, learning_rate=1e-3, input_scale="unit")
    build = partial(build_network, "dense-nn")  # has dropout: asking must not draw from it
    with opened(tmp_path) as lab:
        found = learning_curves(lab, build, digits, {"test": test_digits}, recipe, seed=3, label="x")["test"]
    for epochs in range(3):
        network = build().eval()
        if epochs:
            fit(network, digits, recipe.model_copy(update={"epochs": epochs}), seed=3)
        with torch.no_grad():
            right = network(test_digits.images / 255).argmax(1) == test_digits.labels
        assert torch.equal(found[epochs], right)


# --- the experiment ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stopped_experiment_goes_on_to_the_same_record(tmp_path: Path) -> None:
    with opened(tmp_path / "whole") as lab:
        whole = transfer(TINY, lab).record()
    countdown = iter(range(40))
    with opened(tmp_path / "broken", threads=1) as lab:
        impatient = replace(lab, channel=Channel(lambda event: None, lambda: next(countdown, None) is None))
        with pytest.raises(Stopped, match="a request to stop"):
            transfer(TINY, impatient)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "broken" / "units").iterdir()}
    assert finished
    with opened(tmp_path / "broken", threads=1) as lab:
        result = transfer(TINY, lab)
    assert result.record().to_json() == whole.to_json()
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    assert result.layers == LAYERS
    assert (result.n_convolutions, result.steps_per_epoch) == (2, 2)
    assert image_bytes(result.plot()[0], "png").startswith(b"\x89PNG")
    assert len(transfer_checks(result)) == 4


def test_a_network_without_convolutions_is_refused(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"network": "dense-nn"})
    with opened(tmp_path) as lab, pytest.raises(OptionError, match="include a convolution, got 'dense-nn'"):
        transfer(settings, lab)


@pytest.mark.slow
def test_meaning_frozen_layers_know_the_same_digits_but_no_stripes(tmp_path: Path) -> None:
    update = {
        "n_base": 3000,
        "base": TINY.base.model_copy(update={"epochs": 6}),
        "n_labels": 100,
        "n_test": 300,
        "target": TINY.target.model_copy(update={"epochs": 12, "learning_rate": 3e-3}),
    }
    with opened(tmp_path) as lab:
        result = transfer(TINY.model_copy(update=update), lab)
    everything: Arm = (3, True)
    assert result.accuracy("same digits", everything).value > 0.8
    assert result.accuracy("gratings", everything).value < 0.6
    assert result.n_transferable("gratings") < result.n_transferable("same digits")


# --- known results -------------------------------------------------------------------------------


def answers(*accuracies: float, n_images: int = 1000, n_seeds: int = 3) -> Bits:
    """bool (epochs + 1, seeds, N): exactly these accuracies, for every seed the same."""
    row = np.arange(n_images) / n_images
    return np.stack([np.stack([row < accuracy] * n_seeds) for accuracy in accuracies])


def known(final_frozen: dict[str, tuple[float, float, float]], tuned: Bits) -> Transfer:
    """A result whose scratch curve is 0, 0.4, 0.8; frozen copies end where they are told to."""
    right: dict[str, dict[Arm, Bits]] = {}
    for task, finals in final_frozen.items():
        right[task] = dict.fromkeys(_arms(3), tuned)
        right[task] |= {(k, True): answers(0, 0, final) for k, final in enumerate(finals, 1)}
        right[task][SCRATCH] = answers(0, 0.4, 0.8)
    distance = {task: float(place) for place, task in enumerate(final_frozen)}
    return Transfer(TINY, LAYERS, 2, right, distance, {})


AHEAD, BEHIND = answers(0, 0.76, 0.8), answers(0, 0.1, 0.2)


def test_head_start_is_the_difference_of_steps_to_the_goal() -> None:
    result = known({"near": (0.8, 0.8, 0.8)}, AHEAD)
    # Goal 0.95 × 0.8 = 0.76: after 1.9 epochs from scratch, after 1 with copies; two steps an epoch.
    assert result.steps("near", SCRATCH) == pytest.approx((3.8, 1.0))
    assert result.head_start("near", (2, False)).value == pytest.approx(1.8)
    behind = known({"near": (0.8, 0.8, 0.8)}, BEHIND)
    assert behind.steps("near", (2, False)) == (4.0, False)
    assert behind.head_start("near", (2, False)).value == pytest.approx(-0.2)


def test_the_record_is_read_as_it_was_made() -> None:
    record = known({"near": (0.8, 0.8, 0.8)}, AHEAD).record()
    assert TransferRecord.model_validate_json(record.to_json()) == record
    (task,) = record.tasks
    assert [(arm.n_copied, arm.frozen) for arm in task.arms] == _arms(3)
    assert (task.arms[0].steps, task.goal) == pytest.approx((3.8, 0.76))
    assert task.arms[0].curve == pytest.approx((0, 0.4, 0.8))
    assert record.correlation.measured == NotApplicable("one task has no order")


def test_layers_are_counted_until_they_cost_more_than_a_point() -> None:
    result = known({"a": (0.8, 0.79, 0.78), "b": (0.7, 0.8, 0.1), "c": (0.1, 0.1, 0.1)}, AHEAD)
    assert [result.n_transferable(task) for task in result.right] == [2, 2, 0]


def test_checks_hold_fail_or_stay_open_with_the_results() -> None:
    near_to_far = {"near": (0.8, 0.8, 0.8), "middle": (0.8, 0.8, 0.1), "far": (0.8, 0.1, 0.1)}
    proportional = transfer_checks(known(near_to_far, AHEAD))
    assert [check.holds for check in proportional] == [True, True, True, True]
    the_other_way = {"near": (0.1, 0.1, 0.1), "middle": (0.8, 0.1, 0.1), "far": (0.8, 0.8, 0.8)}
    against = transfer_checks(known(the_other_way, BEHIND))
    assert [check.holds for check in against] == [False, False, False, False]
    assert "near −0 (" in against[0].found
    assert "rank correlation −1.00" in against[2].found
    all_equal = transfer_checks(known({"near": (0.8, 0.8, 0.8), "far": (0.8, 0.8, 0.8)}, AHEAD))
    assert [check.holds for check in all_equal[2:]] == [False, False], "nothing grows"
    one_task = transfer_checks(known({"near": (0.8, 0.8, 0.8)}, AHEAD))
    assert [check.holds for check in one_task[2:]] == [None, None]


def test_on_every_task_is_as_strong_as_the_weakest() -> None:
    sure, open_, wrong = (estimate_share([1] * n + [0] * (40 - n)) for n in (40, 20, 0))
    for effects, holds, decisive in (
        ({"a": sure, "b": sure}, True, sure),
        ({"a": sure, "b": open_}, None, open_),
        ({"a": wrong, "b": open_, "c": sure}, False, wrong),
    ):
        check = on_every("Says.", effects, 0.5, found="found")
        assert (check.holds, check.effect) == (holds, decisive)
