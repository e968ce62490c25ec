"""Strides, offsets and receptive fields, against arithmetic by hand, published numbers, and gradients."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shiftproof.anatomy import Located, Positions, Reason, locate, read_network
from shiftproof.zoo import ImageShape, build_network


def located(network: nn.Module, shape: ImageShape, layer: str) -> Located:
    """Where the positions of the last step of a layer lie."""
    steps = read_network(network.eval(), shape)
    assert not isinstance(steps, Reason), steps
    where = locate(steps)
    step = [step for step in steps.steps if f"{step.layer}.".startswith(f"{layer}.")][-1]
    found = where[step.node]
    assert isinstance(found, Located), found
    return found


def summary(positions: Positions) -> tuple[Fraction, Fraction, int]:
    """Stride, centre of position 0, and receptive field."""
    return positions.stride_px, positions.centre_px, positions.receptive_field_px


def chain(text: str) -> tuple[Fraction | int, Fraction | int, int]:
    """Stride, offset and receptive field of windows one after the other, by the textbook.

    One word a window: `3` is a kernel of 3; `/2` its stride, `x2` its dilation, `@0` what is padded above
    and to the left, by default so much that an odd kernel is centred.
    """
    stride, offset, field = 1, Fraction(0), 1
    for word in text.split():
        window, _, padding = word.partition("@")
        stepping, _, dilation = window.partition("x")
        kernel, _, step = stepping.partition("/")
        reach = (int(kernel) - 1) * int(dilation or 1)
        offset += (Fraction(reach, 2) - (int(padding) if padding else reach // 2)) * stride
        field += reach * stride
        stride *= int(step or 1)
    return Fraction(stride), offset, field


def test_convention_chain() -> None:
    # VGG-16 and AlexNet up to their last pools: 212 and 195, stride 32, as Araujo et al. have it,
    # "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019.
    vgg16 = "3 3 2/2@0 3 3 2/2@0 3 3 3 2/2@0 3 3 3 2/2@0 3 3 3 2/2@0"
    assert chain(vgg16)[::2] == (32, 212)
    assert chain("11/4 3/2 5 3/2 3 3 3 3/2")[::2] == (32, 195)
    assert chain("3/2@0 3/2@0") == (4, Fraction(3), 7)  # TensorFlow's "same" for even sizes


class Case(NamedTuple):
    """One stage of an architecture.

    Args:
        layer: Of which the last step is asked about.
        size: Of the images, (height, width).
        n: Positions down and right.
        windows: As in `chain`.
        sees_all: Whether there are gates, attention or statistics before it.
    """

    layer: str
    size: tuple[int, int]
    n: tuple[int, int]
    windows: str
    sees_all: bool = False


def assert_stages(network: nn.Module, *cases: Case) -> None:
    size = cases[0].size
    steps = read_network(network.eval(), (3, *size))
    assert not isinstance(steps, Reason), steps
    where = locate(steps)
    for case in cases:
        assert case.size == size
        step = [step for step in steps.steps if f"{step.layer}.".startswith(f"{case.layer}.")][-1]
        found = where[step.node]
        assert isinstance(found, Located), found
        for positions, n in zip(found.axes, case.n, strict=True):
            assert positions is not None
            assert positions.n == n, case
            assert summary(positions) == chain(case.windows), case
        assert found.sees_all == case.sees_all, case


def torchvision_model(name: str, **arguments: object) -> nn.Module:
    models = pytest.importorskip("torchvision.models")
    model: nn.Module = getattr(models, name)(weights=None, **arguments)
    return model


def timm_model(name: str, **arguments: object) -> nn.Module:
    model: nn.Module = pytest.importorskip("timm").create_model(name, pretrained=False, **arguments)
    return model


# --- by hand, stage by stage -----------------------------------------------------------------------


def test_resnets() -> None:
    stem = "7/2 3/2"
    ends = [f"{stem} 3 3 3 3"]
    for _ in range(3):
        ends.append(f"{ends[-1]} 3/2 3 3 3")
    square = [Case(f"layer{i + 1}", (64, 64), (16 >> i,) * 2, ends[i]) for i in range(4)]
    assert_stages(torchvision_model("resnet18"), Case("maxpool", (64, 64), (16, 16), stem), *square)
    oblong = [
        Case(f"layer{i + 1}", (97, 65), n, ends[i]) for i, n in ((0, (25, 17)), (2, (7, 5)), (3, (4, 3)))
    ]
    assert_stages(torchvision_model("resnet18"), *oblong)
    assert chain(ends[3])[::2] == (32, 435)
    # The 3 × 3 convolution of each bottleneck; its stride is there since torchvision, not in He et al. 2016.
    ends = [f"{stem} 3 3 3"]
    for n in (4, 6, 3):
        ends.append(f"{ends[-1]} 3/2 {'3 ' * (n - 1)}")
    assert_stages(
        torchvision_model("resnet50"),
        *(Case(f"layer{i + 1}", (64, 64), (16 >> i,) * 2, ends[i]) for i in range(4)),
    )
    assert chain(ends[3])[::2] == (32, 427)


def test_a_resnet_with_dilation_instead_of_strides() -> None:
    network = torchvision_model("resnet50", replace_stride_with_dilation=[False, True, True])
    second = "7/2 3/2 3 3 3 3/2 3 3 3"
    third = f"{second} 3x1 {'3x2 ' * 5}"  # The first block keeps the dilation of the stage before.
    assert_stages(
        network,
        Case("layer2", (64, 64), (8, 8), second),
        Case("layer3", (64, 64), (8, 8), third),
        Case("layer4", (64, 64), (8, 8), f"{third} 3x2 3x4 3x4"),
    )


def test_alexnet_and_vgg_and_their_borders() -> None:
    assert_stages(
        torchvision_model("alexnet"),
        Case("features.2", (128, 96), (15, 11), "11/4@2 3/2@0"),
        Case("features.12", (128, 96), (3, 2), "11/4@2 3/2@0 5 3/2@0 3 3 3 3/2@0"),
    )
    assert_stages(
        torchvision_model("vgg11_bn"),
        Case("features.7", (50, 70), (12, 17), "3 2/2@0 3 2/2@0"),
        Case("features.28", (50, 70), (1, 2), "3 2/2@0 3 2/2@0 3 3 2/2@0 3 3 2/2@0 3 3 2/2@0"),
    )


def test_pools_that_round_up() -> None:
    # 65 px: 32 positions after the stem; (32 − 3) / 2 rounds up to 15, so 16 windows, the last one of 2.
    network = torchvision_model("squeezenet1_1")
    fires = "3 3"
    assert_stages(
        network,
        Case("features.2", (65, 65), (16, 16), "3/2@0 3/2@0"),
        Case("features.5", (65, 65), (8, 8), f"3/2@0 3/2@0 {fires} 3/2@0"),
        Case("features.12", (65, 65), (4, 4), f"3/2@0 3/2@0 {fires} 3/2@0 {fires} 3/2@0 {fires} {fires}"),
    )


def test_densenet() -> None:
    layers = "7/2 3/2"
    cases = []
    for i, n in enumerate((6, 12, 24, 16)):
        layers += " 3" * n
        cases.append(Case(f"features.denseblock{i + 1}", (64, 64), (16 >> i,) * 2, layers))
        layers += " 2/2@0"
    assert_stages(torchvision_model("densenet121"), *cases)


def test_inception_v3_has_the_published_receptive_field() -> None:
    network = torchvision_model("inception_v3", aux_logits=False, init_weights=False)
    found = located(network, (3, 139, 139), "Mixed_7c")
    rows, columns = found.axes
    assert rows is not None
    assert columns is not None
    # Araujo et al. 2019: 1311, stride 32.
    assert rows.stride_px == 32
    assert (rows.receptive_field_px, columns.receptive_field_px) == (1311, 1311)


def test_mobilenets_and_efficientnets_with_gates() -> None:
    stages = {1: "3", 3: "3/2 3", 6: "3/2 3 3", 13: "3/2 3 3 3 3 3 3", 17: "3/2 3 3 3"}
    layers, cases = "3/2", []
    for place, words in stages.items():
        layers += f" {words}"
        stride = int(chain(layers)[0])
        cases.append(Case(f"features.{place}", (64, 96), (64 // stride, 96 // stride), layers))
    assert_stages(torchvision_model("mobilenet_v2"), *cases)
    stages = {1: "3", 2: "3/2 3", 3: "5/2 5", 4: "3/2 3 3", 5: "5 5 5", 6: "5/2 5 5 5", 7: "3"}
    layers, cases = "3/2", []
    for place, words in stages.items():
        layers += f" {words}"
        stride = int(chain(layers)[0])
        cases.append(Case(f"features.{place}", (64, 64), (64 // stride,) * 2, layers, sees_all=True))
    assert_stages(torchvision_model("efficientnet_b0"), *cases)
    without_gates = [case._replace(layer=f"blocks.{i}", sees_all=False) for i, case in enumerate(cases)]
    assert_stages(timm_model("efficientnet_lite0"), *without_gates)


# Padding as TensorFlow's "same" has it: so much that ⌈n / stride⌉ positions are left, the odd one behind. Of
# an even number of positions a window of 3 with stride 2 gets 0 before and 1 behind, one of 5 gets 1 and 2;
# of an odd number both get as much before as behind.
@pytest.mark.slow
@pytest.mark.parametrize(("size_px", "three", "five"), [(64, "3/2@0", "5/2@1"), (65, "3/2", "5/2")])
def test_padding_that_is_computed_from_sizes(size_px: int, three: str, five: str) -> None:
    stages = [
        "3", f"{three} 3", f"{five} 5", f"{three} 3 3", "5 5 5", f"{five} 5 5 5", "3"
    ]  # fmt: skip
    layers, cases = three, []
    for i, words in enumerate(stages):
        layers += f" {words}"
        n = -(-size_px // int(chain(layers)[0]))
        cases.append(Case(f"blocks.{i}", (size_px, size_px), (n, n), layers))
    assert_stages(timm_model("tf_efficientnet_lite0"), *cases)


@pytest.mark.slow
def test_networks_of_patches() -> None:
    layers, cases = "4/4@0", []
    for i, n in enumerate((3, 3, 9, 3)):
        layers += " 7" * n
        cases.append(Case(f"features.{2 * i + 1}", (64, 96), (16 >> i, 24 >> i), layers))
        layers += " 2/2@0"
    assert_stages(torchvision_model("convnext_tiny"), *cases)
    assert_stages(
        timm_model("vit_tiny_patch16_224", img_size=(32, 64)), Case("norm", (32, 64), (2, 4), "16/16@0", True)
    )
    assert_stages(
        timm_model("mixer_s32_224", img_size=64), Case("blocks.7", (64, 64), (2, 2), "32/32@0", True)
    )
    merged = ["4/4@0", "4/4@0 2/2@0", "4/4@0 2/2@0 2/2@0", "4/4@0 2/2@0 2/2@0 2/2@0"]
    swin = timm_model("swin_tiny_patch4_window7_224")
    assert_stages(swin, *(Case(f"layers.{i}", (224, 224), (56 >> i,) * 2, merged[i], True) for i in range(4)))
    swin = torchvision_model("swin_t")
    # 100 px: 25, 13, 7 and 4 positions, since merging adds a row of zeros to an odd number.
    sizes = (25, 13, 7, 4)
    assert_stages(
        swin,
        *(Case(f"features.{2 * i + 1}", (100, 100), (n, n), merged[i], True) for i, n in enumerate(sizes)),
    )


def test_networks_of_this_project() -> None:
    network = build_network("cnn2")
    found = located(network, (1, 28, 28), "body.pool2")
    for positions in found.axes:
        assert positions is not None
        assert positions.n == 4
        assert summary(positions) == chain("5@0 2/2@0 5@0 2/2@0")


def test_padding_as_a_layer_of_its_own_has_stride_1() -> None:
    layers: list[nn.Module] = []
    channels = 3
    for _ in range(5):
        layers += [nn.Conv2d(channels, 8, 3, stride=2, padding=1), nn.ReLU()]
        channels = 8
    for _ in range(3):
        layers += [nn.ZeroPad2d(2), nn.Conv2d(8, 8, 5, groups=8), nn.ReLU6()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    halvings = "3/2 3/2 3/2 3/2 3/2"
    assert_stages(
        network,
        Case("10", (224, 224), (11, 11), f"{halvings} 1@2"),
        Case("11", (224, 224), (7, 7), f"{halvings} 5"),
        Case("18", (224, 224), (7, 7), f"{halvings} 5 5 5"),
    )


# --- upsampling ---------------------------------------------------------------------------------


class Ladder(nn.Module):
    """A U-Net of two levels."""

    def __init__(self, up: nn.Module) -> None:
        super().__init__()
        self.top, self.down = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 2, stride=2)
        self.deep, self.up, self.out = nn.Conv2d(4, 4, 3, padding=1), up, nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        top = self.top(images)
        deep = self.up(self.deep(self.down(top)))
        answer: Tensor = self.out(torch.cat([top, deep], 1))
        return answer


UPS: dict[str, Callable[[], nn.Module]] = {
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "blocks": lambda: nn.ConvTranspose2d(4, 4, 2, stride=2),
    "overlapping": lambda: nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1),
    "shuffle": lambda: nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)),
}
# Receptive field after `up`: `deep` sees 3 + 1 + 2 × 2 = 8 px, of positions that lie 2 px apart. Blocks see
# one of these; bilinear and overlapping windows two. Windows of 3 over them see two, or three.
BY_HAND_PX = {
    "nearest": (8, 10),
    "bilinear": (10, 12),
    "blocks": (8, 10),
    "overlapping": (10, 12),
    "shuffle": (8, 10),
}


@pytest.mark.parametrize("up", UPS)
def test_a_ladder_comes_back_to_whole_pixels(up: str) -> None:
    network = Ladder(UPS[up]())
    for layer, field_px in zip(("up", "out"), BY_HAND_PX[up], strict=True):
        for positions in located(network, (3, 16, 24), layer).axes:
            assert positions is not None
            assert summary(positions) == (Fraction(1), Fraction(0), field_px)


def test_corners_that_are_aligned_lie_apart_by_other_fractions() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True))
    rows, columns = located(network, (3, 16, 24), "1").axes
    assert rows is not None
    assert columns is not None
    # 4 positions become 8: the first and the last stay, with 3 / 7 of 4 px between; 6 become 12, with 5 / 11.
    assert (rows.stride_px, columns.stride_px) == (Fraction(12, 7), Fraction(20, 11))
    assert rows.receptive_field(0) == (Fraction(0), Fraction(3))
    assert rows.receptive_field(7) == (Fraction(12), Fraction(15))


class Apart(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 2)[:, :, :4, :4] + images[:, :, :4, :4]


def test_maps_at_other_distances_are_not_at_one_place() -> None:
    steps = read_network(Apart().eval(), (1, 8, 8))
    assert not isinstance(steps, Reason)
    found = locate(steps)[steps.steps[-1].node]
    assert isinstance(found, Reason)
    assert "different numbers of pixels" in found.text


# --- against gradients -----------------------------------------------------------------------------

LAYERS = st.lists(
    st.one_of(
        st.tuples(st.just("conv"), *map(st.integers, (1, 1, 0, 1), (4, 3, 2, 2))),
        st.tuples(st.just("pool"), st.integers(1, 3), st.integers(1, 3), st.just(0), st.booleans()),
        st.tuples(st.just("transposed"), st.integers(2, 4), st.integers(1, 2), st.integers(0, 1), st.just(1)),
        st.tuples(st.just("nearest"), st.integers(2, 3)),
        st.tuples(st.just("bilinear"), st.integers(2, 3)),
        st.tuples(st.just("pad"), st.integers(-1, 2), st.integers(0, 2)),
        st.tuples(st.just("shuffle"), st.integers(2, 3)),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


def drawn(words: tuple[object, ...]) -> nn.Module:
    match words:
        case ("conv", int(kernel), int(stride), int(padding), int(dilation)):
            return nn.Conv2d(1, 1, kernel, stride, padding, dilation)
        case ("pool", int(kernel), int(stride), _, bool(up)):
            return nn.AvgPool2d(kernel, stride, ceil_mode=up)
        case ("transposed", int(kernel), int(stride), int(padding), _):
            return nn.ConvTranspose2d(1, 1, max(kernel, stride), stride, padding)
        case ("nearest", int(factor)):
            return nn.Upsample(scale_factor=factor)
        case ("bilinear", int(factor)):
            return nn.Upsample(scale_factor=factor, mode="bilinear")
        case ("shuffle", int(factor)):
            return nn.Sequential(nn.Conv2d(1, factor**2, 1), nn.PixelShuffle(factor))
        case ("pad", int(before), int(after)):
            return nn.ZeroPad2d((before, after, before, after))
    raise AssertionError(words)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(LAYERS)
def test_property_a_position_sees_what_its_gradient_reaches(layers: list[tuple[object, ...]]) -> None:
    """In images that are so large that some positions see no border."""
    network = nn.Sequential(*map(drawn, layers)).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)  # Nothing cancels.
    size_px = 41
    images = torch.ones(1, 1, size_px, size_px, dtype=torch.float64, requires_grad=True)
    try:
        answer = network(images)
    except RuntimeError:  # Nothing is left of the maps.
        return
    if min(answer.shape[2:]) < 2:
        return
    rows, columns = located(network, (1, size_px, size_px), str(len(layers) - 1)).axes
    assert rows == columns
    if rows is None:
        return
    assert rows.n == answer.shape[2]
    centred = [p for p in range(rows.n) if 16 <= p * rows.stride_px + rows.centre_px <= 24]
    for position in centred[:4]:
        low, high = rows.receptive_field(position)
        (gradient,) = torch.autograd.grad(answer[0, 0, position].sum(), images, retain_graph=True)
        seen = gradient[0, 0].abs().sum(1).nonzero().flatten().tolist()
        # Farther out borders come in: some of the positions in between do not exist.
        assert (seen[0], seen[-1]) == (low, high) if low >= 8 and high < size_px - 8 else low <= seen[0]
