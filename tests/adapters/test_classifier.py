"""One class for all models: what it says about bad answers, and that it leaves a model as it was."""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shiftproof._device import full_precision
from shiftproof.adapters import Classifier, Preprocess, as_classifier, digest_of_module, evaluating
from shiftproof.errors import ModelError, ShapeError
from shiftproof.zoo import build_network

IMAGES = torch.zeros(2, 1, 4, 4)


def answering(answer: Any, **options: Any) -> Classifier:
    return Classifier("it", lambda images: answer, **options)


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        (torch.zeros(2), r"got \(2,\)"),
        (torch.zeros(3, 5), r"got \(3, 5\)"),
        (torch.zeros(2, 0), r"got \(2, 0\)"),
        (torch.zeros(2, 3, 1, 2), r"got \(2, 3, 1, 2\)"),
        (torch.zeros(2, 3, 2, 1), r"got \(2, 3, 2, 1\)"),
        (torch.zeros(1, 1, 2, 3), r"got \(1, 1, 2, 3\)"),
        (np.zeros(2), r"got \(2,\)"),
    ],
)
def test_an_answer_of_the_wrong_shape(answer: Any, got: str) -> None:
    with pytest.raises(ShapeError, match=r"it to answer 2 images with logits of shape \(2, K\), " + got):
        answering(answer)(IMAGES)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 1), (2, 1, 1, 1), (2, 3)])
def test_a_map_of_one_place_is_a_row_of_logits(shape: tuple[int, ...]) -> None:
    """As SqueezeNet answers, whose last layers are a convolution and a global mean."""
    answer = torch.arange(math.prod(shape)).reshape(shape)
    assert answering(answer)(IMAGES).tolist() == answer.reshape(2, -1).tolist()


def test_an_answer_that_is_no_number() -> None:
    damaged = torch.tensor([[0.0, float("nan")], [0.0, 0.0]])
    with pytest.raises(ModelError, match=r"numbers as the answer of it, got NaN\..*--mean"):
        answering(damaged)(IMAGES)
    with pytest.raises(ModelError, match="it to answer with a tensor, got a value of type NoneType"):
        answering(None)(IMAGES)
    masked = torch.tensor([[0.0, -float("inf")], [0.0, 0.0]])
    with pytest.raises(ModelError, match=r"numbers as the answer of it, got infinity\..*has no distance"):
        answering(masked)(IMAGES)


def test_an_answer_with_several_parts() -> None:
    logits = torch.rand(2, 3)
    with pytest.raises(ModelError, match=r"got a tuple with 0, 1\. Say which.*--logits"):
        answering((torch.zeros(1), logits))(IMAGES)
    with pytest.raises(ModelError, match=r"got a dict with 'loss', 'scores'"):
        answering({"loss": 0, "scores": logits}, logits="logits")(IMAGES)
    assert torch.equal(answering((None, logits), logits=1)(IMAGES), logits)
    assert torch.equal(answering({"loss": 0, "scores": logits}, logits="scores")(IMAGES), logits)


def test_other_kinds_of_numbers_become_float32() -> None:
    whole = torch.tensor([[1, 2], [3, 4]])
    for answer in (whole, whole.half(), whole.double(), whole.numpy(), np.float16(whole.numpy())):
        logits = answering(answer)(IMAGES)
        assert logits.dtype == torch.float32
        assert logits.tolist() == [[1, 2], [3, 4]]


def test_class_names_are_as_many_as_logits() -> None:
    with pytest.raises(ShapeError, match="one logit for each of the 2 class names of it, got 3"):
        answering(torch.zeros(2, 3), class_names=("a", "b"))(IMAGES)
    assert answering(torch.zeros(2, 2), class_names=("a", "b"))(IMAGES).shape == (2, 2)


def test_evaluating_restores_each_part_and_warns_of_chance() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9), nn.BatchNorm1d(4))
    model[2].eval()
    images = torch.ones(8, 4)

    def answers_twice() -> bool:
        with evaluating(model):
            assert not any(module.training for module in model.modules())
            return torch.equal(model(images), model(images))

    with pytest.warns(UserWarning, match="was in training mode"):
        assert answers_twice()
    assert [module.training for module in model.modules()] == [True, True, True, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with evaluating(nn.Linear(2, 2)), evaluating(torch.relu):
            pass


def test_evaluating_restores_after_an_error() -> None:
    layer = nn.Linear(1, 1)
    with pytest.raises(RuntimeError, match="broke"), evaluating(layer):
        raise RuntimeError("broke")
    assert layer.training


class Remembering(nn.Module):
    """Keeps what it computed, as hooks for explanations do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("offset", torch.ones(2))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        answer: Tensor = self.layer(images) + self.offset
        return answer


def test_replicas_share_weights_and_nothing_else() -> None:
    model = Remembering()
    one, two = Classifier("it", model).replicas(2)
    assert isinstance(one.model, Remembering)
    assert isinstance(two.model, Remembering)
    assert (
        one.model.layer.weight.data_ptr()
        == two.model.layer.weight.data_ptr()
        == model.layer.weight.data_ptr()
    )
    assert one.model.offset is model.offset
    one.model(torch.ones(1, 3))
    assert (len(one.model.seen), len(two.model.seen), len(model.seen)) == (1, 0, 0)


def test_what_cannot_be_copied_is_asked_alone() -> None:
    model = Remembering()
    model.lock = threading.Lock()  # type: ignore[assignment]
    alone = Classifier("it", model)
    assert alone.replicas(3) == [alone]
    function = Classifier("it", torch.relu)
    assert function.replicas(3) == [function]
    safe = Classifier("it", torch.relu, thread_safe=True)
    assert safe.replicas(3) == [safe] * 3


def test_the_digest_is_of_weights_and_structure_not_of_names() -> None:
    one, same, other = (build_network("cnn1", seed=seed) for seed in (0, 0, 1))
    assert digest_of_module(one) == digest_of_module(same) != digest_of_module(other)
    renamed = Classifier("another name", one, digest=digest_of_module(one))
    assert renamed.digest == as_classifier(same).digest
    with torch.no_grad():
        next(same.parameters()).flatten()[3] += 1e-6
    assert digest_of_module(one) != digest_of_module(same)
    assert digest_of_module(nn.ReLU()) != digest_of_module(nn.Tanh())


def test_the_digest_includes_buffers_that_are_not_saved() -> None:
    def blur(strength: float) -> nn.Module:
        module = nn.Module()
        module.register_buffer("kernel", torch.tensor([strength]), persistent=False)
        return module

    assert digest_of_module(blur(1)) == digest_of_module(blur(1)) != digest_of_module(blur(2))


def test_the_pipeline_is_the_classifier() -> None:
    model = nn.Flatten()
    assert Classifier("it", model).pipeline is model
    both = Classifier("it", model, Preprocess(mean=(0.5,), std=(2.0,)))
    assert both.pipeline is not None
    assert torch.equal(both.pipeline(IMAGES), both(IMAGES))
    assert Classifier("it", torch.relu).pipeline is None


def test_answers_are_computed_in_full_precision() -> None:
    """TF32, torch's default for convolutions on CUDA, would set two ways to the same answer apart by 1e-3."""
    seen = []

    class Asking(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return images.flatten(1)[:, :2]

    before = torch.backends.cudnn.allow_tf32
    model = Asking()
    with evaluating(model):
        model(torch.rand(2, 1, 4, 4))
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_the_pipeline_is_in_the_mode_of_its_model() -> None:
    """It was in training mode whatever the model was in, so that nobody believed what it would answer."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout()).eval()
    pipeline = Classifier("it", model, Preprocess(mean=(0.5,)), logits=0).pipeline
    assert pipeline is not None
    assert not any(layer.training for layer in pipeline.modules())
    model.train()
    assert [layer for layer in pipeline.modules() if layer.training] == list(model.modules())


def test_the_pipeline_picks_the_logits() -> None:
    class Parts(nn.Module):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"features": images, "logits": images.mean((2, 3))}

    picked = Classifier("it", Parts(), logits="logits").pipeline
    assert picked is not None
    assert torch.equal(picked(IMAGES), IMAGES.mean((2, 3)))


def test_precision_is_put_back_after_the_last_of_several_threads() -> None:
    before = torch.backends.cudnn.allow_tf32
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with full_precision():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(10)
    with full_precision():
        second_is_in.set()
        assert first_is_out.wait(10)
        assert not torch.backends.cudnn.allow_tf32
    thread.join()
    assert torch.backends.cudnn.allow_tf32 == before
