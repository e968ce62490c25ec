"""What is recorded while a network runs: the same as a trace, true of other images, and never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.anatomy.test_positions import Case, assert_stages, chain, timm_model, torchvision_model
from torch import Tensor, fx, nn

from shiftproof.anatomy import Reason, Steps, find_places, locate, read_network
from shiftproof.certify import certify
from shiftproof.dense import NotPlanned, plan_rolls, plan_windows
from shiftproof.explain import explain
from shiftproof.zoo import ImageShape, build_network, networks


class Branching(nn.Module):
    """Chooses in Python by the size of the images, which torch.fx cannot follow."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.body(images) if images.shape[-1] > 1 else images
        return answer


class Written(nn.Module):
    """A forward in one line."""

    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._written = forward

    def forward(self, images: Tensor) -> Tensor:
        return self._written(images) if images.shape[-1] > 1 else images


def steps_of(network: nn.Module, shape: ImageShape) -> Steps:
    found = read_network(network.eval(), shape)
    assert not isinstance(found, Reason), found
    return found


def reason_of(network: nn.Module, shape: ImageShape = (3, 8, 8)) -> Reason:
    found = read_network(network.eval(), shape)
    assert isinstance(found, Reason)
    return found


def recorded(network: nn.Module, shape: ImageShape) -> Steps:
    found = steps_of(network, shape)
    assert found.trace.recorded is not None
    return found


def assert_answers(network: nn.Module, shape: ImageShape, n_images: int = 5) -> None:
    """The recorded steps answer another number of other images as the network does."""
    steps = recorded(network, shape)
    images = torch.rand(n_images, *shape, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        found = fx.Interpreter(steps.trace.module).run(images.clone())
        torch.testing.assert_close(found, network(images.clone()), rtol=1e-5, atol=1e-6)


# --- the same as a trace --------------------------------------------------------------------------

SAME: dict[str, tuple[Callable[[], nn.Module], ImageShape]] = {
    **{f"zoo:{name}": (partial(build_network, name), (1, 28, 28)) for name in networks.names()},
    "torchvision:mobilenet_v3_small": (lambda: torchvision_model("mobilenet_v3_small"), (3, 64, 64)),
    "torchvision:shufflenet_v2_x0_5": (lambda: torchvision_model("shufflenet_v2_x0_5"), (3, 64, 64)),
    "torchvision:squeezenet1_1": (lambda: torchvision_model("squeezenet1_1"), (3, 65, 65)),
    "torchvision:convnext_tiny": (lambda: torchvision_model("convnext_tiny"), (3, 32, 64)),
    "timm:resnet10t": (lambda: timm_model("resnet10t"), (3, 64, 64)),
    "timm:vit_tiny": (lambda: timm_model("vit_tiny_patch16_224", img_size=32, depth=2), (3, 32, 32)),
    "timm:mixer": (lambda: timm_model("mixer_s32_224", img_size=64), (3, 64, 64)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_record_has_the_places_of_a_trace(name: str) -> None:
    """Layer by layer: how many positions, where they lie and what they see, to the fraction."""
    build, shape = SAME[name]
    network = build()
    traced, run = steps_of(network, shape), recorded(Branching(network), shape)
    assert traced.trace.recorded is None
    for steps in (traced, run):
        assert not [found for found in locate(steps).values() if isinstance(found, Reason)]

    def places(steps: Steps, prefix: str) -> list[object]:
        where = locate(steps)
        layers = [step for step in steps.steps if step.node.op == "call_module"]
        return [(s.layer.removeprefix(prefix), s.operations, s.grid, where[s.node]) for s in layers]

    assert places(run, "body.") == places(traced, "")


def test_tensorflows_same_padding_from_sizes() -> None:
    """Convolutions pad by what the size of their input asks for: even sizes below and to the right."""
    words = {
        0: "3", 1: "3/2@0 3", 2: "5/2@1 5", 3: "3/2@0 3 3", 4: "5 5 5", 5: "5/2@1 5 5 5", 6: "3",
    }  # fmt: skip
    layers, cases = "3/2@0", []
    for place, added in words.items():
        layers += f" {added}"
        stride = int(chain(layers)[0])
        cases.append(Case(f"blocks.{place}", (64, 96), (64 // stride, 96 // stride), layers))
    network = timm_model("tf_efficientnet_lite0")
    assert_stages(network, *cases)
    # 65 px: 33 positions, and as many are padded on either side.
    assert_stages(network, Case("conv_stem", (65, 65), (33, 33), "3/2@1"))
    assert_answers(network, (3, 64, 96), n_images=3)


# --- other images, and other numbers of them -------------------------------------------------------


class Windowed(nn.Module):
    """Parts of maps as images of their own, and joined again: sizes that grow with the number of images."""

    def forward(self, images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        if height % 4 or width % 4:
            raise ValueError("windows of 4 × 4 px")
        parts = images.view(n, channels, height // 4, 4, width // 4, 4).permute(0, 2, 4, 1, 3, 5)
        windows = parts.reshape(-1, channels, 4, 4)
        assert len(windows) == n * (height // 4) * (width // 4)
        centred = windows - windows.view(len(windows), channels, 16).mean(2).view(-1, channels, 1, 1)
        back = centred.view(n, height // 4, width // 4, channels, 4, 4).permute(0, 3, 1, 4, 2, 5)
        return back.reshape(n, channels, height, width).square().mean((2, 3))


def _filled(images: Tensor) -> Tensor:
    maps = images * 2
    maps[:, :, 1:3] = images[:, :, 2:4]
    maps += 1
    maps.clamp_(max=2)
    maps /= 3
    return F.relu(maps - 0.2, inplace=True).flatten(1)


def _operators(images: Tensor) -> Tensor:
    maps = (1 - images) / (2 + images) ** 2 + 3 / (images + 1) - images @ images.mT
    first, second, third = maps.unbind(1)
    several = [row for row in maps.permute(1, 0, 2, 3)]  # noqa: C416 (by `__iter__`)
    return torch.stack([-first, abs(second), third, *several], 1).amax((2, 3))


def _named(images: Tensor) -> Tensor:
    strongest = images.flatten(2).max(2)
    order = torch.sort(images.flatten(1), 1)
    return torch.cat([strongest.values, order[0][:, :4], images.mT.flatten(1)], 1)


@pytest.mark.parametrize("forward", [_filled, _operators, _named])
def test_what_is_written_in_many_ways_is_recorded(forward: Callable[[Tensor], Tensor]) -> None:
    for n_images in (1, 2, 7):
        assert_answers(Written(forward), (3, 8, 8), n_images)


def test_sizes_that_grow_with_the_number_of_images() -> None:
    for n_images in (1, 4, 6):
        assert_answers(Windowed(), (3, 8, 12), n_images)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from("crfpbsg"), min_size=1, max_size=6), st.integers(1, 5))
def test_property_a_record_answers_as_the_network_does(words: list[str], n_images: int) -> None:
    layers: dict[str, Callable[[Tensor], Tensor]] = {
        "c": lambda maps: torch.cat([maps, maps.flip(3)], 1)[:, :3],
        "r": lambda maps: maps.reshape(len(maps) * 3, 1, *maps.shape[2:]).relu().view(-1, 3, *maps.shape[2:]),
        "f": lambda maps: F.pad(maps, [0, maps.shape[3] % 2, 0, 1], mode="replicate"),
        "p": lambda maps: F.max_pool2d(maps, 2, 1),
        "b": lambda maps: maps.mul_(2).sub_(maps.mean((2, 3), keepdim=True)),
        "s": lambda maps: maps.transpose(0, 1).contiguous().softmax(2).transpose(0, 1),
        "g": lambda maps: maps * torch.arange(maps.shape[3], device=maps.device),
    }

    def forward(images: Tensor) -> Tensor:
        maps = images * 1
        for word in words:
            maps = layers[word](maps)
        return maps.flatten(1)

    assert_answers(Written(forward), (3, 9, 8), n_images)


# --- what is refused, and why ----------------------------------------------------------------------


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        assert isinstance(self.calls, Tensor)
        self.calls += 1
        return images.flatten(1) if images.shape[-1] > 1 else images


class Keeping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.full((3, 1, 1), 2.0)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).flatten(1) if images.shape[-1] > 1 else images


def _swallowed(images: Tensor) -> Tensor:
    try:
        return images.flatten(1) * float(images.mean())
    except Exception:
        return images.flatten(1)


def _unseen(images: Tensor) -> Tensor:
    """As code does that was compiled ahead of time."""
    with torch._C.DisableTorchFunction():
        return images * 2


WRITTEN = "It overwrites a value|written into another one"
LOOKS = "looks at the numbers of its maps in Python"
REFUSED: dict[str, tuple[nn.Module, str]] = {
    "branch": (Written(lambda x: x.flatten(1) if x.mean() > 0 else -x.flatten(1)), rf"{LOOKS} \(`bool`\)"),
    "number": (Written(lambda x: x.flatten(1) * x.mean().item()), rf"{LOOKS} \(`item`\)"),
    "list": (Written(lambda x: x.flatten(1) * x[0, 0, 0].tolist()[0]), rf"{LOOKS} \(`tolist`\)"),
    "array": (Written(lambda x: torch.from_numpy(np.asarray(x) * 2).flatten(1)), LOOKS),
    "equal": (Written(lambda x: x.flatten(1) + torch.equal(x, -x)), rf"{LOOKS} \(`equal`\)"),
    "swallowed": (Written(_swallowed), LOOKS),
    "how many": (
        Written(lambda x: x.flatten(1) + len((x > 2).nonzero())), "How many numbers `nonzero` gives depends"
    ),
    "chosen": (Written(lambda x: x.flatten(1) + len(x[x > 2])), "How many numbers `getitem` gives depends"),
    "random": (Written(lambda x: x.flatten(1) * torch.rand(1)), "draws at random"),
    "dropout": (Written(lambda x: F.dropout(x.flatten(1), training=True)), "draws at random"),
    "NumPy's chance": (Written(lambda x: x.flatten(1) * np.random.rand()), "draws at random"),
    "state": (Counting(), "writes over a parameter, a buffer"),
    "plain": (Keeping(), "neither a parameter nor a buffer"),
    "number of images": (
        Written(lambda x: x.flatten(1) if len(x) == 2 else -x.flatten(1)),
        "something else for other images, or for another number",
    ),
    "a share of it": (
        Written(lambda x: x.flatten(1) * (1 / len(x))),
        "something else for other images, or for another number",
    ),
    "outside of torch": (Written(lambda x: _unseen(x).flatten(1)), "computed outside of torch's functions"),
    "kept view": (
        Written(lambda x: (y := x * 2, y[:, 0].fill_(1), y.flatten(1))[-1]), WRITTEN
    ),
    "a slice whose factor a norm takes back": (
        Written(lambda x: (y := x * 2, y[:, :, 1:].mul_(2), F.layer_norm(y, y.shape[-1:]).amax((2, 3)))[-1]),
        WRITTEN,
    ),
    "another size": (nn.Sequential(nn.Flatten(), nn.Linear(5, 2)), "does not take images of shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_run_that_may_be_another_one_for_other_images_is_refused(name: str) -> None:
    network, text = REFUSED[name]
    found = reason_of(network)
    assert re.search(text, found.text), found
    assert not network._forward_hooks
    assert not [key for key in vars(network) if "constant" in key]


def test_the_layer_that_decides_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), REFUSED["branch"][0], nn.Linear(144, 2))
    assert reason_of(network).layer == "1"


# --- what is read from it --------------------------------------------------------------------------


def circular(head: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, padding=1, padding_mode="circular"), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), nn.ReLU(), head, nn.Flatten(),
    )  # fmt: skip


def test_certify_proves_it_for_this_size_alone_and_says_so() -> None:
    network = circular(nn.AdaptiveAvgPool2d(1))
    plain, run = certify(network, (1, 8, 8)), certify(Branching(network), (1, 8, 8))
    assert run.circular.step_px == plain.circular.step_px == (2, 2)
    assert run.verdict == "strided-shifts"
    assert run.holds
    assert any("recorded while it ran on images of 8 × 8 px" in note for note in run.notes)
    assert not any("recorded" in note for note in plain.notes)
    unpadded = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    assert certify(unpadded, (1, 7, 7), numeric=False).interior.smallest_px is not None
    assert certify(Branching(unpadded), (1, 7, 7), numeric=False).interior.smallest_px is None


class OtherAtOtherSizes(nn.Module):
    """Invariant for images of 8 px, and not for others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular")

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.conv(images)
        return maps.mean((2, 3)) if images.shape[-1] == 8 else maps[:, :, 0, 0]


def test_each_size_is_read_by_itself() -> None:
    network = OtherAtOtherSizes()
    assert certify(network, (1, 8, 8)).verdict == "all-shifts"
    assert certify(network, (1, 12, 12)).verdict == "nothing"


def test_dense_plans_are_those_of_the_traced_network() -> None:
    unpadded = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3))
    plan = plan_windows(Branching(unpadded).eval(), (1, 12, 12))
    assert not isinstance(plan, NotPlanned), plan
    canvas = torch.rand(3, 1, 16, 16)
    expected = [unpadded(canvas[:, :, y : y + 12, x : x + 12]) for y in range(5) for x in range(5)]
    with torch.no_grad():
        torch.testing.assert_close(plan.answer(canvas, (5, 5)).flatten(1, 2), torch.stack(expected, 1))
    network = circular(nn.AdaptiveAvgPool2d(1)).eval()
    rolls = plan_rolls(Branching(network).eval(), (1, 8, 8))
    assert not isinstance(rolls, NotPlanned), rolls
    offsets = torch.tensor([[0, 1], [2, 1], [-3, 4]])
    images = torch.rand(3, 1, 8, 8)
    moved = [network(torch.roll(images, tuple(offset), (2, 3))) for offset in offsets.tolist()]
    with torch.no_grad():
        torch.testing.assert_close(rolls.answer(images, offsets), torch.stack(moved, 1))


def test_explain_cuts_it_as_if_it_were_traced() -> None:
    network = circular(nn.AdaptiveAvgPool2d(1)).eval()
    images = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    plain, run = (explain(each, images, n_remedies=0) for each in (network, Branching(network).eval()))
    assert [row.layer for row in plain.ranked()] == [row.layer.removeprefix("body.") for row in run.ranked()]
    for before, after in zip(plain.ranked(), run.ranked(), strict=True):
        assert after.loss["logits"].value == pytest.approx(before.loss["logits"].value, abs=1e-6)
    assert not any("watched" in note for note in run.notes)


def test_places_of_a_record_have_no_gaps() -> None:
    steps = recorded(timm_model("tf_mobilenetv3_small_minimal_100"), (3, 64, 64))
    assert not [place for place in find_places(steps).values() if isinstance(place, Reason)]
