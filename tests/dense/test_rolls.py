"""All circular shifts from a few passes, against one pass for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.dense import NotPlanned, RollPlan, plan_rolls
from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import AdaptivePolyphase2d, AliasFreeActivation, LowPassPool2d, MaxBlurPool2d
from shiftproof.zoo import ImageShape, build_network

SHAPE = (2, 12, 8)
OFFSETS = torch.tensor([[0, 0], [1, 0], [-1, 3], [4, 4], [5, -4], [24, 7], [1, 0], [-11, -9], [2, 2]])


def circular(channels: int, filters: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(channels, filters, kernel, stride, padding, dilation, padding_mode="circular")


def planned(network: nn.Module, shape: ImageShape = SHAPE) -> RollPlan:
    plan = plan_rolls(network, shape)
    assert isinstance(plan, RollPlan), plan
    return plan


def refusal(network: nn.Module, shape: ImageShape = SHAPE) -> NotPlanned:
    plan = plan_rolls(network.eval(), shape)
    assert isinstance(plan, NotPlanned)
    return plan


def assert_exact(network: nn.Module, shape: ImageShape = SHAPE, offsets: Tensor = OFFSETS) -> RollPlan:
    """The oracle: the network itself on rolled images, in float64."""
    network = network.double().eval()
    plan = planned(network, shape)
    images = torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    answer = plan.answer(images, offsets)
    with torch.no_grad():
        one_by_one = [network(torch.roll(images, offset, (2, 3))) for offset in offsets.tolist()]
    assert_close(answer, torch.stack(one_by_one, 1), atol=1e-9, rtol=1e-9)
    assert torch.equal(images, before)
    return plan


class Block(nn.Module):
    """A residual block with a stride, as in ResNet."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1 = circular(channels, filters, stride=stride)
        self.norm = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = circular(filters, filters, dilation=2)
        self.skip = nn.Conv2d(channels, filters, 1, stride)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.conv2(self.relu(self.norm(self.conv1(maps))))
        inner += self.skip(maps)
        answer: Tensor = self.relu(inner)
        return answer


class Forward(nn.Module):
    """Layers, and a function of them and of the images."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.run(self, images)


class Wrapped(nn.Module):
    """Pads by hand, and reads the maps of both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = circular(2, 4)
        self.inner = nn.Conv2d(4, 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.conv(images))
        rows: Tensor = self.inner(F.pad(maps, (1, 1, 1, 1), mode="circular")).mean((2, 3))
        return rows * maps.amax((2, 3))[:, :3]


class Tokens(nn.Module):
    """A head that reads a line of tokens, and changes it in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = circular(2, 4, stride=2)
        self.mix = nn.Linear(24, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.conv(images).flatten(2)
        mixed: Tensor = self.mix(tokens)
        rows: Tensor = self.relu(mixed.reshape(mixed.shape[0], -1))
        return rows + 1


BODY = nn.Sequential(circular(2, 4), nn.GELU(), nn.MaxPool2d(2), circular(4, 4, 5, stride=2))
TO_ROWS = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
EXACT: dict[str, tuple[nn.Module, tuple[int, int], bool]] = {
    # Network, total stride, whether whole strides change the answer.
    "global mean": (nn.Sequential(BODY, *TO_ROWS, nn.Linear(4, 3)), (4, 4), False),
    "global maximum": (nn.Sequential(BODY, nn.AdaptiveMaxPool2d(1), nn.Flatten()), (4, 4), False),
    "flat head": (nn.Sequential(BODY, nn.Flatten(), nn.Linear(24, 3), nn.ReLU(inplace=True)), (4, 4), True),
    "residual": (
        nn.Sequential(Block(2, 4, 2), Block(4, 6, 1), *TO_ROWS, nn.Linear(6, 3), nn.Softmax(1)),
        (2, 2), False,
    ),
    "residual, flat": (nn.Sequential(Block(2, 3, 1), nn.Flatten(), nn.Linear(288, 3)), (1, 1), True),
    "zero padding late": (
        nn.Sequential(BODY, nn.Conv2d(4, 4, 3, padding=1), *TO_ROWS, nn.Linear(4, 3)), (4, 4), True,
    ),
    "border by hand": (Wrapped(), (1, 1), False),
    "tokens": (Tokens(), (2, 2), True),
    "one axis only": (
        nn.Sequential(
            nn.Conv2d(2, 3, (3, 1), (1, 4), padding=(1, 0), padding_mode="circular"), nn.AvgPool2d((1, 2)),
            *TO_ROWS,
        ),
        (1, 4), False,
    ),
    "mean of the image": (nn.Sequential(*TO_ROWS, nn.Linear(2, 3)), (1, 1), False),
    "same": (
        nn.Sequential(
            nn.Conv2d(2, 3, 4, padding="same", padding_mode="circular"), nn.Flatten(), nn.Linear(288, 2)
        ),
        (1, 1), True,
    ),
    "unknown on what stays": (
        nn.Sequential(BODY, *TO_ROWS, nn.GroupNorm(2, 4), nn.Linear(4, 2)), (4, 4), False,
    ),
    "statistics of all positions": (
        nn.Sequential(nn.GroupNorm(1, 2), circular(2, 4), nn.InstanceNorm2d(4), BODY[1:], *TO_ROWS),
        (4, 4), False,
    ),
    "half positions": (
        nn.Sequential(circular(2, 4), LowPassPool2d(2), nn.Conv2d(4, 3, 1), *TO_ROWS), (1, 1), False,
    ),
    "half positions, flat": (
        nn.Sequential(circular(2, 4), LowPassPool2d(2), nn.Flatten(), nn.Linear(96, 3)), (2, 2), True,
    ),
    "ideal": (nn.Sequential(circular(2, 4), AliasFreeActivation(nn.ReLU()), *TO_ROWS), (1, 1), False),
    "blur": (
        nn.Sequential(circular(2, 4), MaxBlurPool2d(4, border="circular"), *TO_ROWS, nn.Linear(4, 2)),
        (2, 2), False,
    ),
    "adaptive": (
        nn.Sequential(circular(2, 4), AdaptivePolyphase2d(), nn.Conv2d(4, 2, 1), *TO_ROWS), (1, 1), True,
    ),
    "parts": (
        Forward(lambda net, x: net.mix(torch.cat(net.conv(x).chunk(2, 1)[::-1], 1)).flatten(1),
                conv=circular(2, 4), mix=nn.Conv2d(4, 2, 3)), (1, 1), True,
    ),
    "parts, read outside": (
        Forward(lambda net, x: torch.cat(net.conv(x).chunk(2, 1), 3).flatten(1), conv=circular(2, 4)),
        (1, 1), True,
    ),
    "a border that is read outside": (
        Forward(lambda net, x: F.pad(net.conv(x), (1, 1, 1, 1), mode="circular").flatten(1),
                conv=circular(2, 4)), (1, 1), True,
    ),
    "rows that roll": (Forward(lambda net, x: net.conv(x).mean((1, 3)), conv=circular(2, 4)), (1, 1), False),
    "positions that roll": (
        Forward(lambda net, x: net.conv(x).mean(1).flatten(1), conv=circular(2, 4)), (1, 1), False,
    ),
    "attention in the head": (
        nn.Sequential(
            BODY, nn.Flatten(2), nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), nn.Flatten()
        ),
        (4, 4), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_oracle_one_pass_for_each_roll(name: str) -> None:
    network, total_stride, has_head = EXACT[name]
    plan = assert_exact(network, SHAPE)
    assert plan.total_stride == total_stride
    assert bool(plan.head_layers) is has_head


@st.composite
def chains(draw: st.DrawFn) -> tuple[nn.Sequential, ImageShape]:
    """A random chain of which some layers commute with rolls, after one that does."""
    channels, height, width = shape = (
        2,
        draw(st.sampled_from([6, 8, 12])),
        draw(st.sampled_from([7, 8, 12])),
    )
    layers: list[nn.Module] = [circular(2, 2)]
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        padding = draw(st.integers(0, min(1, kernel // 2)))
        conv = nn.Conv2d(channels, 3, kernel, stride, padding, padding_mode="circular")
        if draw(st.integers(0, 3)) == 0:
            conv = nn.Conv2d(channels, 3, kernel, stride, padding)
        layer = draw(
            st.sampled_from([conv, conv, nn.MaxPool2d(kernel, stride), nn.AvgPool2d(kernel, stride)])
        )
        after = layer(torch.zeros(1, channels, height, width)).shape
        if min(after[2:]) < 3:
            break
        layers += [layer, draw(st.sampled_from([nn.Tanh, nn.SiLU]))()]
        channels, height, width = after[1:]
    head = draw(st.sampled_from(["mean", "flat"]))
    if head == "mean":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2)]
    else:
        layers += [nn.Flatten(), nn.Linear(channels * height * width, 2)]
    return nn.Sequential(*layers), shape


@settings(max_examples=60)
@given(chains(), st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=1, max_size=8))
def test_property_random_chains_are_exact(
    chain: tuple[nn.Sequential, ImageShape], offsets: list[tuple[int, int]]
) -> None:
    network, shape = chain
    plan = assert_exact(network, shape, torch.tensor(offsets))
    assert plan.multiply_adds(torch.tensor(offsets)) <= len(offsets) * plan.direct_multiply_adds
    commuting = [size % stride == 0 for size, stride in zip(shape[1:], plan.total_stride, strict=True)]
    assert all(commuting)


def test_layers_in_the_way_are_named() -> None:
    zeros = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), *TO_ROWS)
    assert refusal(zeros) == NotPlanned(
        "0", "Its padding is not circular: near the border it sees what is no part of the image."
    )
    assert "without circular padding" in refusal(nn.Sequential(nn.Conv2d(2, 3, 3), *TO_ROWS)).reason
    odd = nn.Sequential(nn.Tanh(), nn.MaxPool2d(3), nn.Flatten())
    stride = "Its stride of 3 does not divide 8 positions, so that the grid does not close."
    assert refusal(odd, (2, 8, 8)) == NotPlanned("1", stride)
    repeating = nn.Sequential(nn.CircularPad2d(1), *TO_ROWS)
    assert refusal(repeating).reason == "It counts some positions of a circle twice."
    rows = Forward(lambda net, x: net.repeating(x).mean((1, 3)), repeating=nn.CircularPad2d((0, 0, 1, 1)))
    assert refusal(rows).reason.startswith("What it gives has a border of its own")
    narrow = nn.Sequential(nn.Conv2d(2, 3, 5, padding=1, padding_mode="circular"), *TO_ROWS)
    assert refusal(narrow).reason.startswith("It turns 8 positions into 6: without circular padding")
    assert refusal(build_network("dense-nn", image_shape=SHAPE)).layer == "body.flatten"
    assert refusal(build_network("cnn2", image_shape=(1, 28, 28)), (1, 28, 28)).layer == "body.conv1"
    unknown = nn.Sequential(nn.ConvTranspose2d(2, 2, 3), circular(2, 3), *TO_ROWS)
    assert refusal(unknown).layer == "0"
    assert "training mode" in str(plan_rolls(nn.Sequential(nn.Dropout(), *TO_ROWS), SHAPE))


def test_work_is_shared() -> None:
    """A body of stride 2 runs four times, whatever the number of shifts; a flat head once for each."""
    offsets = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    body = circular(2, 4, stride=2)
    flat = planned(nn.Sequential(body, nn.Flatten(), nn.Linear(64, 3)).eval(), (2, 8, 8))
    assert flat.body_multiply_adds == 4 * 4 * 4 * 2 * 9
    assert flat.head_multiply_adds == 64 * 3
    assert flat.multiply_adds(offsets) == 4 * 1152 + 64 * 192
    assert flat.head_layers == ("1", "2")
    pooled = planned(nn.Sequential(body, *TO_ROWS, nn.Linear(4, 3)).eval(), (2, 8, 8))
    assert pooled.multiply_adds(offsets) == 4 * (1152 + 12)
    assert pooled.direct_multiply_adds == 1152 + 12


def test_convention_positive_offsets_move_down_and_right() -> None:
    pixels = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(pixels.weight)
    network = nn.Sequential(pixels, nn.Flatten()).eval()
    image = torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]])
    answer = planned(network, (1, 2, 3)).answer(image, torch.tensor([[1, 0], [0, 1]]))
    assert answer.tolist() == [[[4, 5, 6, 1, 2, 3], [3, 1, 2, 6, 4, 5]]]


def test_wrong_images_and_offsets_are_refused() -> None:
    plan = planned(nn.Sequential(circular(2, 3), *TO_ROWS).eval())
    images = torch.zeros(1, *SHAPE)
    with pytest.raises(ShapeError, match=r"`images` of shape \(n, 2, 12, 8\), got \(1, 2, 8, 12\)"):
        plan.answer(torch.zeros(1, 2, 8, 12), OFFSETS)
    with pytest.raises(ShapeError, match=r"`offsets_px` of shape \(S, 2\)"):
        plan.answer(images, OFFSETS[None])
    with pytest.raises(OptionError, match=r"dtype torch.int64, got torch.float32. Convert with"):
        plan.answer(images, OFFSETS.float())


def convnext(size_px: int) -> tuple[nn.Module, ImageShape]:
    """torchvision's, of two small stages, with borders that go around."""
    models = pytest.importorskip("torchvision.models.convnext")
    torch.manual_seed(0)
    stages = [models.CNBlockConfig(8, 16, 1), models.CNBlockConfig(16, None, 1)]
    network: nn.Module = models.ConvNeXt(stages, num_classes=5, layer_scale=1.0).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and any(map(bool, layer.padding)):
            layer.padding_mode = "circular"
    return network, (3, size_px, size_px)


def test_a_circular_convnext_rolls_by_its_stride() -> None:
    network, shape = convnext(32)
    plan = planned(network, shape)
    assert plan.total_stride == (8, 8)
    assert plan.head_layers == ()
    images, offsets = torch.rand(2, *shape), torch.tensor([[0, 0], [8, -16], [3, 5], [11, 5], [-1, 31]])
    with torch.inference_mode():
        expected = torch.stack([network(torch.roll(images, o, (2, 3))) for o in map(tuple, offsets)], 1)
    torch.testing.assert_close(plan.answer(images, offsets), expected, rtol=1e-4, atol=1e-5)
    every = torch.cartesian_prod(torch.arange(32), torch.arange(32))
    assert plan.multiply_adds(every) == 64 * plan.direct_multiply_adds, "of 1,024 shifts"


def test_the_plan_is_the_one_for_the_shifts_that_are_wanted() -> None:
    """Of shifts by up to 2 px, of which no two differ by 8 px, only the first stage can be shared."""
    network, shape = convnext(32)
    few = torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3))
    plan = plan_rolls(network, shape, few)
    assert not isinstance(plan, NotPlanned)
    assert plan.total_stride == (4, 4)
    assert "classifier.2" in plan.head_layers
    assert plan.multiply_adds(few) < planned(network, shape).multiply_adds(few)


def test_a_plan_that_shares_next_to_nothing_is_not_cheaper() -> None:
    """A transformer shares its patches alone, of 256 of 289 shifts: steps of a graph cost more."""
    patches = nn.Sequential(nn.Conv2d(3, 32, 16, 16), nn.Flatten(2))
    head = [nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(6)]
    network = nn.Sequential(patches, *head, nn.Flatten(), nn.Linear(512, 5)).eval()
    offsets = torch.cartesian_prod(torch.arange(-8, 9), torch.arange(-8, 9))
    plan = plan_rolls(network, (3, 64, 64), offsets)
    assert not isinstance(plan, NotPlanned)
    assert plan.multiply_adds(offsets) < len(offsets) * plan.direct_multiply_adds
    assert not plan.is_cheaper(offsets)
