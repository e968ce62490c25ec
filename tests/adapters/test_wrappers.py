"""Modules around modules: the one inside is read, and only believed where it answers the same."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from shiftproof.adapters import Classifier, as_classifier, inside
from shiftproof.certify import certify
from shiftproof.data import LabelledImages
from shiftproof.errors import ModelError
from shiftproof.probe import measure_response
from shiftproof.shifts import find_protocol

SHAPE = (1, 28, 28)


class Network(nn.Module):
    """Layers, functions, methods, sizes, in-place and arithmetic: what graphs are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.conv = nn.Conv2d(4, 4, 2)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        maps = torch.relu(self.norm(self.conv(maps)) + 1)
        features = self.pool(maps)
        rows = self.drop(features.view(features.size(0), -1))
        answer: Tensor = self.head(rows) * 2 - 0.5
        return answer


def network() -> Network:
    torch.manual_seed(0)
    built = Network().eval()
    built.norm.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    built.norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return built


def scripted(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


def traced(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(module, torch.rand(2, *SHAPE))  # type: ignore[no-any-return,no-untyped-call]


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")  # type: ignore[return-value]


WRAPPERS: tuple[Callable[[nn.Module], nn.Module], ...] = (
    nn.DataParallel,
    AveragedModel,
    compiled,
    scripted,
    traced,
    lambda module: nn.DataParallel(compiled(module)),
    lambda module: nn.Sequential(nn.Identity(), nn.DataParallel(module)),
    lambda module: nn.Sequential(scripted(module)),
)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_all_shifts_at_once_whatever_stands_around_the_network(
    wrap: Callable[[nn.Module], nn.Module], test_digits: LabelledImages
) -> None:
    plain = network()
    wrapped = wrap(network()).eval()
    images, protocol = test_digits.head(40), find_protocol("grid:3")
    expected = measure_response(plain, images, protocol, method="direct")
    found = measure_response(wrapped, images, protocol, method="dense")
    assert found.provenance["method"] == "dense"
    np.testing.assert_allclose(found.true_prob, expected.true_prob, atol=1e-5)
    np.testing.assert_allclose(found.drift, expected.drift, atol=1e-4)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_the_model_is_left_as_it_is(wrap: Callable[[nn.Module], nn.Module]) -> None:
    wrapped = wrap(network()).eval()
    before = [type(module) for module in wrapped.modules()]
    found = inside(wrapped)
    images = torch.rand(3, *SHAPE)
    with torch.inference_mode():
        torch.testing.assert_close(found(images), wrapped(images))
    assert [type(module) for module in wrapped.modules()] == before


def test_weights_are_shared() -> None:
    plain = network()
    found = inside(nn.Sequential(nn.DataParallel(plain)))
    assert {p.data_ptr() for p in found.parameters()} == {p.data_ptr() for p in plain.parameters()}


class Loops(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        total = images.mean((2, 3))
        for _ in range(int(images.sum()) % 3):
            total = total * 2
        return total * torch.arange(10)


def test_what_branches_is_asked_shift_by_shift(test_digits: LabelledImages) -> None:
    model = scripted(Loops())
    assert inside(model) is model
    response = measure_response(model, test_digits.head(5), find_protocol("grid:1"))
    assert response.provenance["method"] == "direct"


def test_a_hook_on_the_wrapper_shows_in_the_answers(test_digits: LabelledImages) -> None:
    wrapped = nn.DataParallel(network())
    wrapped.register_forward_hook(lambda module, given, answer: answer.flip(1))
    response = measure_response(wrapped, test_digits.head(5), find_protocol("grid:3"))
    assert response.provenance["method"] == "direct"
    with pytest.raises(ModelError, match="the module inside DataParallel to answer as it does"):
        certify(wrapped, SHAPE)


@pytest.mark.parametrize(
    "wrap", [*WRAPPERS[:2], *(pytest.param(wrap, marks=pytest.mark.slow) for wrap in WRAPPERS[2:])]
)
def test_what_is_proved_is_that_of_the_network_inside(wrap: Callable[[nn.Module], nn.Module]) -> None:
    conv = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")
    plain = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert certify(wrap(plain).eval(), SHAPE).verdict == certify(plain, SHAPE).verdict == "all-shifts"


def test_the_pipeline_has_the_module_inside() -> None:
    plain = network()
    assert Classifier("it", nn.DataParallel(plain)).pipeline is plain
    assert as_classifier(plain).pipeline is plain
