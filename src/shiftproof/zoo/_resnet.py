"""ResNet-20 for small images, and three ways to halve its maps that shifts disturb less.

Source: K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, 2016,
arXiv:1512.03385, section 4.2.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import pad

from shiftproof.layers import (
    AdaptivePolyphase2d,
    BlurPool2d,
    ConvBorder,
    GlobalMeanPool,
    LearnedPolyphase2d,
    Polyphase2d,
    conv2d,
)
from shiftproof.zoo._polyphase import APS, LPS, check_halved_twice
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

PAPER = "He, Zhang, Ren and Sun 2016, arXiv:1512.03385, section 4.2"
STAGES = (16, 32, 64)
BLOCKS = 3

Halving = Literal["stride", "blur", "adaptive", "learned"]
Shortcut = Literal["pad", "conv"]


class SubsampledShortcut(nn.Module):
    """The main branch, which a convolution has halved already, and every second pixel of the shortcut."""

    def forward(self, main: Tensor, shortcut: Tensor) -> tuple[Tensor, Tensor]:
        return main, shortcut[:, :, ::2, ::2]


class BlurBoth(nn.Module):
    """Both branches blurred and subsampled.

    Args:
        channels: Of the main branch and of the shortcut.
    """

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.main, self.shortcut = (BlurPool2d(n) for n in channels)

    def forward(self, main: Tensor, shortcut: Tensor) -> tuple[Tensor, Tensor]:
        return self.main(main), self.shortcut(shortcut)


class SharedPhase(nn.Module):
    """Both branches at the pixels that the main branch chooses: pixels that are added lie together.

    Args:
        phase: Chooses.
    """

    def __init__(self, phase: Polyphase2d) -> None:
        super().__init__()
        self.phase = phase

    def forward(self, main: Tensor, shortcut: Tensor) -> tuple[Tensor, Tensor]:
        choice = self.phase.choose(main, shortcut)
        return self.phase.take(main, choice), self.phase.take(shortcut, choice)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions whose answer is added to what they read.

    Args:
        channels: Before.
        n_filters: After.
        halving: How the maps get half as high and wide; None where they do not.
        shortcut: How the shortcut gets more channels: zeros, which is the paper's option A, or a 1 × 1
            convolution, option B.
        border: How the convolutions pad their maps.

    Shape:
        (N, channels, H, W) to (N, n_filters, H, W), or half of it, rounded up.
    """

    def __init__(
        self,
        channels: int,
        n_filters: int,
        *,
        halving: Halving | None = None,
        shortcut: Shortcut = "pad",
        border: ConvBorder = "zeros",
    ) -> None:
        super().__init__()
        stride = 2 if halving == "stride" else 1
        self.conv1 = conv2d(channels, n_filters, 3, stride=stride, border=border, bias=False)
        self.norm1 = nn.BatchNorm2d(n_filters)
        self.relu1 = nn.ReLU()
        self.halve = None if halving is None else _halve(halving, channels, n_filters)
        self.conv2 = conv2d(n_filters, n_filters, 3, border=border, bias=False)
        self.norm2 = nn.BatchNorm2d(n_filters)
        self.widen = _widen(channels, n_filters, shortcut)
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        main, shortcut = self.relu1(self.norm1(self.conv1(maps))), maps
        if self.halve is not None:
            main, shortcut = self.halve(main, shortcut)
        total: Tensor = self.relu2(self.norm2(self.conv2(main)) + self.widen(shortcut))
        return total


class MoreChannels(nn.Module):
    """Channels of zeros behind those that are there.

    Args:
        extra: How many.
    """

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, maps: Tensor) -> Tensor:
        return pad(maps, (0, 0, 0, 0, 0, self.extra))


def _halve(halving: Halving, channels: int, n_filters: int) -> nn.Module:
    match halving:
        case "stride":
            return SubsampledShortcut()
        case "blur":
            return BlurBoth((n_filters, channels))
        case "adaptive":
            return SharedPhase(AdaptivePolyphase2d())
        case "learned":
            return SharedPhase(LearnedPolyphase2d(n_filters, n_filters // 4))


def _widen(channels: int, n_filters: int, shortcut: Shortcut) -> nn.Module:
    if channels == n_filters:
        return nn.Identity()
    if shortcut == "pad":
        return MoreChannels(n_filters - channels)
    conv = conv2d(channels, n_filters, 1, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(n_filters)))


def resnet20(halving: Halving, shortcut: Shortcut, image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """The layers: 6 n + 2 of them with weights, n = 3.

    Args:
        halving: How the second and third stage get half as high and wide. The polyphase strides come with
            circular convolutions, without which no shift is exact.
        shortcut: See `ResidualBlock`.
        image_shape: (C, H, W).
        n_classes: Length of the answer.

    Raises:
        ShapeError: A polyphase stride, and images of which height and width are not multiples of 4.
    """
    border: ConvBorder = "zeros"
    if halving in ("adaptive", "learned"):
        check_halved_twice(image_shape)
        border = "circular"
    channels = STAGES[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=conv2d(image_shape[0], channels, 3, border=border, bias=False),
        norm=nn.BatchNorm2d(channels),
        relu=nn.ReLU(),
    )
    for stage, n_filters in enumerate(STAGES, start=1):
        for block in range(1, BLOCKS + 1):
            first = stage > 1 and block == 1
            layers[f"block{stage}{block}"] = ResidualBlock(
                channels, n_filters, halving=halving if first else None, shortcut=shortcut, border=border
            )
            channels = n_filters
    layers["mean"] = GlobalMeanPool()
    layers["head"] = nn.Linear(channels, n_classes)
    return nn.Sequential(layers)


for _spec in (
    NetworkSpec(
        "resnet20",
        partial(resnet20, "stride", "pad"),
        269_434,
        "20 layers with shortcuts, 16 to 64 filters, strides of 2",
        f"{PAPER}: ResNet-20 of CIFAR-10, shortcuts without weights; 0.27 M parameters published. Ours takes "
        "28 × 28 grey images and starts with Glorot weights",
    ),
    NetworkSpec(
        "resnet20-blur",
        partial(resnet20, "blur", "pad"),
        269_434,
        "resnet20 that blurs both branches before it halves them",
        f"Zhang 2019, arXiv:1904.11486 (kernel size 3, reflect), in ResNet-20, {PAPER}",
    ),
    NetworkSpec(
        "resnet20-aps",
        partial(resnet20, "adaptive", "pad"),
        269_434,
        "resnet20 on a circle, both branches keep the strongest phase: exact for every circular shift",
        f"{APS}, in ResNet-20, {PAPER}",
    ),
    NetworkSpec(
        "resnet20-lps",
        partial(resnet20, "learned", "pad"),
        283_882,
        "resnet20 on a circle, both branches keep a learned phase: exact for every circular shift",
        f"{LPS}, in ResNet-20, {PAPER}; 8 and 16 hidden filters, a softmax without noise in training",
    ),
):
    networks.register(_spec.name, _spec)
