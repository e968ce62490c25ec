"""All windows at once, against one forward pass for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.dense import NotPlanned, WindowPlan, plan_windows
from shiftproof.errors import ShapeError
from shiftproof.zoo import ImageShape, build_network

Pair = tuple[int, int]
ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardswish, nn.LeakyReLU, nn.Identity)


def planned(network: nn.Module, shape: ImageShape) -> WindowPlan:
    plan = plan_windows(network, shape)
    assert isinstance(plan, WindowPlan), plan
    return plan


def refusal(network: nn.Module, shape: ImageShape = (2, 12, 11)) -> NotPlanned:
    plan = plan_windows(network.eval(), shape)
    assert isinstance(plan, NotPlanned)
    return plan


def windows_one_by_one(network: nn.Module, canvas: Tensor, shape: ImageShape, n_windows: Pair) -> Tensor:
    """The oracle: each window cut out and shown to the network itself."""
    _, height, width = shape
    with torch.no_grad():
        rows = [
            torch.stack(
                [network(canvas[:, :, y : y + height, x : x + width]) for x in range(n_windows[1])], 1
            )
            for y in range(n_windows[0])
        ]
    return torch.stack(rows, 1)


def assert_exact(network: nn.Module, shape: ImageShape, n_windows: Pair = (4, 5)) -> WindowPlan:
    """In float64, where a difference of more than rounding means another function."""
    network = randomised(network).double().eval()
    plan = planned(network, shape)
    channels, height, width = shape
    size = (height + n_windows[0] - 1, width + n_windows[1] - 1)
    canvas = torch.randn(2, channels, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    before = canvas.clone()
    answer = plan.answer(canvas, n_windows)
    expected = windows_one_by_one(network, canvas, shape, n_windows)
    assert_close(answer, expected, atol=1e-9, rtol=1e-9)
    assert torch.equal(canvas, before)
    assert 1 <= plan.multiply_adds((1, 1)) == plan.direct_multiply_adds
    assert plan.multiply_adds(n_windows) <= plan.direct_multiply_adds * n_windows[0] * n_windows[1]
    return plan


def randomised(network: nn.Module) -> nn.Module:
    """Every parameter and statistic drawn anew, so that none of them is a neutral 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1)
                signs = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
                tensor.mul_(signs if tensor.ndim > 1 else 1)
    return network


class Residual(nn.Module):
    """Both branches end at the same size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.left = nn.Conv2d(channels, channels, 3, stride=2)
        self.right = nn.Sequential(nn.Conv2d(channels, channels, (1, 3)), nn.ReLU(inplace=True))
        self.down = nn.AvgPool2d((3, 1), 2)

    def forward(self, maps: Tensor) -> Tensor:
        left, right = self.left(maps), self.down(self.right(maps))
        return torch.cat([left + right, left * torch.sigmoid(right)], dim=1)


class Cropped(nn.Module):
    """A residual sum without padding: of the maps before it, those are added that windows stand on."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, channels, 3), nn.Conv2d(channels, channels, (1, 3))

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = self.second(self.first(maps).relu())
        return maps[:, :, 1:-1, 2:-2] + changed


class TwoOrders(nn.Module):
    """The same maps flattened twice, row by row and column by column."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(264, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1) + images.transpose(2, 3).flatten(1))
        return logits


class Normalised(nn.Module):
    """Mean and deviation of each channel, as most classifiers take them off."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.3, 0.6]))
        self.register_buffer("std", torch.tensor([0.2, 0.5]).reshape(2, 1, 1))
        self.gain = nn.Parameter(torch.tensor([1.5, 0.5]))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean[None, :, None, None]) / self.std * self.gain[:, None, None] + 2


class Forward(nn.Module):
    """A network whose forward is a plain function of its layers and the images."""

    def __init__(self, forward: Callable[[Forward, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self, images)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class TwoHeads(nn.Module):
    """Flattened maps that are read three times, in their own order and in that of the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.left, self.right = nn.MaxPool2d(3), nn.Linear(24, 3), nn.Linear(24, 2)

    def forward(self, images: Tensor) -> Tensor:
        flat = self.body(images).flatten(1)
        return torch.cat([self.left(flat), self.right(flat.exp()), flat.tanh()], 1)


SHAPE = (2, 12, 11)
BODY = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2))  # To 4 × 5 × 4.
EXACT: dict[str, nn.Module] = {
    "strided": nn.Sequential(nn.Conv2d(2, 3, 3, stride=(2, 3)), nn.Flatten(), nn.Linear(45 // 3 * 3, 3)),
    "dilated": nn.Sequential(nn.Conv2d(2, 3, (2, 3), dilation=(3, 2)), nn.Flatten(), nn.Linear(3 * 63, 3)),
    "grouped": nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(360, 3)),
    "dilated pool": nn.Sequential(nn.MaxPool2d(3, 2, dilation=2), nn.Flatten(), nn.Linear(2 * 4 * 4, 3)),
    "overlapping pools": nn.Sequential(
        nn.MaxPool2d(3, 2), nn.Tanh(), nn.AvgPool2d((2, 1), 1), nn.Flatten(), nn.Linear(2 * 4 * 5, 3)
    ),
    "ceil where it fits": nn.Sequential(
        nn.MaxPool2d((2, 1), ceil_mode=True), nn.Flatten(), nn.Linear(2 * 6 * 11, 3)
    ),
    "normalisation": nn.Sequential(Normalised(), BODY, nn.Flatten(), nn.Linear(80, 3)),
    "batch norm": nn.Sequential(
        nn.BatchNorm2d(2), BODY, nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(80), nn.Linear(80, 3)
    ),
    "rows": nn.Sequential(
        BODY, nn.Flatten(), nn.Dropout(), nn.GELU(), nn.Linear(80, 6), nn.LayerNorm(6), nn.PReLU(6),
        nn.BatchNorm1d(6), nn.Linear(6, 3), nn.Softmax(-1),
    ),
    "norm of flattened": nn.Sequential(BODY, nn.Flatten(), nn.LayerNorm(80), nn.Linear(80, 3)),
    "residual": nn.Sequential(Residual(2), Residual(4), nn.Flatten(), nn.Linear(8 * 2 * 2, 3)),
    "cropped residual": nn.Sequential(
        nn.MaxPool2d((2, 1)), Cropped(2), nn.Tanh(), nn.Flatten(), nn.Linear(56, 3)
    ),
    "crop by less than nothing": nn.Sequential(
        nn.AvgPool2d(1, (1, 2)), nn.ZeroPad2d((-1, 0, 0, -2)), nn.Conv2d(2, 3, 3), nn.Flatten(),
        nn.Linear(72, 3),
    ),
    "every other position of the middle": Forward(
        lambda net, x: net.head(net.body(x)[:, :, 1:-1:2, :-1].mean((2, 3))), body=BODY, head=nn.Linear(4, 3)
    ),
    "global mean": nn.Sequential(BODY, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
    "global maximum": nn.Sequential(
        BODY, nn.AdaptiveMaxPool2d((1, 1)), nn.Conv2d(4, 3, 1), nn.Flatten(), nn.LogSoftmax(1)
    ),
    "adaptive to a divisor": nn.Sequential(nn.AdaptiveAvgPool2d((4, 11)), nn.Flatten(), nn.Linear(88, 3)),
    "convolutions only": nn.Sequential(BODY, nn.Conv2d(4, 3, (5, 4)), nn.Flatten(start_dim=1)),
    "per position": nn.Sequential(
        nn.PReLU(2), nn.Softmax(dim=1), nn.Conv2d(2, 3, 12 - 9), nn.LogSoftmax(-3), nn.Flatten(),
        nn.Linear(270, 2),
    ),
    "functions": Forward(
        lambda net, x: F.linear(
            F.max_pool2d(F.relu(net.conv(x), inplace=True), 2).flatten(1), net.head.weight, net.head.bias
        ),
        conv=nn.Conv2d(2, 4, 3), head=nn.Linear(80, 3),
    ),
    "functional weights": Forward(
        lambda net, x: F.avg_pool2d(F.conv2d(x, net.conv.weight.tanh(), None, 2, dilation=2), 2)
        .relu_().mean((2, 3)),
        conv=nn.Conv2d(2, 4, 3),
    ),
    "view": Forward(
        lambda net, x: net.head(net.body(x).view(x.size(0), -1)), body=BODY, head=nn.Linear(80, 3)
    ),
    "reshape": Forward(
        lambda net, x: net.head(net.body(x).reshape(x.shape[0], 80)), body=BODY, head=nn.Linear(80, 3)
    ),
    "mean": Forward(lambda net, x: net.head(net.body(x).mean([-1, -2])), body=BODY, head=nn.Linear(4, 3)),
    "maximum kept": Forward(
        lambda net, x: torch.flatten(torch.amax(net.body(x), dim=(2, 3), keepdim=True), 1), body=BODY
    ),
    "two heads": TwoHeads(),
    "two orders": TwoOrders(),
    "tokens": Forward(
        lambda net, x: net.head(net.norm(net.dense(net.body(x).flatten(2).transpose(1, 2))).flatten(1)),
        body=BODY, dense=nn.Linear(4, 5), norm=nn.LayerNorm(5), head=nn.Linear(100, 3),
    ),
    "token mean": Forward(
        lambda net, x: net.dense(net.body(x).flatten(2).permute(0, 2, 1)).mean(1),
        body=BODY, dense=nn.Linear(4, 5),
    ),
    "channels last": Forward(
        lambda net, x: net.head(net.dense(net.body(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).flatten(1)),
        body=BODY, dense=nn.Linear(4, 5), head=nn.Linear(100, 3),
    ),
    "wrong order kept": Forward(
        lambda net, x: net.head(net.body(x).permute(0, 3, 1, 2).flatten(1)), body=BODY, head=nn.Linear(80, 3)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_oracle_one_forward_pass_for_each_window(name: str) -> None:
    assert assert_exact(EXACT[name], SHAPE).image_shape == SHAPE


@pytest.mark.parametrize("name", ["standard-nn", "dense-nn", "cnn1", "cnn2", "strided-cnn"])
def test_oracle_networks_of_the_zoo(name: str) -> None:
    shape = (2, 20, 23)
    network = build_network(name, image_shape=shape, input_scale=3.0)
    plan = assert_exact(network, shape, (3, 6))
    stride = {"cnn1": 2, "cnn2": 4, "strided-cnn": 4}.get(name, 1)
    assert plan.total_stride == (stride, stride)


@st.composite
def chains(draw: st.DrawFn) -> tuple[nn.Sequential, ImageShape]:
    """A random chain of layers that ends in rows, and an image shape that it can take."""
    channels, height, width = shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(8, 14)),
        draw(st.integers(8, 14)),
    )
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kernel = (draw(st.integers(1, min(4, height))), draw(st.integers(1, min(4, width))))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        fits = all((k - 1) * 2 + 1 <= n for k, n in zip(kernel, (height, width), strict=True))
        dilation = draw(st.integers(1, 2 if fits else 1))
        after = draw(st.integers(1, 4))
        layer = draw(
            st.sampled_from(
                [
                    nn.Conv2d(channels, after, kernel, stride, dilation=dilation),
                    nn.Conv2d(channels, 2 * channels, kernel, stride, dilation=dilation, groups=channels),
                    nn.MaxPool2d(kernel, stride, dilation=dilation),
                    nn.AvgPool2d(kernel, stride),
                ]
            )
        )
        layers += [layer, draw(st.sampled_from(ACTIVATIONS))()]
        channels, height, width = layer(torch.zeros(1, channels, height, width)).shape[1:]
    if draw(st.booleans()):
        layers += [draw(st.sampled_from([nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d]))(1)]
        height = width = 1
    layers += [
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(channels * height * width, 3),
        nn.ReLU(),
        nn.Linear(3, 2),
    ]
    return nn.Sequential(*layers), shape


@settings(max_examples=60)
@given(chains(), st.tuples(st.integers(1, 8), st.integers(1, 8)))
def test_property_random_chains_are_exact(chain: tuple[nn.Sequential, ImageShape], n_windows: Pair) -> None:
    network, shape = chain
    plan = assert_exact(network, shape, n_windows)
    assert plan.images_per_batch(n_windows) >= 1


BREAKERS: dict[str, tuple[Callable[[int], nn.Module], str]] = {
    "convolution": (lambda c: nn.Conv2d(c, c, 3, padding=1), "padding of 1 gives each window a border"),
    "same": (lambda c: nn.Conv2d(c, c, (1, 3), padding="same"), "padding of 0 × 1"),
    "circular": (lambda c: nn.Conv2d(c, c, 3, padding=1, padding_mode="circular"), "padding of 1"),
    "max pool": (lambda c: nn.MaxPool2d(3, 1, padding=1), "padding of 1"),
    "average pool": (lambda c: nn.AvgPool2d(3, 1, padding=1), "padding of 1"),
    "zeros": (lambda c: nn.ZeroPad2d(1), "padding of 1"),
    "instance norm": (nn.InstanceNorm2d, "normalises over positions"),
    "group norm": (lambda c: nn.GroupNorm(1, c), "normalises over positions"),
    "batch statistics": (lambda c: nn.BatchNorm2d(c, track_running_stats=False), "no statistics of its own"),
    "upsampling": (lambda c: nn.Upsample(scale_factor=2), "no function of each position"),
    "softmax over columns": (lambda c: nn.Softmax(dim=3), "normalises over positions"),
    "subclass": (lambda c: _Doubled(c, c, 1), "padding of 0 × 1"),
}  # fmt: skip


class _Doubled(nn.Conv2d):
    """A layer of someone else, which torch.fx looks into."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return torch.roll(super().forward(input), 1, 3)


@pytest.mark.parametrize("name", BREAKERS)
def test_the_layer_in_the_way_is_named(name: str) -> None:
    breaker, reason = BREAKERS[name]
    features = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
    network = nn.Sequential()
    network.add_module("features", features)
    network.add_module("culprit", breaker(3))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    found = refusal(network)
    assert found.layer == "culprit"
    assert reason in found.reason


@settings(max_examples=30)
@given(chains(), st.data())
def test_property_chains_with_one_bad_layer_are_refused(
    chain: tuple[nn.Sequential, ImageShape], data: st.DataObject
) -> None:
    network, shape = chain
    heads = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten)  # After these each window is by itself.
    features = list(network)[: next(i for i, layer in enumerate(network) if isinstance(layer, heads))]
    place = data.draw(st.integers(0, len(features)))
    channels, *size = nn.Sequential(*features[:place])(torch.zeros(1, *shape)).shape[1:]
    assume(size != [1, 1])  # After a pool over everything, too.
    bad = data.draw(
        st.sampled_from(
            [nn.GroupNorm(1, channels), nn.ReplicationPad2d(1), nn.ConvTranspose2d(channels, channels, 1)]
        )
    )
    broken = nn.Sequential(*features[:place], bad, *features[place:], nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert refusal(broken, shape).layer == str(place)


def test_a_crop_that_ends_at_a_fixed_position_is_written_for_one_size() -> None:
    """Of larger maps it would leave another part than of those of one window."""
    fixed = Forward(lambda net, x: net.head(x[:, :, 1:9, 1:9].mean((2, 3))), head=nn.Linear(2, 3))
    assert refusal(fixed).reason == "It is written for one size of maps."


def test_maps_of_one_place_are_rows() -> None:
    """As whoever reads logits takes them: a convolution as the last layer needs no flattening."""
    body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2))
    network = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1)).eval()
    canvas = torch.rand(2, 2, 13, 13)
    expected = windows_one_by_one(network, canvas, SHAPE, (2, 3)).flatten(3)
    assert_close(planned(network, SHAPE).answer(canvas, (2, 3)), expected)
    assert "not one row of logits" in refusal(nn.Sequential(body, nn.AdaptiveAvgPool2d((1, 2)))).reason


class ManyAxes(nn.Module):
    """A weight of five axes, as 3d convolutions have, for which torch knows no order with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(1, 2, 1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        scaled: Tensor = (images.unsqueeze(2) * self.weight).squeeze(2)
        return scaled


def test_weights_of_any_number_of_axes_are_kept() -> None:
    assert_exact(nn.Sequential(ManyAxes(), nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(270, 3)), SHAPE)


def test_several_tensors_in_one_value_are_refused() -> None:
    swapped = Forward(lambda net, x: torch.cat(x.chunk(2, 1)[::-1], 1).mean((2, 3)))
    assert "several tensors in one value" in refusal(swapped).reason


def test_a_layer_that_is_made_for_one_size_is_refused() -> None:
    network = nn.Sequential(
        nn.Tanh(), nn.Flatten(2), nn.Unflatten(2, (12, 11)), nn.MaxPool2d(2), nn.Flatten()
    )
    assert refusal(network) == NotPlanned("2", "It is written for one size of maps.")


def test_heads_that_mix_positions_are_refused() -> None:
    flat = nn.Linear(11, 3)
    assert refusal(nn.Sequential(flat, nn.Flatten())).reason == "It mixes positions."
    assert "differ in size" in refusal(nn.Sequential(nn.AdaptiveAvgPool2d(5), nn.Flatten())).reason
    assert (
        "rounds sizes up" in refusal(nn.Sequential(nn.MaxPool2d(5, 4, ceil_mode=True), nn.Flatten())).reason
    )
    assert "over positions" in refusal(nn.Sequential(nn.LayerNorm(11), nn.Flatten())).reason


class Positions(nn.Module):
    """Adds something of its own to every position."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.rand(2, 12, 11))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.embedding


class Drawn(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images * torch.rand(1)


class Made(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.tensor([0.5, 2.0])

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weights[:, None, None]


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


class Gated(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images * images.mean((2, 3), keepdim=True)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        moved = images - 0.5
        rectified: Tensor = self.relu(moved)
        return rectified + moved


class Augmented(nn.Module):
    """torch.fx writes `+=` down as a sum, which leaves `other` as it was."""

    def forward(self, images: Tensor) -> Tensor:
        images = images * 1
        other = images
        images += 1
        return images * other


def after(first: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Identity(), first, nn.Flatten(), nn.Linear(264, 3))


def test_what_is_not_certain_is_refused() -> None:
    found = refusal(after(Positions()))
    assert found.layer == "1"
    assert "numbers that differ between positions" in found.reason
    assert "draws at random" in refusal(after(Drawn())).reason
    assert "neither a parameter nor a buffer" in refusal(after(Made())).reason
    assert refusal(after(Branching())).layer == "1"
    assert "looks at the numbers of its maps in Python (`bool`)" in refusal(after(Branching())).reason
    assert refusal(after(Gated())) == NotPlanned("1", "It combines values of different places.")


@pytest.mark.parametrize("layer", [Augmented, InPlace])
def test_what_torch_fx_writes_down_as_something_else_is_recorded(layer: type[nn.Module]) -> None:
    network = after(layer()).eval()
    plan = plan_windows(network, SHAPE)
    assert not isinstance(plan, NotPlanned), plan
    canvas = torch.rand(2, SHAPE[0], SHAPE[1] + 1, SHAPE[2])
    expected = torch.stack([network(canvas[:, :, y : y + SHAPE[1]]) for y in range(2)], 1)
    torch.testing.assert_close(plan.answer(canvas, (2, 1)).flatten(1, 2), expected)


def test_modes_hooks_and_shapes_are_refused() -> None:
    network = after(nn.Dropout())
    network.eval()[1].train()
    assert plan_windows(network, SHAPE) == NotPlanned("1", "It is in training mode; call `.eval()`.")
    hooked = after(nn.ReLU())
    hooked[1].register_forward_hook(lambda *_: None)
    assert refusal(hooked) == NotPlanned("1", "A forward hook may change its input or answer.")
    replaced = after(nn.ReLU())
    replaced[1].forward = torch.neg
    assert refusal(replaced) == NotPlanned("1", "Its forward was replaced by another function.")
    assert "does not take images of shape (2, 12, 12)" in refusal(after(nn.ReLU()), (2, 12, 12)).reason
    assert "not one row of logits" in refusal(nn.Sequential(nn.ReLU())).reason
    weighted = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 1))
    assert refusal(after(weighted)).layer == "1"


def test_a_module_is_left_as_it_was() -> None:
    network = after(Drawn())
    attributes = set(vars(network)), set(vars(network[1]))
    refusal(network)
    assert (set(vars(network)), set(vars(network[1]))) == attributes


def test_a_canvas_of_another_size_is_refused() -> None:
    plan = planned(build_network("cnn1").eval(), (1, 28, 28))
    with pytest.raises(
        ShapeError, match=r"shape \(n, 1, 30, 32\) for \(3, 5\) windows, got \(2, 1, 30, 30\)"
    ):
        plan.answer(torch.zeros(2, 1, 30, 30), (3, 5))


def test_a_plan_says_what_it_costs() -> None:
    """cnn2 by hand: 24² · 500 + 8² · 20,000 + 64,000 + 1,000 for one window."""
    plan = planned(build_network("cnn2").eval(), (1, 28, 28))
    assert plan.direct_multiply_adds == 288_000 + 1_280_000 + 65_000
    shared = 40**2 * 500 + 31**2 * 20_000 + 17**2 * 65_000
    assert plan.multiply_adds((17, 17)) == shared
    strides = {layer.layer: layer.stride for layer in plan.layers}
    assert strides["body.conv1"] == (1, 1)
    assert strides["body.pool1"] == strides["body.conv2"] == (2, 2)
    assert strides["body.pool2"] == (4, 4)
    few, many = plan.images_per_batch((29, 29)), plan.images_per_batch((17, 17))
    assert 1 <= few < many


def test_single_precision_agrees_with_double() -> None:
    """Sums of at most 640 terms, in another order: a few rounding errors of 6e-8."""
    network = build_network("cnn2", seed=5).eval()
    canvas = torch.rand(3, 1, 36, 40, generator=torch.Generator().manual_seed(0))
    answer = planned(network, (1, 28, 28)).answer(canvas, (9, 13))
    exact = planned(network.double(), (1, 28, 28)).answer(canvas.double(), (9, 13))
    assert_close(answer.double(), exact, atol=3e-6, rtol=0)
