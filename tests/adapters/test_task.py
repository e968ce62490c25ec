"""What an answer is taken for: told by what is said, by the numbers, by what a model ends in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shiftproof.adapters import (
    Classifier,
    ModelRequest,
    Task,
    as_classifier,
    check_outputs,
    check_task,
    known_task,
    number_of_set,
    tell_task,
    with_task,
)
from shiftproof.errors import ModelError, OptionError, ShapeError, UnknownNameError
from shiftproof.zoo import build_network

UNKNOWN = torch.full((9,), -1)
ONE_EACH = torch.arange(9) % 2
SEVERAL = torch.ones(9, 3, dtype=torch.int64)


def images(n: int = 8) -> Tensor:
    return torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def linear(n_outputs: int, *more: nn.Module) -> nn.Sequential:
    """Small weights: the logits of all images lie between 0 and 1."""
    layer = nn.Linear(108, n_outputs)
    with torch.no_grad():
        layer.weight.fill_(1e-3)
        layer.bias.copy_(torch.linspace(0.2, 0.5, n_outputs))
    return nn.Sequential(nn.Flatten(), layer, *more).eval()


def told(model: nn.Module | Callable[[Tensor], Any], labels: Tensor = UNKNOWN, **said: Any) -> Task:
    return tell_task(with_task(as_classifier(model), **said), images(), labels)[0]


CASES: dict[str, tuple[nn.Module | Callable[[Tensor], Any], Tensor, dict[str, Any], tuple[Any, ...]]] = {
    "one logit beyond 1": (lambda x: x.sum((1, 2, 3))[:, None], UNKNOWN, {}, ("binary", "logits", 0.5)),
    "one small logit of a linear layer": (linear(1), UNKNOWN, {}, ("binary", "logits", 0.5)),
    "one sigmoid": (linear(1, nn.Sigmoid()), UNKNOWN, {}, ("binary", "probabilities", 0.5)),
    "a sigmoid that is reshaped": (
        linear(1, nn.Sigmoid(), nn.Unflatten(1, (1, 1, 1)), nn.Flatten()),
        UNKNOWN, {}, ("binary", "probabilities", 0.5),
    ),
    "a sigmoid inside a wrapper": (
        nn.DataParallel(linear(1, nn.Sigmoid())), UNKNOWN, {}, ("binary", "probabilities", 0.5),
    ),
    "one convolution": (
        nn.Sequential(nn.Conv2d(3, 1, 6), nn.Flatten()), UNKNOWN, {"threshold": 0.3},
        ("binary", "logits", 0.3),
    ),
    "a function that says what it answers": (
        lambda x: x.mean((1, 2, 3))[:, None], UNKNOWN, {"outputs": "probabilities"},
        ("binary", "probabilities", 0.5),
    ),
    "logits of classes": (
        lambda x: x.flatten(1)[:, :4] - 0.5, ONE_EACH, {}, ("single-label", "logits", None),
    ),
    "softmax": (
        lambda x: x.flatten(1)[:, :4].softmax(1), UNKNOWN, {}, ("single-label", "probabilities", None),
    ),
    "logarithms of a softmax": (
        nn.Sequential(nn.Flatten(), nn.LogSoftmax(1)), UNKNOWN, {}, ("single-label", "logits", None),
    ),
    "scores of classes in 0 to 1": (
        lambda x: x.flatten(1)[:, :4], ONE_EACH, {}, ("single-label", "logits", None),
    ),
    "sigmoids, one class each": (
        linear(4, nn.Sigmoid()), ONE_EACH, {}, ("single-label", "probabilities", None),
    ),
    "sigmoids without labels": (
        linear(4, nn.Sigmoid()), UNKNOWN, {}, ("multi-label", "probabilities", 0.5),
    ),
    "logits, several labels": (
        lambda x: x.flatten(1)[:, :3] - 0.5, SEVERAL, {}, ("multi-label", "logits", 0.5),
    ),
    "small logits, several labels": (linear(3), SEVERAL, {}, ("multi-label", "logits", 0.5)),
    "vectors of length 1": (
        lambda x: nn.functional.normalize(x.flatten(1) - 0.5), UNKNOWN, {}, ("embedding", "vector", None),
    ),
    "a vector, as said": (
        lambda x: x.flatten(1), UNKNOWN, {"task": "embedding"}, ("embedding", "vector", None),
    ),
    "several labels, as said": (
        lambda x: x.flatten(1)[:, :3] - 0.5, UNKNOWN, {"task": "multi-label", "threshold": 0.9},
        ("multi-label", "logits", 0.9),
    ),
    "a network of the zoo": (build_network("cnn1"), UNKNOWN, {}, ("single-label", "logits", None)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_told_by_what_there_is(name: str) -> None:
    model, labels, said, expected = CASES[name]
    classifier = with_task(as_classifier(model), **said)
    shown = torch.rand(8, 1, 28, 28) if name.endswith("zoo") else images()
    task, n_outputs = tell_task(classifier, shown, labels)
    assert (task.name, task.outputs, task.threshold) == expected
    assert task.why
    assert n_outputs == classifier(shown).shape[1]
    known = with_task(classifier, task=task.name, outputs=task.outputs, threshold=task.threshold)
    assert known_task(known) == task, "who knows it need not ask again"


@pytest.mark.parametrize(
    ("model", "said", "message"),
    [
        (
            lambda x: x.mean((1, 2, 3))[:, None],
            {},
            "logits or probabilities: its numbers from 0 to 1 can",
        ),
        (
            lambda x: x.flatten(1)[:, :4],
            {},
            "what the answers of <lambda> are: they are 4 numbers for each image",
        ),
        (lambda x: x.flatten(1)[:, :4], {"task": "multi-label"}, "Say --outputs logits or --outputs probab"),
        (lambda x: x.flatten(1)[:, :4], {"task": "binary"}, "one number for each image .* got 4"),
        (
            lambda x: x.sum((1, 2, 3))[:, None],
            {"task": "single-label"},
            "one number for each class .* binary",
        ),
        (
            lambda x: x.flatten(1) * 9,
            {"task": "multi-label", "outputs": "probabilities"},
            "probabilities from 0 to 1 .* as declared.*--outputs logits",
        ),
        (lambda x: x.flatten(1) * 0, {"task": "embedding"}, "embeddings with a direction .* zeros alone"),
        (
            lambda x: x.flatten(1) * float("nan"),
            {"task": "embedding"},
            "numbers as the answer of <lambda>, got N",
        ),
    ],
)
def test_what_cannot_be_told_is_an_error(model: Any, said: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        told(model, **said)


def test_an_embedding_of_no_numbers() -> None:
    with pytest.raises(ShapeError, match="a vector of at least one number"):
        told(lambda x: x.flatten(1)[:, :0], task="embedding")


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"task": "multilabel"}, UnknownNameError, "Did you mean 'multi-label'"),
        ({"outputs": "probs"}, UnknownNameError, "name of a kind of outputs"),
        ({"threshold": 1.5}, OptionError, r"a threshold from 0 to 1, got 1.5.*1 / \(1 \+ exp\(-z\)\)"),
        ({"threshold": float("nan")}, OptionError, "a threshold from 0 to 1"),
        ({"threshold": -0.1, "task": "binary"}, OptionError, "a threshold from 0 to 1"),
        ({"threshold": 0.5, "task": "single-label"}, OptionError, "no threshold for single-label"),
        ({"threshold": 0.5, "task": "embedding"}, OptionError, "no threshold for embedding"),
        ({"outputs": "vector", "task": "binary"}, OptionError, "outputs that binary can have"),
        ({"outputs": "logits", "task": "embedding"}, OptionError, "outputs that embedding can have"),
    ],
)
def test_what_is_said_must_fit_together(said: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_task(said.get("task"), said.get("outputs"), said.get("threshold"))
    with pytest.raises(error, match=message):
        ModelRequest(**said)


def test_a_threshold_of_what_has_none() -> None:
    with pytest.raises(OptionError, match=r"no threshold for <lambda>.*Its task is single-label"):
        told(lambda x: x.flatten(1)[:, :4] - 0.5, threshold=0.4)


def test_another_task_than_the_source_says() -> None:
    network = as_classifier(build_network("cnn1"))
    said = with_task(network, task="embedding")
    task = known_task(said)
    assert task is not None
    assert (task.name, task.outputs) == ("embedding", "vector")


def test_class_names_of_one_number() -> None:
    model = Classifier("m", lambda x: x.sum((1, 2, 3))[:, None], class_names=("no", "yes"))
    assert model(images()).shape == (8, 1)
    with pytest.raises(ShapeError, match="each of the 3 class names"):
        Classifier("m", model.model, class_names=("a", "b", "c"))(images())


def test_convention_of_thresholds() -> None:
    """Positive strictly above: a logit of 0 is none, as the lower class wins a tie of two logits."""
    logits = torch.tensor([[-1.0], [0.0], [0.9], [1.0], [1.2]])
    assert Task("binary", "logits", 0.5).decided(logits).tolist() == [0, 0, 1, 1, 1]
    at_one = 1 / (1 + math.exp(-1.0))
    assert Task("binary", "logits", at_one).decided(logits).tolist() == [0, 0, 0, 0, 1]
    assert Task("binary", "probabilities", 0.9).decided(logits.clamp(0, 1)).tolist() == [0, 0, 0, 1, 1]
    assert Task("binary", "logits", 1.0).decided(logits).sum() == 0
    assert Task("binary", "logits", 0.0).decided(logits).sum() == 5


def test_probabilities_are_not_squashed_twice() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]])
    for name, squash in (("single-label", torch.softmax), ("multi-label", lambda x, _: x.sigmoid())):
        threshold = None if name == "single-label" else 0.5
        expected = squash(logits, -1)
        for outputs, given_ in (("logits", logits), ("probabilities", expected)):
            task = Task(name, outputs, threshold)  # type: ignore[arg-type]
            torch.testing.assert_close(task.probabilities(given_), expected)
    for outputs, given_ in (("logits", logits[:, :1]), ("probabilities", logits[:, :1].sigmoid())):
        task = Task("binary", outputs, 0.5)  # type: ignore[arg-type]
        both = [float(task.probability_of(given_, torch.tensor([k]))) for k in (0, 1)]
        assert both == pytest.approx([1 / (1 + np.exp(2.0)), 1 / (1 + np.exp(-2.0))], abs=1e-6)


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_sets_have_the_same_number_if_they_are_the_same(n_labels: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    there = generator.random((40, n_labels)) < generator.random()
    there[20:] = there[:20]
    there[20:, int(generator.integers(n_labels))] ^= True  # exactly one label differs
    numbers = number_of_set(torch.from_numpy(there)).numpy()
    rows = [row.tobytes() for row in there]
    assert len(set(numbers.tolist())) == len(set(rows))
    assert (numbers >= 0).all()
    if n_labels <= 62:
        assert numbers.tolist() == [sum(1 << k for k in np.flatnonzero(row).tolist()) for row in there]


def test_probabilities_that_are_none_later_on() -> None:
    """The first answers looked like probabilities, and a later one does not."""
    task = Task("binary", "probabilities", 0.5, "as it ends in a sigmoid")
    check_outputs(task, torch.tensor([[1.0005], [0.0]]), "m")
    with pytest.raises(ModelError, match=r"got numbers from 0.2 to 3.*--outputs logits"):
        check_outputs(task, torch.tensor([[0.2], [3.0]]), "m")
