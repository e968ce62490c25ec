"""Networks without pools, and detail-preserving pools: sizes as published, and what a shift by 1 px does."""

from __future__ import annotations

import copy

import pytest
import torch
from numpy.random import SFC64
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.data import LabelledImages
from shiftproof.errors import ShapeError
from shiftproof.layers import DetailPreservingPool2d
from shiftproof.train import training_forward
from shiftproof.train._dropout import can_keep
from shiftproof.zoo import Network, build_network

OURS = {"all-cnn": 1_368_010, "strided-cnn": 85_670, "cnn2-dpp": 85_790}


def map_sizes(network: Network) -> dict[str, tuple[int, ...]]:
    """(C, H, W) after each layer of the body that gives maps."""
    sizes: dict[str, tuple[int, ...]] = {}
    features = torch.zeros(1, *network.image_shape)
    for name, layer in network.body.named_children():
        features = layer(features)
        if features.ndim == 4:
            sizes[name] = tuple(features.shape[1:])
    return sizes


@pytest.mark.parametrize("name", OURS)
def test_parameter_counts_and_other_shapes(name: str) -> None:
    assert sum(p.numel() for p in build_network(name).parameters()) == OURS[name]
    other = build_network(name, image_shape=(3, 31, 40), n_classes=7)
    assert other(torch.zeros(2, 3, 31, 40)).shape == (2, 7)


def test_reference_all_cnn_c() -> None:
    """Table 1 and appendix of the paper: filters and sizes for CIFAR-10, about 1.4 million parameters."""
    published = build_network("all-cnn", image_shape=(3, 32, 32))
    convs = [m for m in published.body.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs] == [
        (96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2),
        (192, 3, 1), (192, 1, 1), (10, 1, 1),
    ]  # fmt: skip
    sizes = map_sizes(published)
    assert [sizes[name] for name in ("down1", "down2", "conv3", "head", "mean")] == [
        (96, 16, 16), (192, 8, 8), (192, 6, 6), (10, 6, 6), (10, 1, 1)
    ]  # fmt: skip
    # Layer by layer, weights and biases.
    weights = 27 * 96 + 9 * (2 * 96 * 96 + 96 * 192 + 3 * 192 * 192) + 192 * 192 + 192 * 10
    biases = 3 * 96 + 5 * 192 + 10
    assert sum(p.numel() for p in published.parameters()) == weights + biases == 1_369_738
    ours = map_sizes(build_network("all-cnn"))
    assert [ours[name] for name in ("down1", "down2", "conv3", "head")] == [
        (96, 14, 14), (192, 7, 7), (192, 5, 5), (10, 5, 5)
    ]  # fmt: skip


def test_strided_cnn_has_the_sizes_and_weights_of_cnn2() -> None:
    strided, pooled = build_network("strided-cnn"), build_network("cnn2")
    assert map_sizes(strided)["relu2"] == map_sizes(pooled)["pool2"] == (40, 4, 4)
    assert {k: v.shape for k, v in strided.state_dict().items()} == {
        k: v.shape for k, v in pooled.state_dict().items()
    }
    assert not any(isinstance(m, nn.MaxPool2d) for m in strided.modules())


def test_cnn2_dpp_is_cnn2_with_other_pools() -> None:
    """With λ → 0 they are mean pools, and the rest of the network is cnn2's."""
    ours, cnn2 = (build_network(name, seed=2).double() for name in ("cnn2-dpp", "cnn2"))
    for i in (1, 2):
        pool = ours.body.get_submodule(f"pool{i}")
        assert isinstance(pool, DetailPreservingPool2d)
        pool.log_lambda.data.fill_(-40)
        cnn2.body.set_submodule(f"pool{i}", nn.AvgPool2d(2))
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)).double()
    assert_close(ours(images), cnn2(images))


def test_dropout_in_training_comes_from_the_bits_that_it_is_given() -> None:
    """A published 0.2 is no multiple of 1/256 and would be drawn from the generator that threads share."""
    network = build_network("all-cnn")
    drops = [m.p for m in network.modules() if isinstance(m, nn.Dropout)]
    assert drops == [pytest.approx(0.2, abs=1 / 256), 0.5, 0.5]
    assert all(can_keep(1 - p) for p in drops)
    forward, images = training_forward(network), torch.ones(2, 1, 28, 28)
    first = forward(images, SFC64(1))
    torch.manual_seed(0)
    assert torch.equal(forward(images, SFC64(1)), first)
    assert not torch.equal(forward(images, SFC64(2)), first)


def circular(network: Network, *, stride: int) -> Network:
    """The same weights with circular padding in every 3 × 3 convolution, and another stride."""
    network = copy.deepcopy(network).double().eval()
    for conv in network.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
            conv.padding, conv.padding_mode = (1, 1), "circular"
            conv._reversed_padding_repeated_twice = [1, 1, 1, 1]
            conv.stride = (min(conv.stride[0], stride),) * 2
    return network


@torch.inference_mode()
def drift(network: Network, images: Tensor, shift_px: int) -> float:
    """Mean change of the logits under a circular shift, beside their spread over images."""
    logits, moved = network(images), network(images.roll(shift_px, 3))
    return float((moved - logits).abs().mean() / logits.std(0).mean())


def test_all_cnn_is_not_invariant_to_one_pixel(test_digits: LabelledImages) -> None:
    """Everything else in it is: circular padding and a global mean. Untrained, a roll of 64 digits by 1 px
    moves logits by 0.26 of their spread on average and changes 23 % of the answers; by 4 px, which is its
    total stride, nothing changes; and neither does it by 1 px where the strides are taken out."""
    network, images = build_network("all-cnn"), test_digits.images[:12].double() / 255
    strided = circular(network, stride=2)
    assert 0.1 < drift(strided, images, 1) < 0.5
    assert drift(strided, images, 4) < 1e-12
    assert drift(circular(network, stride=1), images[:4], 1) < 1e-12


def test_too_small_images_are_refused_when_built() -> None:
    for name, size, message in (("all-cnn", 8, "at least 9 × 9"), ("strided-cnn", 12, "at least 13 × 13")):
        with pytest.raises(ShapeError, match=rf"{message} px, got {size} × 40\."):
            build_network(name, image_shape=(1, size, 40))
        smallest = build_network(name, image_shape=(1, size + 1, size + 1))
        assert smallest(torch.zeros(1, 1, size + 1, size + 1)).shape == (1, 10)
