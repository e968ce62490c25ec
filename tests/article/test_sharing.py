"""Weight sharing and pooling: exact counts, the gap and its interval, and checks of known results."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from shiftproof._figures import image_bytes
from shiftproof._threads import worker_pool
from shiftproof.article._lab import Lab
from shiftproof.article._sharing import Bits, Measured, Sharing, SharingSettings, _build, sharing
from shiftproof.article._sharing_checks import pooling_cost_checks, sharing_checks
from shiftproof.article._step_memory import count_step_memory
from shiftproof.engine import Channel, open_run
from shiftproof.errors import UnknownNameError
from shiftproof.metrics import Estimate
from shiftproof.records import SharingRecord, StepMemory
from shiftproof.train import Recipe
from shiftproof.zoo import build_network

TINY = SharingSettings(
    convolutional=("cnn2",),
    pooled=("pooled-1-flatten", "pooled-2-flatten"),
    n_train=60,
    n_test=40,
    recipe=Recipe(epochs=1, learning_rate=1e-3, batch_size=30, input_scale="unit"),
    n_seeds=2,
    n_repeats=3,
)
MNIST_SHAPE = (1, 28, 28)


@contextmanager
def opened(folder: Path, threads: int = 2) -> Iterator[Lab]:
    with open_run("try", {}, out=folder) as run, worker_pool(threads) as pool:
        yield Lab(run, torch.device("cpu"), Channel(lambda event: None, lambda: False), pool)


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 32])
def test_memory_of_a_dense_step_by_hand(n: int) -> None:
    network = _build(TINY.unshared, TINY, MNIST_SHAPE, 0)
    memory = count_step_memory(network, n)
    n_parameters = 784 * 100 + 100 + 100 * 100 + 100 + 100 * 10 + 10
    assert memory.weights == memory.gradients == 4 * n_parameters
    # Two moments, and one counter of steps for each of six parameters.
    assert memory.moments == 2 * memory.weights + 4 * 6
    # Images and what both ReLUs gave, as inputs of the dense layers; log-probabilities, labels (int64)
    # and the total weight of the loss.
    assert memory.kept == 4 * n * (784 + 100 + 100 + 10) + 8 * n + 4
    assert memory.total == memory.weights + memory.gradients + memory.moments + memory.kept


def test_memory_of_a_convolutional_step_by_hand() -> None:
    n = 4
    kept = count_step_memory(build_network("cnn1"), n).kept
    conv, pooled = 20 * 24 * 24, 20 * 12 * 12
    # Convolution and ReLU keep input and output; the pool its input, which is the ReLU's output, and where
    # each largest value was (int64); the flattened maps; the dense layer's ReLU; the loss as above.
    assert kept == 4 * n * (784 + conv + pooled + 100 + 10) + 8 * n * pooled + 8 * n + 4


def test_counting_memory_changes_nothing() -> None:
    network = build_network("dense-nn").eval()
    before = copy.deepcopy(network.state_dict())
    random = torch.get_rng_state()
    count_step_memory(network, 8)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not network.training
    assert torch.equal(torch.get_rng_state(), random)


# --- the gap -------------------------------------------------------------------------------------


def measured(
    train: Bits,
    test: Bits,
    *,
    n_parameters: int = 10,
    bytes_kept: int = 0,
    seconds: float = 1.0,
    side: int = 8,
) -> Measured:
    return Measured(
        n_parameters=n_parameters,
        multiply_adds=n_parameters,
        memory=StepMemory(
            weights=n_parameters,
            gradients=n_parameters,
            moments=2 * n_parameters,
            kept=bytes_kept,
            total=4 * n_parameters + bytes_kept,
        ),
        map_px=(side, side),
        train=train,
        test=test,
        epoch_s=np.array([0.9, 1.0, 1.2, 1.1, 0.95, 1.05, 1.0]) * seconds,
    )


def test_the_interval_of_the_gap_is_that_of_two_samples() -> None:
    """One seed: Welch's interval for two means, in large samples."""
    generator = np.random.default_rng(0)
    train, test = (generator.random((1, 1, n)) < p for n, p in ((2000, 0.9), (3000, 0.8)))
    result = Sharing(TINY, {}, {"a": measured(train, test)})
    gap = result.gap("a")
    assert isinstance(gap, Estimate)
    assert gap.value == pytest.approx(train.mean() - test.mean())
    half = 1.96 * (train.var(ddof=1) / 2000 + test.var(ddof=1) / 3000) ** 0.5
    assert gap.high - gap.value == pytest.approx(half, rel=0.03)
    assert gap.value - gap.low == pytest.approx(half, rel=0.03)


def test_the_gap_counts_seeds_as_a_sample() -> None:
    """Seeds that differ a lot widen the interval to that of their own mean."""
    train = np.ones((1, 3, 5000), bool)
    test = np.stack([np.arange(5000) < 5000 * share for share in (0.5, 0.7, 0.9)])[None]
    gap = Sharing(TINY, {}, {"a": measured(train, test)}).gap("a")
    assert isinstance(gap, Estimate)
    assert gap.value == pytest.approx(0.3)
    assert gap.high - gap.value == pytest.approx(4.303 * 0.2 / 3**0.5, rel=0.05)


def test_equal_networks_have_equal_gaps() -> None:
    right = np.random.default_rng(1).random((1, 2, 50)) < 0.7
    result = Sharing(TINY, {}, {name: measured(right, ~right) for name in "ab"})
    difference = result.gap_difference("a", "b")
    assert isinstance(difference, Estimate)
    assert difference.value == 0
    assert -0.2 < difference.low < 0 < difference.high < 0.2, "50 images without one say little about others"


# --- the experiment ------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_experiment_is_found_again_with_its_times(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as lab:
        first = sharing(TINY, lab)
    with opened(tmp_path / "a", threads=1) as lab:
        again = sharing(TINY, lab)
    assert again.record().to_json() == first.record().to_json()
    for unit in (tmp_path / "a" / "units").glob("curves-*"):
        unit.unlink()
    with opened(tmp_path / "a", threads=1) as lab:
        anew = sharing(TINY, lab)
    assert anew.record().to_json() == first.record().to_json(), "threads do not change answers"
    assert SharingRecord.model_validate_json(first.record().to_json()) == first.record()
    ((name, figure),) = first.figures()
    assert name == "sharing"
    assert image_bytes(figure, "png").startswith(b"\x89PNG")

    facts = first.networks["cnn2"]
    assert (facts.n_parameters, facts.map_px, facts.test.shape) == (85_670, (4, 4), (2, 2, 40))
    # 24·24·20 outputs of 25 products, 8·8·40 of 500, then 640·100 and 100·10.
    assert facts.multiply_adds == 24 * 24 * 20 * 25 + 8 * 8 * 40 * 500 + 640 * 100 + 100 * 10
    assert first.networks["dense-nn"].map_px is None
    with_dropout, without = (first.networks[name] for name in ("dense-nn", TINY.unshared))
    assert with_dropout.n_parameters == without.n_parameters
    assert not np.array_equal(with_dropout.test, without.test)
    assert (with_dropout.epoch_s > 0).all()


def test_an_unknown_network_is_named(tmp_path: Path) -> None:
    settings = TINY.model_copy(update={"convolutional": ("cnn3",)})
    with opened(tmp_path) as lab, pytest.raises(UnknownNameError, match="cnn3"):
        sharing(settings, lab)


@pytest.mark.slow
def test_meaning_more_images_leave_less_of_a_gap(tmp_path: Path) -> None:
    gaps = []
    only_dense = TINY.model_copy(update={"convolutional": (), "pooled": (), "n_seeds": 1})
    for n_train in (100, 3000):
        update = {"n_train": n_train, "n_test": 300, "recipe": TINY.recipe.model_copy(update={"epochs": 10})}
        with opened(tmp_path / str(n_train)) as lab:
            gaps.append(sharing(only_dense.model_copy(update=update), lab).gap(TINY.unshared))
    few, many = gaps
    assert isinstance(few, Estimate)
    assert isinstance(many, Estimate)
    assert few.low > many.high


# --- known results -------------------------------------------------------------------------------


def answers(*accuracies: float) -> Bits:
    row = np.arange(400) / 400
    return np.stack([np.stack([row < accuracy] * 3) for accuracy in accuracies])


PERFECT = answers(0, 1, 1)


def test_checks_of_sharing_follow_the_numbers() -> None:
    better = measured(PERFECT, answers(0, 0.95, 0.99), n_parameters=5, seconds=0.5)
    worse = measured(PERFECT, answers(0, 0.1, 0.9), n_parameters=10, bytes_kept=100, seconds=1.0)
    for cnn, dense, holds in ((better, worse, True), (worse, better, False)):
        result = Sharing(TINY, {}, {"cnn2": cnn, TINY.unshared: dense, TINY.dense: dense})
        example, *checks = sharing_checks(result)
        assert example.holds
        assert "20,000" in example.found
        assert [check.holds for check in checks] == [holds] * 5
    same = Sharing(TINY, {}, dict.fromkeys(("cnn2", TINY.unshared, TINY.dense), better))
    assert True not in {check.holds for check in sharing_checks(same)[1:]}


def test_a_goal_that_is_not_reached_is_said_so() -> None:
    never, soon = (measured(PERFECT, answers(0, 0.1, last)) for last in (0.2, 0.95))
    result = Sharing(TINY, {}, {"cnn2": soon, TINY.unshared: never, TINY.dense: never})
    check = sharing_checks(result)[2]
    assert check.holds
    assert "more than 2 epochs" in check.found


def test_checks_of_pooling_follow_the_numbers() -> None:
    none = measured(PERFECT, answers(0, 0.5, 0.7), n_parameters=20, side=8)
    pool = measured(PERFECT, answers(0, 0.5, 0.9), n_parameters=10, side=4)
    names = TINY.pooled
    for first, second, holds in ((none, pool, True), (pool, none, False)):
        checks = pooling_cost_checks(Sharing(TINY, {}, dict(zip(names, (first, second), strict=True))))
        assert [check.holds for check in checks] == [holds] * 4
    checks = pooling_cost_checks(Sharing(TINY, {}, dict.fromkeys(names, pool)))
    assert [check.holds for check in checks] == [False] * 3 + [None], "no image differs: too few to be sure"
