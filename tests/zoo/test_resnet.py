"""ResNet-20: the published counts, the shared choice of both branches, and training with statistics."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.zoo.test_polyphase import SMALL, other_answers, pictures, small
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof._threads import worker_pool
from shiftproof.data import LabelledImages
from shiftproof.errors import Stopped
from shiftproof.layers import AdaptivePolyphase2d, Polyphase2d
from shiftproof.train import Recipe, fit, load_network
from shiftproof.zoo import build_network
from shiftproof.zoo._resnet import Halving, ResidualBlock, SharedPhase, Shortcut, resnet20

ONE_EPOCH = Recipe(
    epochs=1, learning_rate=1e-3, input_scale="unit", batch_size=16, augmentation="keras-augment"
)


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("shortcut", "expected"), [("pad", 269_722), ("conv", 272_474)])
def test_reference_parameter_counts(shortcut: Shortcut, expected: int) -> None:
    """For CIFAR-10; the article says 0.27 M, and these are the counts of its options A and B."""
    assert n_parameters(resnet20("stride", shortcut, (3, 32, 32), 10)) == expected
    layers = resnet20("stride", "pad", (3, 32, 32), 10).modules()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers) == 20


@pytest.mark.parametrize("halving", ["stride", "blur", "adaptive", "learned"])
@pytest.mark.parametrize("shortcut", ["pad", "conv"])
def test_sizes_of_the_stages(halving: Halving, shortcut: Shortcut) -> None:
    body = resnet20(halving, shortcut, (1, 28, 20), 10).eval()
    sizes = [tuple(body[:n](torch.zeros(1, 1, 28, 20)).shape[1:]) for n in (6, 9, 12)]
    assert sizes == [(16, 28, 20), (32, 14, 10), (64, 7, 5)]


def test_odd_sizes_of_ordinary_strides() -> None:
    for name in ("resnet20", "resnet20-blur"):
        network = build_network(name, image_shape=(1, 29, 31)).eval()
        assert network(torch.zeros(1, 1, 29, 31)).shape == (1, 10)


def test_oracle_a_block_by_hand() -> None:
    """With an identity for a shortcut and normalisation that does nothing yet, up to its epsilon."""
    block = ResidualBlock(4, 4).double().eval()
    for norm in (block.norm1, block.norm2):
        norm.eps = 0
    maps = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    inner = nn.functional.conv2d(maps, block.conv1.weight, padding=1).relu()
    expected = (nn.functional.conv2d(inner, block.conv2.weight, padding=1) + maps).relu()
    assert_close(block(maps), expected)


class EachItsOwn(nn.Module):
    """What goes wrong elsewhere: the shortcut makes a choice of its own.

    Each choice follows shifts. But a shift that carries one of them, and not the other, to the next pixel
    of the smaller map moves the branches apart.
    """

    def __init__(self, phase: Polyphase2d) -> None:
        super().__init__()
        self.phase = phase

    def forward(self, main: Tensor, shortcut: Tensor) -> tuple[Tensor, Tensor]:
        return self.phase(main), AdaptivePolyphase2d()(shortcut)


@pytest.mark.parametrize("name", ["resnet20-aps", "resnet20-lps"])
def test_both_branches_share_one_choice(name: str) -> None:
    """If they do not, pixels are added that do not lie together, and the tests of the theorem notice."""
    network = build_network(name, seed=2, image_shape=SMALL)
    network.load_state_dict(small(name).state_dict())
    images = pictures(*SMALL[1:])[4:5]
    assert other_answers(network.eval(), images)[1] < 1e-5
    for block in network.modules():
        if isinstance(block, ResidualBlock) and isinstance(block.halve, SharedPhase):
            block.halve = EachItsOwn(block.halve.phase)
    assert other_answers(network.eval(), images)[1] > 1e-3


def test_choices_of_their_own_disagree() -> None:
    """Unshared choices put a pixel of one place on top of one of another."""
    maps = torch.randn(64, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    phase = AdaptivePolyphase2d()
    main = torch.roll(maps, 1, 3)
    shared, own = SharedPhase(phase)(main, maps), EachItsOwn(phase)(main, maps)
    assert torch.equal(shared[0], own[0])
    assert not torch.equal(shared[1], own[1])
    assert_close(shared[1], phase.take(maps, phase.choose(main)), rtol=0, atol=0)


@pytest.mark.slow
def test_threads_do_not_change_statistics(digits: LabelledImages) -> None:
    """Batch normalisation keeps a record of what it saw: lanes would write it in any order."""
    states = []
    for threads in (1, 3):
        network = build_network("resnet20-blur", seed=1)
        with worker_pool(threads) as pool:
            fit(network, digits.head(40), ONE_EPOCH, seed=1, pool=pool)
        states.append(network.state_dict())
    assert any("running_mean" in name for name in states[0])
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert bool(states[0]["body.norm.running_mean"].any())
    assert int(states[0]["body.norm.num_batches_tracked"]) == 3


@pytest.mark.slow
def test_a_checkpoint_keeps_statistics(digits: LabelledImages, tmp_path: Path) -> None:
    """Stopped and continued gives the same bytes as in one go; the loaded network answers the same."""
    recipe = ONE_EPOCH.model_copy(update={"epochs": 2})
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    network = build_network("resnet20")
    fit(network, digits.head(32), recipe, checkpoint=whole)
    steps = iter(range(3))

    def check_stop() -> None:
        if next(steps, None) is None:
            raise Stopped.cannot("finish", "there was a request to stop")

    with pytest.raises(Stopped, match="request to stop"):
        fit(build_network("resnet20"), digits.head(32), recipe, checkpoint=broken, check_stop=check_stop)
    fit(build_network("resnet20"), digits.head(32), recipe, checkpoint=broken)
    assert broken.read_bytes() == whole.read_bytes()
    images = digits.head(3).images.float() / 255
    with torch.inference_mode():
        assert torch.equal(load_network(whole)(images), network(images))
