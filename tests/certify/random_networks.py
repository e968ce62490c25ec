"""Networks of random layers, for brute force against whatever is proved of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from shiftproof.layers import (
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

CHANNELS = 2
Layer = Callable[[random.Random], nn.Module]


class Residual(nn.Module):
    """Two branches, added, multiplied or concatenated and mixed."""

    def __init__(self, first: nn.Module, second: nn.Module, join: str) -> None:
        super().__init__()
        self.first, self.second, self.join = first, second, join
        self.mix = nn.Conv2d(2 * CHANNELS, CHANNELS, 1)

    def forward(self, maps: Tensor) -> Tensor:
        one, two = self.first(maps), self.second(maps)
        if self.join == "add":
            total: Tensor = one + two
            return total
        if self.join == "product":
            product: Tensor = one * two
            return product
        answer: Tensor = self.mix(torch.cat([one, two], 1))
        return answer


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, largest: bool) -> None:
        super().__init__()
        self.largest = largest
        self.dense = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, maps: Tensor) -> Tensor:
        statistic = maps.amax((2, 3), keepdim=True) if self.largest else maps.mean((2, 3), keepdim=True)
        gated: Tensor = maps * self.dense(statistic).sigmoid()
        return gated


class Shared(nn.Module):
    """Two maps halved by one choice, or each by its own."""

    def __init__(self, phase: Polyphase2d, other: nn.Module, how: str) -> None:
        super().__init__()
        self.phase, self.other, self.how = phase, other, how

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.other(maps)
        if self.how == "own":
            answer: Tensor = self.phase(maps) + self.phase(branch)
            return answer
        choice = self.phase.choose(maps, branch) if self.how == "shared" else self.phase.choose(maps)
        return self.phase.take(maps, choice) + self.phase.take(branch, choice)


class ThereAndBack(nn.Module):
    """A polyphase stride, and back."""

    def __init__(self, phase: Polyphase2d, inner: nn.Module) -> None:
        super().__init__()
        self.phase, self.inner = phase, inner
        self.back = PolyphaseUnpool2d(stride=phase.stride)

    def forward(self, maps: Tensor) -> Tensor:
        choice = self.phase.choose(maps)
        answer: Tensor = self.back(self.inner(self.phase.take(maps, choice)), choice)
        return answer


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, name: str, fn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.name, self.fn = name, fn

    def forward(self, maps: Tensor) -> Tensor:
        return self.fn(maps)

    def extra_repr(self) -> str:
        return self.name


class ChannelNorm(nn.Module):
    """LayerNorm over channels, which go last and back."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)

    def forward(self, maps: Tensor) -> Tensor:
        normed: Tensor = self.norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed


def conv(rng: random.Random, circular: bool) -> nn.Module:
    kernel = rng.choice([(1, 1), (2, 2), (3, 3), (3, 1), (5, 3)])
    stride = rng.choice([(1, 1), (1, 1), (1, 1), (2, 2), (2, 2), (3, 3), (2, 1)])
    dilation = rng.choice([1, 1, 1, 2])
    down, right = ((k - 1) * dilation for k in kernel)
    if circular:
        padding, mode = (down // 2, right // 2), "circular"
    else:
        padding = (rng.randint(0, min(2, down)), rng.randint(0, min(2, right)))
        mode = rng.choice(["zeros", "reflect", "replicate"])
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, dilation, padding_mode=mode)  # type: ignore[arg-type]


def pool(rng: random.Random) -> nn.Module:
    size = rng.choice([2, 3])
    stride = rng.choice([1, 2, size])
    padding = rng.choice([0, 0, 1])
    if rng.random() < 0.5:
        return nn.MaxPool2d(size, stride, padding, ceil_mode=rng.random() < 0.3)
    return nn.AvgPool2d(
        size, stride, padding, ceil_mode=rng.random() < 0.3, count_include_pad=rng.random() < 0.5
    )


def phase(rng: random.Random) -> Polyphase2d:
    stride = rng.choice([(2, 2), (2, 2), (2, 2), (3, 3), (2, 1)])
    if rng.random() < 0.6:
        return AdaptivePolyphase2d(stride=stride, blur_size=rng.choice([1, 1, 3]))
    layer = LearnedPolyphase2d(CHANNELS, 2, stride=stride)
    with torch.no_grad():  # Of these filters one always sees something, so that no two scores are the same.
        layer.conv1.weight[1] = -layer.conv1.weight[0]
        assert layer.conv1.bias is not None
        layer.conv1.bias.zero_()
        layer.conv2.weight.abs_()
    return layer


def padded(rng: random.Random) -> nn.Module:
    left, right, above, below = (rng.randint(0, 2) for _ in range(4))
    margin = (left, right, above, below)
    mode = rng.choice(["circular", "circular", "constant", "reflect", "replicate"])
    kernel = (rng.choice([1, above + below + 1]), rng.choice([1, left + right + 1]))
    return nn.Sequential(
        Do(f"pad {margin} {mode}", lambda maps: F.pad(maps, margin, mode=mode)),
        nn.Conv2d(CHANNELS, CHANNELS, kernel, rng.choice([1, 1, 2])),
    )


def blurred(rng: random.Random, circular: bool) -> nn.Module:
    border = "circular" if circular else rng.choice(["reflect", "edge", "zeros"])
    size, stride = rng.randint(1, 4), rng.choice([1, 2, 2, 3])
    if rng.random() < 0.5:
        return BlurPool2d(CHANNELS, kernel_size=size, stride=stride, border=border)  # type: ignore[arg-type]
    return MaxBlurPool2d(CHANNELS, kernel_size=size, stride=stride, border=border)  # type: ignore[arg-type]


def pointwise(rng: random.Random) -> nn.Module:
    return rng.choice(
        [
            nn.ReLU(),
            nn.ReLU(inplace=True),
            nn.GELU(),
            nn.PReLU(CHANNELS),
            nn.BatchNorm2d(CHANNELS),
            nn.GroupNorm(1, CHANNELS),
            nn.GroupNorm(2, CHANNELS),
            nn.InstanceNorm2d(CHANNELS),
            ChannelNorm(),
            Gate(rng.random() < 0.5),
            nn.Dropout(),
            nn.Softmax(1),
            Do("softmax of rows", lambda maps: maps.softmax(2)),
            Do("flat and back", lambda maps: maps.flatten(2).reshape(maps.shape)),
            Do("mean of columns", lambda maps: maps + maps.mean(3, keepdim=True)),
            Do("shuffle", lambda maps: maps.unsqueeze(1).flatten(1, 2)),
            Do("halves", lambda maps: torch.cat(maps.chunk(2, 1)[::-1], 1)),
            Do("scaled", lambda maps: (maps - 0.1) / 2 * maps.mean()),
        ]
    )


def odd_one(rng: random.Random) -> nn.Module:
    return rng.choice(
        [
            Do("crop", lambda maps: maps[:, :, 1:, :-1]),
            Do("subsample", lambda maps: maps[:, :, ::2, ::2]),
            Do("larger", lambda maps: F.interpolate(maps, scale_factor=2.0)),
            Do("space to depth", lambda maps: F.pixel_unshuffle(maps, 2)[:, :CHANNELS]),
            Do("transposed", lambda maps: maps.transpose(2, 3)),
            Do("flipped", lambda maps: maps.flip(3)),
            DetailPreservingPool2d(CHANNELS, kind=rng.choice(["lite", "full"])),
            LowPassPool2d(2),
            AliasFreeActivation(nn.ReLU()),
            nn.UpsamplingNearest2d(scale_factor=2),
            nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, 2),
            nn.AdaptiveAvgPool2d(2),
        ]
    )


def branches(rng: random.Random, depth: int, friendly: float) -> nn.Module:
    first = body(rng, rng.randint(1, 2), depth - 1, friendly)
    second = nn.Identity() if rng.random() < 0.5 else body(rng, rng.randint(1, 2), depth - 1, friendly)
    return Residual(first, second, rng.choice(["add", "add", "product", "cat"]))


def body(rng: random.Random, n_layers: int, depth: int, friendly: float) -> nn.Sequential:
    """Random layers; the share `friendly` of those with a border has a circular one."""
    layers: list[nn.Module] = []
    for _ in range(n_layers):
        kind, circular = rng.random(), rng.random() < friendly
        if kind < 0.3:
            layers.append(conv(rng, circular))
        elif kind < 0.5:
            layers.append(pointwise(rng))
        elif kind < 0.57:
            layers.append(pool(rng))
        elif kind < 0.64:
            layers.append(blurred(rng, circular))
        elif kind < 0.7:
            layers.append(padded(rng))
        elif kind < 0.76:
            layers.append(phase(rng))
        elif kind < 0.82:
            how = rng.choice(["own", "shared", "shared", "unseen"])
            layers.append(Shared(phase(rng), body(rng, 1, 0, 1.0), how))
        elif kind < 0.85:
            layers.append(CircularMaxPool2d(rng.randint(1, 3)))
        elif kind < 0.87:
            layers.append(ThereAndBack(phase(rng), body(rng, 1, 0, 1.0)))
        elif kind < 0.9:
            layers.append(odd_one(rng))
        elif kind < 0.93:
            layers += [LowPassPool2d(rng.choice([2, 2, 3])), conv(rng, circular)]
        elif kind < 0.95:
            layers.append(AliasFreeActivation(rng.choice([nn.ReLU(), nn.Tanh()]), factor=rng.choice([2, 4])))
        elif depth > 0:
            layers.append(branches(rng, depth, friendly))
    return nn.Sequential(*layers)


def head(rng: random.Random, maps: Tensor) -> nn.Module:
    _, channels, height, width = maps.shape
    last = nn.Linear(channels, 3)
    kind = rng.random()
    if kind < 0.35:
        return nn.Sequential(GlobalMeanPool(), last)
    if kind < 0.5:
        return nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), last)
    if kind < 0.6:
        return nn.Sequential(Do("spread", lambda maps: maps.flatten(2).var(2, unbiased=False)), last)
    if kind < 0.7:
        return nn.Sequential(nn.AvgPool2d((height, width)), nn.Flatten(), last)
    if kind < 0.8:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, 3))
    if kind < 0.9:
        return nn.Sequential(Do("mean of rows", lambda maps: maps.mean(2).amax(2)), last)
    return nn.Identity()


def network(seed: int, size: tuple[int, int], friendly: float, n_layers: int = 5) -> nn.Module | None:
    """A network in float64 and evaluation mode, or None where the layers do not fit together."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    layers = body(rng, rng.randint(1, n_layers), 2, friendly)
    try:
        with torch.no_grad():
            maps = layers.eval()(torch.rand(2, CHANNELS, *size))
            if maps.ndim != 4 or not maps.numel():
                return None
            bend = Do("bend", lambda maps: maps.relu() + maps.square() / 4)
            whole = nn.Sequential(layers, *([bend] if rng.random() < 0.5 else []), head(rng, maps))
            whole.eval()(torch.rand(2, CHANNELS, *size))
    except (RuntimeError, ValueError):
        return None
    for layer in whole.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
        if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
            nn.init.normal_(layer.weight)
    return whole.double().eval()
