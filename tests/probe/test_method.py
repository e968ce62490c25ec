"""Why shifts are not asked for all at once: each reason is true, and goes away with its cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier, Preprocess
from shiftproof.data import Images, load_images
from shiftproof.dense import WindowPlan
from shiftproof.errors import OptionError
from shiftproof.probe import measure_response, probing
from shiftproof.shifts import ShiftProtocol, find_protocol

GRID = find_protocol("grid:1")


@pytest.fixture(scope="module")
def digits() -> Images:
    return load_images("demo:mnist", image_shape=(1, 28, 28), limit=3)


def layers(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 5), *more, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(576, 10)).eval()


def circular(*more: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), *more).eval()


def meaned() -> nn.Sequential:
    return circular(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 10))


class Written(nn.Module):
    """A forward as a function."""

    def __init__(self, run: Callable[[Any, Tensor], Any], inner: nn.Module | None = None) -> None:
        super().__init__()
        self.inner, self.run, self.plain = inner or layers(), run, torch.ones(1)
        self.register_buffer("kept", torch.ones(1))
        self.register_buffer("places", torch.linspace(0, 1, 28))
        self.training = False

    def forward(self, images: Tensor) -> Any:
        return self.run(self, images)


def hooked(hook: bool) -> nn.Module:
    network = layers()
    if hook:
        network[0].register_forward_hook(lambda *_: None)
    return network


def replaced(replace: bool) -> nn.Module:
    network = layers()
    if replace:
        network[1].forward = network[1].forward
    return network


@dataclass(frozen=True)
class Case:
    """A reason, what brings it about, and the same without that."""

    reason: str
    wrong: Any
    right: Any
    protocols: tuple[ShiftProtocol, ShiftProtocol] = (GRID, GRID)


CASES = {
    "shifts of its own": Case(
        "each image has its own shifts", layers(), layers(), (find_protocol("article-small"), GRID)
    ),
    "fractions": Case(
        "some shifts are fractions of a pixel",
        layers(), layers(), (find_protocol("half-pixel"), GRID),
    ),
    "a function": Case("what a function or an exported graph does", layers().__call__, layers()),
    "padding": Case(
        "0: Its padding of 1 gives each window a border of its own",
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(1568, 2)),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1352, 2)),
    ),
    "padding on a circle": Case(
        "0: Its padding is not circular",
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        meaned(),
        (replace(GRID, border="circular"),) * 2,
    ),
    "hook": Case("0: A forward hook may change", hooked(True), hooked(False)),
    "replaced": Case("1: Its forward was replaced", replaced(True), replaced(False)),
    "control flow": Case(
        "Written: It looks at the numbers of its maps in Python",
        Written(lambda self, x: self.inner(x) if x.sum() > -1 else x),
        Written(lambda self, x: self.inner(x)),
    ),
    "random": Case(
        "draws at random", Written(lambda self, x: self.inner(x) + torch.rand(1)),
        Written(lambda self, x: self.inner(x) + 0.5),
    ),
    "a plain tensor": Case(
        "is a tensor that is neither a parameter nor a buffer",
        Written(lambda self, x: self.inner(x) * self.plain),
        Written(lambda self, x: self.inner(x) * self.kept),
    ),
    "positions of their own": Case(
        "numbers that differ between positions",
        Written(lambda self, x: self.inner(x * self.places)), Written(lambda self, x: self.inner(x * 2)),
    ),
    "no saving": Case(
        "computing all shifts at once would cost more than it saves",
        circular(nn.Flatten(), nn.Linear(1568, 2)), meaned(),
        (replace(GRID, border="circular"),) * 2,
    ),
    "other images": Case(
        "It answers an image alone otherwise than among others",
        Written(lambda self, x: self.inner(x) - self.inner(x).mean(0), meaned()),
        Written(lambda self, x: self.inner(x) - self.inner(x).mean(1, keepdim=True), meaned()),
        (replace(GRID, border="circular"),) * 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_reason_goes_away_with_its_cause(name: str, digits: Images) -> None:
    case = CASES[name]
    with probing(case.wrong, digits, case.protocols[0]) as probe:
        assert probe.choice.name == "direct"
        assert case.reason in probe.choice.reason
    with probing(case.right, digits, case.protocols[1]) as probe:
        assert probe.choice.name == "dense", probe.choice.reason


def test_one_shift_has_nothing_to_share(digits: Images) -> None:
    with probing(layers(), digits, find_protocol("grid:0")) as probe:
        assert probe.choice.reason == "there is only one shift"


def test_a_plan_that_answers_wrongly_is_not_used(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    right = WindowPlan.answer
    with monkeypatch.context() as patch:
        patch.setattr(WindowPlan, "answer", lambda *args: right(*args) + 1)
        with probing(layers(), digits, GRID) as probe:
            assert probe.choice.reason == "the dense method gave different answers than the direct one"
        with pytest.raises(OptionError, match="the dense method gave different answers"):
            measure_response(layers(), digits, GRID, method="dense")
    with probing(layers(), digits, GRID) as probe:
        assert probe.choice.name == "dense"


def test_a_plan_that_a_layer_refuses_is_not_used(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> Tensor:
        raise RuntimeError("of another size")

    monkeypatch.setattr(WindowPlan, "answer", refuses)
    with probing(layers(), digits, GRID) as probe:
        assert probe.choice.name == "direct"
        assert probe.choice.reason == "the dense method cannot be computed (RuntimeError: of another size)"
    with pytest.raises(OptionError, match="cannot be computed"):
        measure_response(layers(), digits, GRID, method="dense")


PREPARED = {
    "mean and std": Preprocess(mean=(0.1307,), std=(0.3081,)),
    "scale": Preprocess(scale=255),
    "all": Preprocess(scale=255, mean=(33.0,), std=(78.5,)),
}


@pytest.mark.parametrize("border", ["zeros", "circular"])
@pytest.mark.parametrize("name", PREPARED)
def test_a_normalised_model_is_asked_all_at_once(name: str, border: Any, digits: Images) -> None:
    """With the numbers of one after the other: what comes in from outside is normalised, too."""
    network = layers() if border == "zeros" else CASES["padding on a circle"].right.eval()
    classifier = Classifier("it", network, PREPARED[name])
    protocol = replace(GRID, border=border)
    dense = measure_response(classifier, digits, protocol, method="dense")
    direct = measure_response(classifier, digits, protocol, method="direct")
    assert (dense.predicted == direct.predicted).all()
    assert abs(dense.true_prob - direct.true_prob).max() < 1e-5


def test_the_part_of_an_answer_that_is_the_logits(digits: Images) -> None:
    parts = Written(lambda self, x: {"logits": self.inner(x), "images": x})
    classifier = Classifier("parts", parts, logits="logits")
    with probing(classifier, digits, GRID) as probe:
        assert probe.choice.name == "dense", probe.choice.reason


def test_a_layer_is_named_as_if_its_model_stood_alone(digits: Images) -> None:
    classifier = Classifier("it", CASES["padding"].wrong.eval(), PREPARED["all"])
    with probing(classifier, digits, GRID) as probe:
        assert probe.choice.reason.startswith("0: Its padding of 1")
