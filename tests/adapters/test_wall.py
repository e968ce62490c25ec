"""One wall around a model: whatever it does, an error of ours or the right numbers come out."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier, as_classifier, explained
from shiftproof.data import LabelledImages
from shiftproof.errors import ModelError, ShiftproofError
from shiftproof.probe import measure_response
from shiftproof.shifts import find_protocol

IMAGES = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Leaving(BaseException):
    """No `Exception`."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raising(error: BaseException) -> Callable[[Tensor], Tensor]:
    def model(images: Tensor) -> Tensor:
        raise error

    return model


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0),
        SystemExit(5),
        SystemExit("bye"),
        Leaving("x"),
        GeneratorExit(),
        Unprintable(),
        StopIteration(),
        ValueError("\x1b[2J::error::"),
        RecursionError(),
        AssertionError("a" * 100_000),
    ],
    ids=repr,
)
def test_whatever_a_model_raises_is_a_model_error(error: BaseException) -> None:
    with pytest.raises(ModelError, match=r"Cannot run model on images of shape \(2, 1, 4, 4\): "):
        Classifier("model", raising(error))(IMAGES)


def test_ctrl_c_stays_what_it_is() -> None:
    def catching(images: Tensor) -> Tensor:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(99)

    for model in (raising(KeyboardInterrupt()), catching):
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            Classifier("model", model)(IMAGES)


def test_a_lack_of_memory_goes_through_for_a_smaller_batch() -> None:
    with pytest.raises(MemoryError, match="much"):
        Classifier("model", raising(MemoryError("too much")))(IMAGES)
    with pytest.raises(ModelError, match="MemoryError"), explained("to load"):
        raise MemoryError


def generator(images: Tensor) -> Iterator[Tensor]:
    yield images
    raise SystemExit(0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x.flatten(1) + 1j, "complex64"),
        (lambda x: x.flatten(1).to_sparse(), "sparse_coo"),
        (lambda x: torch.zeros(2, 3, device="meta"), "device meta"),
        (lambda x: x.flatten(1).log() - torch.inf, "infinity"),
        (lambda x: x.flatten(1) * torch.nan, "NaN"),
        (lambda x: None, "NoneType"),
        (lambda x: "cat", "str"),
        (generator, "generator"),
        (lambda x: {}, "dict"),
        (lambda x: x.flatten(1)[:, :0], r"\(2, 0\)"),
    ],
)
def test_what_is_no_answer_is_named(answer: Callable[[Tensor], Any], said: str) -> None:
    with pytest.raises(ShiftproofError, match=said):
        Classifier("model", answer)(IMAGES)


def test_an_answer_that_needs_a_gradient_is_taken() -> None:
    layer = nn.Linear(16, 3)
    with torch.inference_mode():
        answer = Classifier("model", lambda images: layer(images.flatten(1)))(IMAGES)
    assert answer.numpy().shape == (2, 3)


class Broken(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.layer = nn.Linear(16, 3)

    def __repr__(self) -> str:
        if self.what == "repr":
            raise Leaving("no representation")
        return "Broken()"

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        if self.what == "state_dict":
            raise SystemExit(0)
        return super().state_dict(*args, **kwargs)

    def __deepcopy__(self, memo: Any) -> Broken:
        if self.what == "deepcopy":
            raise SystemExit(0)
        other = Broken(self.what)
        other.load_state_dict(self.state_dict())
        return other

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.layer(images.flatten(1))
        return answer


@pytest.mark.parametrize("what", ["repr", "state_dict"])
def test_a_module_that_cannot_show_itself_is_a_model_error(what: str) -> None:
    with pytest.raises(ModelError, match="Cannot read the layers and weights of Broken"):
        as_classifier(Broken(what))


@pytest.mark.parametrize("module", [nn.LazyLinear(3), nn.Linear(3, 3, device="meta")], ids=["lazy", "meta"])
def test_weights_that_are_not_there_are_a_model_error(module: nn.Module) -> None:
    with pytest.raises(ModelError, match="Cannot read the layers and weights"):
        as_classifier(module)


def test_a_module_that_cannot_be_copied_is_asked_as_it_is() -> None:
    classifier = as_classifier(Broken("deepcopy"))
    assert classifier.replicas(2) == [classifier]


class Growing(nn.Module):
    """One class more each time."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 3

    def forward(self, images: Tensor) -> Tensor:
        self.n += 1
        return images.flatten(1)[:, : self.n]


def test_a_number_of_classes_that_changes_is_a_model_error(test_digits: LabelledImages) -> None:
    unlabelled = test_digits.head(20).with_labels(torch.full((20,), -1), ())
    with pytest.raises(ModelError, match="It has answered both"):
        measure_response(Growing(), unlabelled, find_protocol("grid:1"), method="direct", threads=1)


# --- models that write into what they are given --------------------------------------------------------


class Normalised(nn.Module):
    """Twins: one computes new tensors, the other one writes into its input."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 26 * 26, 10)
        self.kept = torch.zeros(0)

    def forward(self, images: Tensor) -> Tensor:
        if self.kind == "in place":
            images.sub_(0.4).div_(0.3)
        else:
            images = (images - 0.4) / 0.3
        maps = torch.relu_(self.layer(images)) if self.kind == "in place" else torch.relu(self.layer(images))
        answer: Tensor = self.head(maps.flatten(1))
        if self.kind == "after":
            images.zero_()
        if self.kind == "kept":
            if self.kept.shape != answer.shape:
                self.kept = torch.empty_like(answer)
            return self.kept.copy_(answer)
        return answer


def overwriting(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def model(images: Tensor) -> Tensor:
        answer: Tensor = module(images)
        images.fill_(0.5)
        return answer

    return model


def flat(module: nn.Module) -> Callable[[Tensor], Any]:
    """A function that writes through NumPy, which torch does not notice."""

    def model(images: Tensor) -> Any:
        answer = module(images.clone()).numpy()
        images.numpy()[...] = 0
        return answer

    return model


@pytest.mark.parametrize("protocol", ["grid:2", "article-large", "circular:3", "zhang-crop:2"])
@pytest.mark.parametrize("method", ["auto", "direct"])
def test_twins_that_write_into_their_input_get_the_same_numbers(
    protocol: str, method: Any, test_digits: LabelledImages
) -> None:
    honest = Normalised("new").eval()
    few = test_digits.head(24)
    if protocol.startswith("zhang"):
        few = LabelledImages(
            "large", nn.functional.pad(few.images, (2, 2, 2, 2)), few.labels, few.class_names
        )
    shifts = find_protocol(protocol)
    expected = measure_response(honest, few, shifts, method="direct", threads=1)
    twins: list[Any] = [
        *(Normalised(kind).eval() for kind in ("in place", "after", "kept")),
        overwriting(copy.deepcopy(honest)),
        flat(copy.deepcopy(honest)),
    ]
    for twin in twins:
        found = measure_response(twin, few, shifts, method=method, threads=2)
        torch.testing.assert_close(
            torch.tensor(found.drift), torch.tensor(expected.drift), atol=1e-4, rtol=1e-3
        )
        assert (found.predicted == expected.predicted).all()
