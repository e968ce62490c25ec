"""The fast arrangement gives the answers and gradients of the plain layers, on one and many images."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import SFC64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from shiftproof.data import LabelledImages
from shiftproof.train import training_forward
from shiftproof.train._dropout import can_keep, drop_, random_words, words_for
from shiftproof.zoo import Network, build_network


def gradients(network: Network, logits: Tensor, labels: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(cross_entropy(logits, labels), list(network.parameters())))


@pytest.mark.parametrize("name", ["cnn1", "cnn2"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 26)])
def test_convolutions_equal_plain_layers_in_float64(name: str, shape: tuple[int, int, int]) -> None:
    network = build_network(name, image_shape=shape).double()
    images = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.arange(6)
    fast = training_forward(network)(images, SFC64(0))
    plain = network(images)
    assert_close(fast, plain)
    assert_close(gradients(network, fast, labels), gradients(network, plain, labels))


def test_ties_of_the_pool_go_to_the_same_cell(digits: LabelledImages) -> None:
    """Real digits have flat regions, where all four cells of a pool are equal."""
    network = build_network("cnn2").double()
    images, labels = digits.images[:32].double() / 255, digits.labels[:32]
    fast = gradients(network, training_forward(network)(images, SFC64(0)), labels)
    assert_close(fast, gradients(network, network(images), labels))


def plain_standard_nn(network: Network, images: Tensor, kept: list[Tensor]) -> Tensor:
    """The published layers, one by one, with given dropout masks of shape (N, pixels, 100)."""
    body = network.body
    hidden = body.dense1(body.pixels(images)).relu() * kept[0] / 0.5  # type: ignore[operator]
    hidden = body.dense2(hidden).relu() * kept[1] / 0.75  # type: ignore[operator]
    logits: Tensor = body.head(hidden.flatten(1))  # type: ignore[operator]
    return logits


def masks_drawn(n_images: int, n_pixels: int, block: int, seed: int) -> list[Tensor]:
    """The masks that the fast arrangement draws, in the usual layout."""
    bits = SFC64(seed)
    masks = []
    for keep in (0.5, 0.75):
        n_values = 100 * block * n_images
        n_blocks = n_pixels // block
        words = random_words(bits, keep, n_blocks * words_for(n_values)).view(n_blocks, -1)
        blocks = torch.stack([drop_(torch.ones(n_values), row) for row in words])
        blocks = blocks.view(n_blocks, 100, block, n_images)
        masks.append(blocks.permute(3, 0, 2, 1).reshape(n_images, n_pixels, 100))
    return masks


@pytest.mark.parametrize(("size", "block"), [((28, 28), 28), ((5, 7), 7), ((1, 31), 31)])
@pytest.mark.parametrize("n_images", [1, 3, 8])
def test_pixelwise_equals_plain_layers(size: tuple[int, int], block: int, n_images: int) -> None:
    """Against plain layers in float64, with the same dropout masks. An odd number of images and of
    pixels does not fill its last random word. The tolerance leaves room for a ReLU whose input is so
    near to zero that it opens on one side only."""
    n_pixels = size[0] * size[1]
    network = build_network("standard-nn", image_shape=(1, *size))
    for parameter in network.parameters():  # biases away from zero, so that background matters
        parameter.data += 0.01
    images = torch.rand(n_images, 1, *size, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(n_images)
    fast = training_forward(network)(images, SFC64(9))
    exact_network = copy.deepcopy(network).double()
    kept = masks_drawn(n_images, n_pixels, block, 9)
    exact = plain_standard_nn(exact_network, images.double(), [mask.double() for mask in kept])
    assert_close(fast.double(), exact, rtol=1e-5, atol=1e-5)
    ours, expected = gradients(network, fast, labels), gradients(exact_network, exact, labels)
    for gradient, reference in zip(ours, expected, strict=True):
        assert (gradient - reference).abs().max() <= 2e-4 * reference.abs().max()


def test_several_channels_take_the_plain_layers() -> None:
    network = build_network("standard-nn", image_shape=(3, 6, 6))
    assert training_forward(network)(torch.rand(4, 3, 6, 6), SFC64(0)).shape == (4, 10)


@given(st.integers(1, 255), st.integers(0, 3))
def test_words_keep_the_share_that_was_asked_for(level: int, seed: int) -> None:
    keep = level / 256
    words = random_words(SFC64(seed), keep, 4000).numpy().view(np.uint32)
    ones = np.unpackbits(words.view(np.uint8)).mean()
    # 128,000 draws: five standard deviations.
    assert abs(ones - keep) < 5 * np.sqrt(keep * (1 - keep) / 128_000)
    per_bit = [((words >> i) & 1).mean() for i in range(32)]
    assert max(abs(share - keep) for share in per_bit) < 6 * np.sqrt(keep * (1 - keep) / 4000)


@given(st.integers(1, 200))
def test_drop_follows_the_bits(n: int) -> None:
    words = random_words(SFC64(n), 0.5, words_for(n))
    values = drop_(torch.arange(1.0, n + 1), words)
    kept = values != 0
    assert torch.equal(values[kept], torch.arange(1.0, n + 1)[kept])
    # Value i is decided by bit 31 − i // words of word i % words.
    bits = [(int(words[i % len(words)]) >> (31 - i // len(words))) & 1 for i in range(n)]
    assert kept.int().tolist() == bits


def test_dropout_keeps_the_mean_and_the_gradient() -> None:
    body = nn.Sequential(nn.Dropout(0.25))
    network = Network("x", body, input_scale=1, image_shape=(1, 1, 1), n_classes=10)
    features = torch.ones(2000, 10, requires_grad=True)
    dropped = training_forward(network)(features, SFC64(0))
    assert sorted(set(dropped.detach().flatten().tolist())) == pytest.approx([0, 4 / 3])
    assert float(dropped.detach().mean()) == pytest.approx(1, abs=0.02)
    (gradient,) = torch.autograd.grad(dropped.sum(), features)
    assert torch.equal(gradient, dropped)


def test_probabilities_that_bits_cannot_draw_are_left_to_torch() -> None:
    assert can_keep(0.5)
    assert not can_keep(0.9)
    assert not can_keep(1.0)
