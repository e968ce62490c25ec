"""Networks with a known answer: the easy ones have to be proved, and the others not."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.certify.brute_force import change_of_boxes, change_under_rolls
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.adapters import Classifier, Framing, Preprocess, as_classifier
from shiftproof.certify import Certificate, certify
from shiftproof.errors import ModelError, OptionError, ShapeError
from shiftproof.layers import (
    AdaptiveBlurPool2d,
    AdaptivePolyphase2d,
    AliasFreeActivation,
    BlurPool2d,
    CircularMaxPool2d,
    DetailPreservingPool2d,
    GlobalMeanPool,
    LearnedPolyphase2d,
    LowPassPool2d,
    MaxBlurPool2d,
    Polyphase2d,
    PolyphaseUnpool2d,
)
from shiftproof.zoo import ImageShape, build_network

Pair = tuple[int, int]
SHAPE = (2, 12, 12)


def circular(stride: int = 1, kernel: int = 3, channels: int = 2) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, padding_mode="circular")


def valid(kernel: int = 3, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    return nn.Conv2d(2, 2, kernel, stride, padding)


def net(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    for layer in layers:
        for part in layer.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.reset_parameters()
    return nn.Sequential(*layers).eval()


def meaned(*layers: nn.Module) -> nn.Sequential:
    return net(*layers, GlobalMeanPool())


class Fn(nn.Module):
    def __init__(self, fn: Callable[..., Tensor]) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, maps: Tensor) -> Tensor:
        return self.fn(maps)


class Both(nn.Module):
    """The sum of two branches, bent."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = self.first(maps) + self.second(maps)
        return total.square()


class Halved(nn.Module):
    """Two maps by one choice, or by one of their own."""

    def __init__(self, phase: Polyphase2d, how: str) -> None:
        super().__init__()
        self.conv = circular()
        self.phase, self.how = phase, how

    def forward(self, maps: Tensor) -> Tensor:
        main, short = self.conv(maps).relu(), maps
        if self.how == "own":
            total: Tensor = self.phase(main) + self.phase(short)
            return total.square()
        choice = self.phase.choose(main, short) if self.how == "shared" else self.phase.choose(main)
        return (self.phase.take(main, choice) + self.phase.take(short, choice)).square()


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(2, 2, 1)

    def forward(self, maps: Tensor) -> Tensor:
        gated: Tensor = maps * self.dense(F.adaptive_avg_pool2d(maps, 1)).sigmoid()
        return gated


class Turned(nn.Module):
    """Maps and their mirror image at the diagonal, by one choice."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = AdaptivePolyphase2d(stride=(2, 1))

    def forward(self, maps: Tensor) -> Tensor:
        turned = maps.transpose(2, 3)
        choice = self.phase.choose(maps, turned)
        total: Tensor = self.phase.take(maps, choice) + self.phase.take(turned, choice)
        return total.square()


class Positioned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, 2, 12, 12))

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.place


class There(nn.Module):
    """A polyphase stride and back."""

    def __init__(self) -> None:
        super().__init__()
        self.phase, self.back = AdaptivePolyphase2d(), PolyphaseUnpool2d()

    def forward(self, maps: Tensor) -> Tensor:
        choice = self.phase.choose(maps)
        answer: Tensor = self.back(self.phase.take(maps, choice), choice)
        return answer


# Along columns of an image of 12 × 12.
RAMP = nn.Parameter(torch.linspace(0, 1, 12), requires_grad=False)


class Case(NamedTuple):
    """A network, and the finest steps of rolls for which its answer stays."""

    name: str
    build: Callable[[], nn.Module]
    step_px: Pair | None
    culprit: str = ""
    shape: ImageShape = SHAPE
    is_more: bool = False  # The answer in fact stays for finer rolls, or nearly always.


CASES = (
    Case("convolutions", lambda: meaned(circular(), nn.ReLU(), circular(), nn.ReLU()), (1, 1)),
    Case("maximum", lambda: net(circular(), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()), (1, 1)),
    Case("stride 2", lambda: meaned(circular(2), nn.ReLU()), (2, 2)),
    Case("stride 2 twice", lambda: meaned(circular(2), nn.ReLU(), circular(2), nn.ReLU()), (4, 4)),
    Case("pools", lambda: meaned(circular(), nn.MaxPool2d(2), nn.AvgPool2d(3)), (6, 6)),
    Case("patches", lambda: meaned(nn.Conv2d(2, 4, 4, 4), nn.GELU()), (4, 4)),
    Case("odd size", lambda: meaned(circular(2), nn.ReLU()), None, "0", (2, 11, 11)),
    Case("odd height", lambda: meaned(circular(2), nn.ReLU()), (11, 2), "", (2, 11, 12)),
    Case("valid", lambda: meaned(valid(), nn.ReLU()), None, "0"),
    Case("zeros", lambda: meaned(valid(padding=1), nn.ReLU()), None, "0"),
    Case("zeros above", lambda: meaned(nn.Conv2d(2, 2, (3, 1), padding=(1, 0)), nn.ReLU()), (12, 1)),
    Case("reflection", lambda: meaned(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")), None, "0"),
    Case("padded by a function", lambda: meaned(Fn(lambda x: F.pad(x, (1, 1, 2, 0), mode="circular")),
                                                nn.ReLU(), valid()), (1, 1)),
    Case("padded by a layer", lambda: meaned(nn.CircularPad2d(1), valid(stride=2), nn.ReLU()), (2, 2)),
    Case("padded too much", lambda: meaned(nn.CircularPad2d(2), valid(), nn.ReLU()), None, "3"),
    Case("ceil", lambda: meaned(nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU()), None, "0", (2, 6, 6)),
    Case("flatten", lambda: net(circular(), nn.Flatten(), nn.Linear(288, 3)), None, "1"),
    Case("flatten of one", lambda: net(circular(), nn.AvgPool2d(12), nn.Flatten(), nn.Linear(2, 3)), (1, 1)),
    Case("gate", lambda: meaned(circular(), Gated(), circular(), nn.ReLU()), (1, 1)),
    Case("group norm", lambda: meaned(circular(), nn.GroupNorm(2, 2), nn.ReLU()), (1, 1)),
    Case("norm of maps", lambda: meaned(nn.LayerNorm((2, 12, 12), elementwise_affine=False), circular(),
                                        nn.ReLU()), (1, 1)),
    Case("positions", lambda: meaned(circular(), Positioned(), nn.ReLU()), None, "1"),
    Case("weights of positions", lambda: meaned(_random(nn.LayerNorm((2, 12, 12))), nn.ReLU()), None, "0"),
    Case("branches", lambda: meaned(Both(circular(2), nn.AvgPool2d(2))), (2, 2)),
    Case("adaptive", lambda: meaned(circular(), nn.ReLU(), AdaptivePolyphase2d(), circular(), nn.ReLU()),
         (1, 1)),
    Case("learned", lambda: meaned(circular(), LearnedPolyphase2d(2, 3, blur_size=3), circular(), nn.ReLU()),
         (1, 1)),
    Case("adaptive, then a stride", lambda: meaned(AdaptivePolyphase2d(), circular(2), nn.ReLU()), (4, 4)),
    Case("adaptive after a stride", lambda: meaned(circular(2), AdaptivePolyphase2d(), circular(), nn.ReLU()),
         (2, 2)),
    Case("shared choice", lambda: meaned(Halved(AdaptivePolyphase2d(), "shared")), (1, 1)),
    # For multiples of the stride every choice stays the same.
    Case("own choices", lambda: meaned(Halved(AdaptivePolyphase2d(), "own")), (2, 2)),
    Case("unseen", lambda: meaned(Halved(AdaptivePolyphase2d(), "unseen")), (2, 2), is_more=True),
    Case("turned", lambda: meaned(Turned()), None, "0"),
    Case("there and back", lambda: meaned(There(), circular(), nn.ReLU()), (2, 2), is_more=True),
    Case("dense maximum", lambda: meaned(CircularMaxPool2d(3), circular(2), nn.ReLU()), (2, 2)),
    Case("blur", lambda: meaned(BlurPool2d(2, border="circular"), nn.ReLU()), (2, 2)),
    Case("max blur", lambda: meaned(MaxBlurPool2d(2, border="circular"), circular(), nn.GELU()), (2, 2)),
    Case("reflected blur", lambda: meaned(BlurPool2d(2), nn.ReLU()), None, "0"),
    Case("detail", lambda: meaned(circular(), DetailPreservingPool2d(2)), (2, 2)),
    Case("full detail", lambda: meaned(circular(), DetailPreservingPool2d(2, kind="full")), None, "1"),
    Case("no aliases", lambda: meaned(circular(), AliasFreeActivation(nn.ReLU()), LowPassPool2d(), circular(),
                                      AliasFreeActivation(nn.ReLU())), (1, 1)),
    Case("no aliases, odd", lambda: meaned(circular(), LowPassPool2d(), circular()), (1, 1), "", (2, 11, 9)),
    Case("aliases", lambda: meaned(circular(), LowPassPool2d(), circular(), nn.ReLU()), (2, 2)),
    Case("a grid too coarse", lambda: meaned(LowPassPool2d(4), AliasFreeActivation(nn.ReLU())), (2, 2)),
    Case("unknown", lambda: meaned(circular(), Fn(lambda x: x.flip(3) * x)), (1, 6)),
    Case("sum of columns", lambda: net(circular(), Fn(lambda x: x.cumsum(2).mean((2, 3)))), (12, 1)),
    Case("finer", lambda: meaned(circular(2), nn.Upsample(scale_factor=2), circular(), nn.ReLU()), (2, 2)),
    Case("bilinear", lambda: meaned(circular(), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU()),
         None, "1"),
    Case("mean of rows", lambda: net(circular(), Fn(lambda x: x.mean(2).flatten(1)), nn.Linear(24, 3)),
         (1, 12)),
    Case("square between positions", lambda: meaned(LowPassPool2d(), Fn(lambda x: x * x)), (2, 2),
         is_more=True),
    Case("cube between positions", lambda: meaned(LowPassPool2d(), Fn(lambda x: x * x * x)), (2, 2)),
    Case("maximum between positions", lambda: net(LowPassPool2d(), Fn(lambda x: x.amax((2, 3)))), (2, 2)),
    Case("means of columns", lambda: meaned(circular(), Fn(lambda x: x.mean(2, keepdim=True) * x)), (1, 1)),
    Case("halves", lambda: meaned(circular(), Fn(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1).relu())),
         (1, 1)),
    Case("attention", lambda: net(Fn(lambda x: x.flatten(2).transpose(1, 2)), Attention()), (1, 1)),
    Case("attention of patches", lambda: net(circular(4), Fn(lambda x: x.flatten(2).transpose(1, 2)),
                                             encoder(2), Fn(lambda x: x.mean(1))), (4, 4)),
    Case("tokens first", lambda: net(circular(), Fn(lambda x: x.flatten(2).permute(2, 0, 1)),
                                     encoder(2, False), Fn(lambda x: x.amax(0))), (1, 1)),
    Case("attention by hand", lambda: net(circular(2), Fn(by_hand), Fn(lambda x: x.mean(1))), (2, 2)),
    Case("attention that is masked", lambda: net(Fn(lambda x: x.flatten(2).transpose(1, 2)), Fn(masked),
                                                 Fn(lambda x: x.mean(1))), None, "1"),
    Case("attention of columns", lambda: meaned(Fn(lambda x: x + F.scaled_dot_product_attention(
        *[x.permute(0, 2, 3, 1)] * 3).permute(0, 3, 1, 2))), (1, 1)),
    Case("who looked at whom", lambda: net(Fn(lambda x: x.flatten(2).transpose(1, 2)), Weights()), None, "1"),
    Case("a learned query", lambda: net(circular(2), Fn(lambda x: x.flatten(2).transpose(1, 2)), Query()),
         (2, 2)),
    Case("strengths of frequencies", lambda: net(circular(), Fn(lambda x: torch.fft.rfft2(x.relu()).abs()),
                                                 nn.Flatten(), nn.Linear(2 * 12 * 5, 3)), (1, 1),
         "", (2, 12, 8)),
    Case("strengths along rows", lambda: net(circular(2), Fn(lambda x: torch.fft.fft(x).abs().mean(2)),
                                             nn.Flatten(), nn.Linear(12, 3)), (2, 2)),
    Case("strengths along rows, in order", lambda: net(circular(), Fn(lambda x: torch.fft.fft(x).abs()),
                                                       nn.Flatten(), nn.Linear(288, 3)), (12, 1)),
    Case("phases", lambda: net(circular(), Fn(lambda x: torch.fft.rfft2(x).real), nn.Flatten()), None, "1"),
    Case("frequencies of a part", lambda: net(Fn(lambda x: torch.fft.rfft2(x, s=(4, 4)).abs()), nn.Flatten()),
         None, "0"),
    Case("a gate that is expanded", lambda: meaned(circular(), Expanded(), nn.ReLU()), (1, 1)),
    Case("rolled", lambda: meaned(circular(), Fn(lambda x: x * torch.roll(x, (1, -2), (2, 3)))), (1, 1)),
    Case("where", lambda: meaned(circular(), Fn(lambda x: torch.where(x > 0, x, 0.1 * x).masked_fill(
        x.gt(1), 1.0))), (1, 1)),
    # Proofs that were false.
    Case("rows and columns", lambda: net(Fn(lambda x: torch.square(x.mean(3) + x.mean(2)).mean(2))),
         None, "0"),
    Case("rows times columns turned", lambda: net(Fn(
        lambda x: (x.amax(3, keepdim=True) * x.mean(2, keepdim=True).transpose(2, 3)).square().mean((2, 3)))),
         None, "0"),
    Case("rows with weights", lambda: net(Fn(
        lambda x: (x.mean(3, keepdim=True) * RAMP + x).relu().mean((2, 3)))), None, "0"),
    Case("another softmax", lambda: net(Fn(lambda x: torch.special.softmax(x, 3).square().mean((2, 3)))),
         (1, 1)),
    Case("cropped and repeated", lambda: meaned(Fn(lambda x: F.pad(x, (1, -1, 0, 0), mode="circular"))),
         (1, 12)),
    Case("always random", lambda: meaned(circular(), Fn(lambda x: x + 1e-4 * torch.randn_like(x))), None,
         "Sequential"),
    Case("random after the mean", lambda: net(circular(), Fn(
        lambda x: F.dropout(x.mean((2, 3)), 0.01, training=True))), None, "Sequential"),
    Case("other images", lambda: meaned(circular(), Fn(lambda x: x - x.mean((0, 2, 3), keepdim=True))),
         None, "Sequential", is_more=True),
    Case("hardly other images", lambda: meaned(circular(), Fn(
        lambda x: x - 1e-5 * x.mean((0, 2, 3), True))).double(), None, "Sequential", is_more=True),
    Case("squeezed", lambda: net(circular(), Fn(lambda x: x.squeeze().mean(-1).mean(-1))),
         None, "Sequential", is_more=True),
)  # fmt: skip


def encoder(size: int, batch_first: bool = True) -> nn.Module:
    return nn.TransformerEncoderLayer(size, 1, 4, batch_first=batch_first).eval()


def by_hand(maps: Tensor) -> Tensor:
    """As timm has it: three tensors of heads on one axis, and images on another one than the first."""
    tokens = maps.flatten(2).transpose(1, 2)
    n, length, channels = tokens.shape
    packed = torch.cat([tokens, tokens.sin(), tokens * 2], 2).reshape(n, length, 3, 1, channels)
    query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
    looked = F.scaled_dot_product_attention(query, key, value)
    answer: Tensor = looked.transpose(1, 2).reshape(n, length, channels)
    return answer


def masked(tokens: Tensor) -> Tensor:
    looked: Tensor = F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True)
    return looked


class Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.look = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        weights: Tensor = self.look(tokens, tokens, tokens)[1]
        return weights.square().mean(1)


class Query(nn.Module):
    """Attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, 2))

    def forward(self, tokens: Tensor) -> Tensor:
        query = self.query.expand(tokens.shape[0], -1, -1)
        looked: Tensor = F.scaled_dot_product_attention(query, tokens, tokens.tanh())
        return looked.flatten(1)


class Expanded(nn.Module):
    """Squeeze and excite, as its authors wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Linear(2, 2)

    def forward(self, maps: Tensor) -> Tensor:
        n, channels = maps.shape[:2]
        gate = self.squeeze(F.adaptive_avg_pool2d(maps, 1).view(n, channels)).sigmoid()
        answer: Tensor = maps * gate.view(n, channels, 1, 1).expand_as(maps)
        return answer


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.look = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, rows: Tensor) -> Tensor:
        answer: Tensor = self.look(rows, rows, rows)[0].mean(1)
        return answer


def _random(layer: nn.LayerNorm) -> nn.LayerNorm:
    nn.init.normal_(layer.weight)
    return layer


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_finest_rolls_for_which_an_answer_stays(case: Case) -> None:
    network = case.build()
    law = certify(network, case.shape, numeric=False).circular
    assert law.step_px == case.step_px, str(law)
    images = torch.randn(5, *case.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    network = network.double()
    if law.step_px is not None:
        assert change_under_rolls(network, images, law.step_px) < 1e-9
    else:
        assert law.ended_by is not None
        assert law.ended_by.layer == case.culprit
    if law.step_px != (1, 1) and not case.is_more:
        # It is no weakness of the proof: finer rolls do change the answer.
        assert change_under_rolls(network, images, (1, 1)) > 1e-7


def test_what_was_not_seen_by_a_choice_does_not_follow_it() -> None:
    """Where the maps that decide are all zero the first phase is taken, wherever the other maps are."""
    network = meaned(Halved(AdaptivePolyphase2d(), "unseen")).double()
    branch = network[0]
    assert isinstance(branch, Halved)
    with torch.no_grad():
        branch.conv.weight.zero_()
        branch.conv.bias.fill_(-1)  # type: ignore[union-attr]
    assert change_under_rolls(network, torch.rand(1, *SHAPE, dtype=torch.float64), (1, 1)) > 1e-3


def test_the_way_back_shows_a_choice_that_was_left_open() -> None:
    """A constant image is its own roll; what comes back of it is not."""
    constant = torch.ones(1, 1, 4, 4)
    back = There()(constant)
    assert torch.equal(constant, torch.roll(constant, 1, 2))
    assert not torch.equal(back, torch.roll(back, 1, 2))


@pytest.mark.parametrize("how", ["adaptive", "learned"])
def test_images_that_repeat_themselves_leave_every_choice_open(how: str) -> None:
    """Integers, so that sums have no rounding and ties are ties."""
    phase = AdaptivePolyphase2d() if how == "adaptive" else LearnedPolyphase2d(2, 2)
    network = net(circular(), nn.ReLU(), Halved(phase, "shared"), nn.ReLU(), GlobalMeanPool()).double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.copy_(torch.randint(-2, 3, tensor.shape, generator=generator))
    assert certify(network, (2, 8, 8), numeric=False).verdict == "all-shifts"
    tile = torch.randint(0, 3, (3, 2, 4, 4), generator=generator).double()
    checkers = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64).repeat(3, 2, 4, 4)
    for images in (tile.repeat(1, 1, 2, 2), checkers, torch.zeros(1, 2, 8, 8).double()):
        assert change_under_rolls(network, images, (1, 1)) == 0


def test_the_body_of_cnn2_moves_up_to_its_flatten() -> None:
    found = certify("zoo:cnn2", numeric=False).interior
    assert found.ended_by is not None
    assert (found.layer, found.ended_by.layer) == ("body.pool2", "body.flatten")
    assert found.step_px == (4, 4)


def test_windows_that_weigh_themselves_are_windows() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = AdaptiveBlurPool2d(2, groups=2, border="circular")
        nn.init.normal_(layer.conv.weight)
        network = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    found = certify(network, (2, 8, 8))
    assert found.verdict == "strided-shifts"
    assert found.circular.step_px == (2, 2)
    assert found.holds


def test_a_transformer_with_a_class_token_is_proved_without_positions_alone() -> None:
    timm = pytest.importorskip("timm")
    sizes = {"img_size": 16, "patch_size": 8, "depth": 1, "num_classes": 3}
    found = certify(timm.create_model("vit_tiny_patch16_224", pos_embed="none", **sizes).eval(), (3, 16, 16))
    assert found.verdict == "strided-shifts"
    assert found.circular.step_px == (8, 8)
    assert found.holds
    found = certify(timm.create_model("vit_tiny_patch16_224", **sizes).eval(), (3, 16, 16), numeric=False)
    assert found.verdict == "nothing"
    assert found.circular.ended_by is not None
    assert "positional embedding" in found.circular.ended_by.text


@pytest.mark.slow
def test_a_network_of_torchvision_in_the_interior() -> None:
    torchvision = pytest.importorskip("torchvision")
    found = certify(torchvision.models.resnet18().eval(), (3, 64, 64), numeric=False)
    assert found.verdict == "nothing"
    assert found.circular.ended_by is not None
    assert found.circular.ended_by.layer == "conv1"
    assert found.interior.answer == "invariant"
    assert found.interior.is_empty
    assert found.interior.step_px == (32, 32)
    # The receptive field is 435 px: twice that, less a pixel on each side, a stride and what rounding leaves.
    assert found.interior.smallest_px == (864, 864)


@pytest.mark.parametrize(
    ("layers", "before_px", "after_px", "step"),
    [
        ([valid(3)], 2, 2, 1),  # a kernel less one
        ([valid(3, padding=1)], 2, 2, 1),
        ([valid(5), nn.ReLU(), valid(3)], 6, 6, 1),
        ([nn.MaxPool2d(2)], 0, 0, 2),  # windows that do not overlap, in phase with the border
        ([valid(3, stride=2)], 1, 2, 2),  # 11 positions for a size of 24: one px less is seen behind
        ([nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")], 2, 2, 1),
    ],
)
def test_margins_are_as_small_as_they_can_be(
    layers: list[nn.Module], before_px: int, after_px: int, step: int
) -> None:
    network = net(*layers, Fn(lambda maps: maps.square().amax((2, 3)) + maps.exp().mean((2, 3)))).double()
    shape = (2, 24, 24)
    law = certify(network, shape, numeric=False).interior
    assert (law.before_px, law.after_px) == ((before_px,) * 2, (after_px,) * 2)
    assert law.step_px == (step, step)
    rng = random.Random(0)
    torch.manual_seed(1)
    assert change_of_boxes(network, shape, law.before_px, law.after_px, law.step_px, rng) < 1e-9
    if before_px and after_px:
        nearer = [(before_px - 1,) * 2, law.after_px], [law.before_px, (after_px - 1,) * 2]
        for before, after in nearer:
            assert change_of_boxes(network, shape, before, after, law.step_px, rng) > 1e-9


def test_answers_that_are_maps_roll_along() -> None:
    network = net(circular(2), nn.ReLU(), nn.Upsample(scale_factor=4), circular())
    found = certify(network, SHAPE)
    assert (found.circular.step_px, found.circular.rolls) == ((2, 2), (4, 4))
    assert found.circular.axes == (2, 3)
    assert found.holds
    assert certify(net(network, Fn(lambda maps: maps.transpose(2, 3))), SHAPE).circular.axes == (3, 2)
    assert certify(net(network, Fn(lambda maps: maps.flatten(2))), SHAPE).holds
    images = torch.rand(1, *SHAPE)
    with torch.no_grad():
        assert_close(
            network(torch.roll(images, (2, -4), (2, 3))), torch.roll(network(images), (4, -8), (2, 3))
        )


def test_preprocessing_is_part_of_the_network() -> None:
    network = meaned(circular(), nn.ReLU())
    normalised = Classifier("n", network, Preprocess(mean=(0.5, 0.4), std=(0.2, 0.3)), Framing(SHAPE))
    assert certify(normalised).verdict == "all-shifts"
    resized = net(nn.Upsample(size=(8, 8), mode="bilinear"), network)
    law = certify(resized, SHAPE, numeric=False).circular
    assert law.ended_by is not None
    assert law.ended_by.layer == "0"


class Several(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": images.mean((2, 3)), "maps": images}


def test_logits_of_an_answer_with_several_parts() -> None:
    assert certify(Classifier("s", Several(), logits="logits"), SHAPE).verdict == "all-shifts"
    found = certify(Several(), SHAPE, numeric=False)
    assert found.verdict == "nothing"
    assert "logits" in str(found.circular)


class Looks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Fn(lambda maps: maps if maps.sum() > 0 else -maps)

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.body(images).mean((2, 3))
        return answer


class TwoImages(nn.Module):
    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        return images + others


def test_what_cannot_be_followed_is_named() -> None:
    found = certify(Looks().eval(), SHAPE)
    assert found.verdict == "nothing"
    assert found.circular.ended_by is not None
    assert found.circular.ended_by.layer == "body"
    assert [check.law for check in found.checks] == ["none"]


class Fails(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise LookupError("no table of this size")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Fails(), ": LookupError: no table of this size"),
        (TwoImages(), "missing 1 required positional argument"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), "cannot be multiplied"),
    ],
)
@pytest.mark.parametrize("numeric", [True, False])
def test_a_network_whose_forward_raises_is_an_error_of_the_model(
    model: nn.Module, said: str, numeric: bool
) -> None:
    """With its own message, and not a certificate that nothing is proved."""
    with pytest.raises(ModelError, match=f"on images of shape .*{said}"):
        certify(model.eval(), SHAPE, numeric=numeric)


def test_hooks_are_seen() -> None:
    network = meaned(circular())
    handle = network[0].register_forward_hook(lambda layer, given, answer: answer.cumsum(2))
    assert certify(network, SHAPE, numeric=False).verdict == "nothing"
    handle.remove()
    assert certify(network, SHAPE, numeric=False).verdict == "all-shifts"


def test_a_compiled_module_is_read_as_what_it_was() -> None:
    network = meaned(circular(), nn.ReLU())
    assert certify(torch.compile(network, backend="eager"), SHAPE, numeric=False).verdict == "all-shifts"


def test_shared_and_overwriting_layers() -> None:
    conv = circular()
    assert certify(meaned(conv, nn.ReLU(inplace=True), conv, nn.ReLU(inplace=True)), SHAPE).holds

    class Overwrites(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            twice = maps * 2
            twice[:, :, 0] = 0
            return twice.mean((2, 3))

    # The first row is lost, wherever it was along the row.
    assert certify(Overwrites(), SHAPE, numeric=False).circular.step_px == (12, 1)


def test_the_model_comes_back_to_the_bit() -> None:
    network = meaned(circular(), nn.BatchNorm2d(2), nn.Dropout(), AdaptivePolyphase2d())
    network.train()
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [layer.training for layer in network.modules()]
    names = set(vars(network))
    with pytest.warns(UserWarning, match="training mode"):
        found = certify(network, SHAPE)
    assert found.verdict == "all-shifts"
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [layer.training for layer in network.modules()] == modes
    assert set(vars(network)) == names
    assert not any(layer._forward_hooks for layer in network.modules())


def test_same_seed_same_bytes() -> None:
    first, second = (certify("zoo:cnn2-circular", seed=7).to_json() for _ in range(2))
    assert first == second


def test_a_batch_without_statistics_is_not_proved() -> None:
    network = meaned(circular(), nn.BatchNorm2d(2, track_running_stats=False))
    found = certify(network, SHAPE, numeric=False).circular
    assert found.ended_by is not None
    assert "others" in found.ended_by.text


def test_mistakes_are_errors_that_say_what_to_do() -> None:
    with pytest.raises(OptionError, match="--size"):
        certify(meaned(circular()))
    with pytest.raises(ModelError, match="layer by layer"):
        certify(as_classifier(lambda images: images.mean((2, 3))), SHAPE)
    with pytest.raises(ShapeError, match="images of shape"):
        certify(meaned(circular()), SHAPE, torch.rand(1, 3, 4, 4))
    with pytest.raises(OptionError, match="at least 1 image"):
        certify(meaned(circular()), SHAPE, n_images=0)
    with pytest.raises(OptionError, match="at least 1 move"):
        certify(meaned(circular()), SHAPE, n_moves=0)


def test_the_stages_are_those_of_the_network() -> None:
    found: Certificate = certify(
        nn.Sequential(OrderedDict(conv=circular(2), relu=nn.ReLU(), mean=GlobalMeanPool())),
        SHAPE,
        numeric=False,
    )
    rows = [(stage.layer, stage.size, stage.stride_px, stage.circular) for stage in found.stages]
    assert rows == [
        ("images", (12, 12), (1, 1), "rolls by 2"),
        ("conv", (6, 6), (2, 2), "rolls by 1"),
        ("mean", None, None, "stays"),
    ]
    assert found.stages[1].padding == "circular 1"


def test_larger_images_are_where_the_interior_law_begins() -> None:
    """What is said of a size is true of it, and one stride less leaves no room."""
    network = build_network("cnn2-gap").eval()
    smallest = certify(network, numeric=False).interior.smallest_px
    assert smallest == (32, 32)
    found = certify(network, (1, 32, 32), n_moves=20)
    assert (found.verdict, found.holds) == ("interior", True)
    assert certify(network, (1, 28, 28), numeric=False).interior.is_empty


BOUND = {
    "absolute bounds": Fn(lambda x: x[:, :, 1:9, 1:9]),
    "LayerNorm over maps": nn.LayerNorm([2, 10, 10]),
    "a view that takes the images in": Fn(lambda x: x.reshape(-1, 2, 10, 10)),
}


@pytest.mark.parametrize("name", BOUND)
def test_no_other_size_is_named_where_a_network_is_bound_to_one(name: str) -> None:
    network = net(BOUND[name], nn.Conv2d(2, 4, 7, padding=3), nn.ReLU(), GlobalMeanPool())
    law = certify(network, (2, 10, 10), numeric=False).interior
    assert (law.answer, law.is_empty, law.smallest_px) == ("invariant", True, None)


def test_the_background_is_known_where_the_object_may_cover_the_corner() -> None:
    """A margin of 0: pixel (0, 0) may belong to the object."""
    network = net(nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = certify(network, (3, 32, 32), n_moves=30)
    assert found.interior.proved
    assert (found.interior.before_px, found.holds) == ((0, 0), True)


def test_nothing_is_proved_of_what_answers_at_random() -> None:
    """Dropout that is always on: seldom enough that two answers may agree."""
    network = meaned(circular(), Fn(lambda x: x * 1), Fn(lambda x: F.dropout(x, 1e-4, training=True)))
    state = torch.get_rng_state()
    found = certify(network, (2, 8, 8), numeric=False)
    assert found.verdict == "nothing"
    assert "draws at random" in str(found.circular)
    assert torch.equal(torch.get_rng_state(), state)
