"""What is seen of a network as it runs, whatever it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shiftproof.explain._watching import IMAGES, OneLayer, WatchedCall, tensors_in, watching


def seen(network: nn.Module, images: Tensor, **options: bool) -> list[WatchedCall]:
    calls: list[WatchedCall] = []
    with torch.no_grad(), watching(network, images, calls.append, **options):
        network(images)
    return calls


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


class Branches(nn.Module):
    """A shared layer, a residual sum, a function in place, two answers, and control flow on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, 1)
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.conv(images)
        if float(maps.sum()) > -1e9:
            maps = torch.relu_(maps)
        maps += images
        maps = self.pool(self.pool(maps))
        maps[:, 0] = maps[:, 1]
        low, high = maps.chunk(2, 1)
        return low.mean((2, 3)), high.mean((2, 3))


def test_every_call_is_seen_with_its_inputs() -> None:
    calls = {call.name: call for call in seen(Branches(), torch.rand(2, 2, 5, 5))}
    assert list(calls) == [
        "conv", "sum", "relu", "add", "pool", "pool#2", "getitem", "setitem", "chunk", "chunk[1]", "mean",
        "mean#2",
    ]  # fmt: skip
    assert calls["conv"].inputs == (IMAGES,)
    assert calls["conv"].layer == "conv"
    assert calls["conv"].kind == "Conv2d"
    assert set(calls["add"].inputs) == {"relu", IMAGES}
    assert calls["pool#2"].inputs == ("pool",)
    assert calls["chunk"].inputs == ("setitem",)
    assert calls["mean#2"].inputs == ("chunk[1]",)


def test_what_is_overwritten_was_seen_before() -> None:
    images = torch.randn(2, 2, 4, 4)
    network = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    answers: list[Tensor] = []
    with torch.no_grad(), watching(network, images, lambda call: answers.append(call.answer.clone())):
        network(images)
    assert bool((answers[0] < 0).any())
    assert bool((answers[1] >= 0).all())


def test_calls_can_be_repeated_with_other_inputs() -> None:
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten())
    images = torch.randn(2, 1, 3, 3)
    before = images.clone()
    relu, flatten = seen(network, images, repeatable=True)
    assert torch.equal(dict(relu.sources)[IMAGES], before)
    assert torch.equal(relu.again({IMAGES: before.clone()}), before.clamp(min=0))
    assert flatten.again({"0": torch.ones(1, 2, 2, 2)}).shape == (1, 8)


@pytest.mark.parametrize("fails", [True, False])
def test_nothing_stays_behind(fails: bool) -> None:
    network = Branches()
    other = network.conv.register_forward_hook(lambda *_: None)

    def visit(call: WatchedCall) -> None:
        if fails and call.name == "pool":
            raise ZeroDivisionError("in the middle")

    images = torch.rand(2, 2, 5, 5)
    try:
        with torch.no_grad(), watching(network, images, visit):
            network(images)
    except ZeroDivisionError:
        assert fails
    assert hooks(network) == 1
    other.remove()
    again = seen(network, images)
    assert len(again) == 12


def test_a_compiled_network_is_seen_as_it_was_written() -> None:
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    compiled: Any = torch.compile(plain, backend="eager")
    network = nn.Sequential(compiled, nn.Flatten())
    names = [call.name for call in seen(network, torch.rand(2, 1, 5, 5))]
    assert names == ["0.0", "0.1", "1"]


def test_parts_of_a_layer_are_its_own_business() -> None:
    attention = nn.MultiheadAttention(4, 2, batch_first=True)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

        def forward(self, tokens: Tensor) -> Tensor:
            answer, _ = self.attention(tokens, tokens, tokens, need_weights=False)
            found: Tensor = self.normed(answer)
            return found

    names = [call.name for call in seen(Tokens().eval(), torch.rand(2, 5, 4))]
    assert names == ["attention", "normed"]
    one = nn.Sequential(OneLayer(nn.ReLU(), nn.Flatten()))
    assert [call.kind for call in seen(one, torch.rand(2, 5, 4))] == ["OneLayer"]


def test_what_does_not_come_from_the_images_is_no_step() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, images: Tensor) -> Tensor:
            gate = torch.sigmoid(self.scale.exp())
            return images.mean((2, 3)) * gate

    assert [call.name for call in seen(Scaled(), torch.rand(2, 3, 4, 4))] == ["mean", "mul"]


def test_tensors_are_found_in_nests() -> None:
    one = torch.ones(1)
    assert tensors_in({"a": [one, (one, 2)], "b": None}) == [one, one]
