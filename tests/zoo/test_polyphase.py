"""Polyphase networks answer alike to every circular shift, in every dtype, untrained and trained.

Convolutions and means are those of torch. On CPUs with AVX-512 every logit in float16 and bfloat16 was the
same bit by bit, and in float32 within 4e-7 of the largest; the tests allow for 1e-5. Choices are exact.
"""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.data import LabelledImages
from shiftproof.errors import ShapeError
from shiftproof.layers import Polyphase2d
from shiftproof.train import Recipe, fit
from shiftproof.zoo import Network, build_network

SMALL = (1, 12, 8)
POLYPHASE = ("cnn2-aps", "cnn2-lps", "resnet20-aps", "resnet20-lps")
HALVES = (torch.bfloat16, torch.float16)


def shifted(image: Tensor, every: int = 1) -> Tensor:
    """(C, H, W) to its circular shifts, the image itself first."""
    shifts = list(itertools.product(range(image.shape[1]), range(image.shape[2])))[::every]
    return torch.stack([torch.roll(image, shift, (1, 2)) for shift in shifts])


def pictures(height: int, width: int) -> Tensor:
    """Noise, its mirror images, one dot, one colour, stripes, and noise of two values."""
    noise = (8 * torch.rand(5, 1, height, width, generator=torch.Generator().manual_seed(0))).round() / 8
    noise[0] += noise[0].flip(1)
    noise[1] += noise[1].flip(2)
    noise[2] += noise[2].flip(1, 2)
    noise[3] = noise[3].round()
    dot, colour, stripes = torch.zeros(3, 1, 1, height, width)
    dot[..., 3, 2] = 1
    colour += 0.5
    stripes[..., ::2] = 1
    return torch.cat([noise, dot, colour, stripes])


def other_answers(network: nn.Module, images: Tensor, every: int = 1) -> tuple[int, float]:
    """Predictions that differ from that of the unshifted image; the largest relative change of a logit."""
    n_other, change = 0, 0.0
    with torch.inference_mode():
        for image in images:
            logits = network(shifted(image, every)).double()
            n_other += int((logits.argmax(1) != logits[0].argmax()).sum())
            change = max(change, float((logits - logits[0]).abs().max() / logits[0].abs().max()))
    return n_other, change


@cache
def small(name: str) -> Network:
    """An untrained network; normalisation has seen some images, so that no maps are dead."""
    network = build_network(name, seed=2, image_shape=SMALL)
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(8, *SMALL, generator=torch.Generator().manual_seed(1)))
    return network.eval()


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("name", POLYPHASE)
def test_untrained_networks_answer_alike_to_all_shifts(name: str, dtype: torch.dtype) -> None:
    network = small(name).to(dtype)
    every = 1 if dtype == torch.float32 or name.startswith("cnn2") else 5
    n_other, change = other_answers(network, pictures(*SMALL[1:]).to(dtype), every)
    network.float()
    assert n_other == 0
    assert change <= (1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn2-aps", "cnn2-lps", "resnet20-aps"])
def test_trained_networks_answer_alike(
    name: str, digits: LabelledImages, test_digits: LabelledImages
) -> None:
    """On a digit, and on a digit that is its own mirror image; the answers are no constant."""
    n_images, every = (320, 1) if name == "cnn2-aps" else (320, 13) if name == "cnn2-lps" else (96, 49)
    recipe = Recipe(epochs=2, learning_rate=3e-3, input_scale="unit", batch_size=16)
    network = build_network(name)
    history = fit(network, digits.head(n_images), recipe)
    assert history[1].loss < history[0].loss
    images = test_digits.head(3).images.float() / 255
    images[1] = (images[1] + images[1].flip(2)) / 2
    with torch.inference_mode():
        logits = network(images)
    assert float((logits - logits[0]).abs().max() / logits.abs().max()) > 1e-2, "they are no constant"
    for dtype in (torch.float32, *HALVES):
        n_other, change = other_answers(network.to(dtype), images.to(dtype), every)
        assert n_other == 0
        assert change <= (1e-5 if dtype == torch.float32 else 1e-2)


def test_choices_in_a_network_follow_every_shift() -> None:
    """Layer by layer, and exact: phases are integers."""
    network = small("cnn2-lps")
    choices: list[Tensor] = []
    pools = [layer for layer in network.modules() if isinstance(layer, Polyphase2d)]
    handles = [pool.register_forward_hook(lambda m, i, o: choices.append(m.choose(*i))) for pool in pools]
    try:
        with torch.inference_mode():
            network(shifted(pictures(*SMALL[1:])[4]))
    finally:
        for handle in handles:
            handle.remove()
    first = divmod(int(choices[0][0]), 2)
    expected = [
        (first[0] + dy) % 2 * 2 + (first[1] + dx) % 2
        for dy, dx in itertools.product(range(SMALL[1]), range(SMALL[2]))
    ]
    assert choices[0].tolist() == expected
    assert len(set(choices[1].tolist())) == 4


@pytest.mark.parametrize("name", ["cnn2-circular", "resnet20", "resnet20-blur", "all-cnn", "strided-cnn"])
def test_meaning_ordinary_strides_do_not(name: str) -> None:
    """The same measurement tells a stride from a polyphase: all of these change by more than 0.1 %."""
    network = build_network(name, seed=2, image_shape=(1, 16, 16)).eval()
    _, change = other_answers(network, pictures(16, 16)[:1], every=17)
    assert change > 1e-3


def test_aps_takes_the_weights_of_the_circular_network() -> None:
    """Its convolutions are the same; on images that repeat with the stride, so are the answers."""
    circular, aps = build_network("cnn2-circular", seed=1), build_network("cnn2-aps", seed=2).eval()
    aps.load_state_dict(circular.state_dict())
    image = torch.rand(1, 1, 1, 1).expand(1, 1, 28, 28)
    assert_close(aps(image), circular(image))


@pytest.mark.parametrize("name", POLYPHASE)
def test_sizes_that_cannot_be_halved_twice(name: str) -> None:
    with pytest.raises(ShapeError, match="multiples of 4 px, got 30 × 28"):
        build_network(name, image_shape=(1, 30, 28))
    assert build_network(name, image_shape=(3, 8, 20), n_classes=3)(torch.rand(2, 3, 8, 20)).shape == (2, 3)
