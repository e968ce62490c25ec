"""Capsules by hand: squashing, which numbers a capsule holds, routing, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import CapsuleLengths, PrimaryCapsules, RoutedCapsules, squash


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.floats(1e-6, 1e6), st.integers(1, 16), st.integers(0, 100))
def test_squash_keeps_the_direction_and_bounds_the_length(length: float, n: int, seed: int) -> None:
    direction = noise(n, seed=seed)
    direction /= direction.norm()
    squashed = squash(length * direction)
    assert float(squashed.norm()) == pytest.approx(length**2 / (1 + length**2))
    assert float(squashed.norm()) < 1
    assert float(squashed @ direction) == pytest.approx(float(squashed.norm()))


def test_squash_is_monotone_and_flat_at_zero() -> None:
    lengths = torch.linspace(0, 5, 50, dtype=torch.float64)
    squashed = squash(lengths[:, None])[:, 0]
    assert bool((squashed.diff() > 0).all())
    zero = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(squash(zero).sum(), zero)
    assert not gradient.any()


def test_convention_squash() -> None:
    """3, 4 has length 5: 25/26 of its direction. `dim` says along which axis a vector lies."""
    assert_close(squash(torch.tensor([3.0, 4.0])), torch.tensor([15 / 26, 20 / 26]))
    upright = torch.tensor([[3.0, 0.0], [4.0, 1.0]])
    assert_close(squash(upright, dim=0), torch.tensor([[15 / 26, 0.0], [20 / 26, 0.5]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_squash_in_half_precision(dtype: torch.dtype) -> None:
    """The square of 600 is beyond float16."""
    squashed = squash(torch.tensor([600.0, 800.0], dtype=dtype))
    assert squashed.dtype == dtype
    assert_close(squashed.float(), torch.tensor([0.6, 0.8]), rtol=torch.finfo(dtype).eps, atol=0)


def copying(n_maps: int, length: int) -> PrimaryCapsules:
    """Primary capsules whose convolution copies each channel."""
    layer = PrimaryCapsules(n_maps * length, n_maps=n_maps, length=length, kernel=1, stride=1).double()
    layer.conv.weight.data = torch.eye(n_maps * length, dtype=torch.float64)[..., None, None]
    layer.conv.bias.data.zero_()  # type: ignore[union-attr]
    return layer


def test_convention_capsules_group_channels_not_neighbours() -> None:
    """Channel c has the value 10 c + p at position p of 2 × 2. A capsule of map 0 is channels 0 and 1 of
    one position; neighbours in memory would be 0, 1 and 2, 3."""
    image = torch.tensor([[[[10.0 * c + 2 * y + x for x in (0, 1)] for y in (0, 1)] for c in range(4)]])
    by_hand = [[0, 10], [1, 11], [2, 12], [3, 13], [20, 30], [21, 31], [22, 32], [23, 33]]
    assert_close(copying(2, 2)(image.double()), squash(torch.tensor([by_hand]).double()))


def test_one_position_is_one_capsule_of_each_map() -> None:
    layer, features = copying(3, 4), noise(1, 12, 5, 5)
    moved = features.clone()
    moved[:, :, 1, 2] += 1
    changed = (layer(moved) != layer(features)).any(2)[0].nonzero().flatten()
    assert changed.tolist() == [7, 25 + 7, 50 + 7]


def test_a_shift_by_the_stride_moves_primary_capsules_by_one_position() -> None:
    """They keep where something is: what they say of an image is the same, and where differs."""
    layer, features = PrimaryCapsules(3, n_maps=2, length=4, kernel=3).double(), noise(1, 3, 13, 13)
    grids = [layer(f).view(2, 6, 6, 4) for f in (features, features.roll(2, 3))]
    assert_close(grids[1][:, :, 1:], grids[0][:, :, :-1])
    assert not torch.equal(grids[1], grids[0])


def test_reference_sizes_of_the_published_layers() -> None:
    primary = PrimaryCapsules(256)
    assert primary(torch.zeros(1, 256, 20, 20)).shape == (1, 1152, 8)
    assert sum(p.numel() for p in primary.parameters()) == 9 * 9 * 256 * 256 + 256
    digits = RoutedCapsules(1152, 10)
    assert digits.weight.numel() == 1152 * 10 * 8 * 16 == 1_474_560
    assert digits(torch.zeros(1, 1152, 8)).shape == (1, 10, 16)


def test_routing_by_hand() -> None:
    """Predictions û are 1, 0 of capsule 1 and 1, −1 of capsule 2. First all couplings are 1/2: s = 1, −1/2
    and v = 1/2, −1/5. So b = (1/2, 0) and (1/2, 1/5), c = (0.62246, 0.37754) and (0.57444, 0.42556),
    s = 1.19690, −0.42556, v = 0.58891, −0.15333."""
    layer = RoutedCapsules(2, 2, in_length=1, out_length=1, n_iterations=2).double()
    layer.weight.data = torch.tensor([[1.0, 0.0], [1.0, -1.0]]).double().view(2, 2, 1, 1)
    capsules = torch.ones(1, 2, 1).double()
    predictions = layer.predictions(capsules)
    assert predictions[0, :, :, 0].tolist() == [[1, 1], [0, -1]]
    couplings = torch.tensor([[0.62246, 0.57444], [0.37754, 0.42556]]).double()
    assert_close(layer.couplings(predictions)[0], couplings, rtol=0, atol=5e-6)
    answer = torch.tensor([[[0.58891], [-0.15333]]]).double()
    assert_close(layer(capsules).detach(), answer, rtol=0, atol=5e-6)
    layer.n_iterations = 1
    assert_close(layer(capsules).detach(), torch.tensor([[[0.5], [-0.2]]]).double())


def routed_one_by_one(layer: RoutedCapsules, capsules: Tensor) -> Tensor:
    """Procedure 1 of the paper with loops over capsules."""
    n_in, n_out, *_ = layer.weight.shape
    answers = []
    for u in capsules:
        said = [[layer.weight[i, j] @ u[i] for j in range(n_out)] for i in range(n_in)]
        b = torch.zeros(n_in, n_out, dtype=u.dtype)
        for iteration in range(layer.n_iterations):
            c = torch.stack([row.exp() / row.exp().sum() for row in b]).detach()
            sums = [
                sum((c[i, j] * said[i][j] for i in range(n_in)), start=torch.zeros(())) for j in range(n_out)
            ]
            v = [s * s.norm() / (1 + s @ s) for s in sums]
            if iteration < layer.n_iterations - 1:
                b = b + torch.tensor(
                    [[float((said[i][j] @ v[j]).detach()) for j in range(n_out)] for i in range(n_in)]
                )
        answers.append(torch.stack(v))
    return torch.stack(answers)


@pytest.mark.parametrize("n_iterations", [1, 2, 3, 5])
def test_oracle_routing_with_loops(n_iterations: int) -> None:
    """Answers, and gradients: couplings are constants to them."""
    layer = RoutedCapsules(5, 3, in_length=4, out_length=6, n_iterations=n_iterations).double()
    ours, loops = (noise(2, 5, 4).requires_grad_() for _ in range(2))
    answer, expected = layer(ours), routed_one_by_one(layer, loops)
    assert_close(answer, expected, rtol=0, atol=2e-7)  # the loop's b passes through float32
    weights = noise(2, 3, 6, seed=1)
    gradients = torch.autograd.grad((answer * weights).sum(), (ours, layer.weight))
    assert_close(
        gradients, torch.autograd.grad((expected * weights).sum(), (loops, layer.weight)), rtol=0, atol=2e-6
    )


def test_couplings_are_shares_and_follow_agreement() -> None:
    layer = RoutedCapsules(20, 4).double()
    predictions = layer.predictions(noise(3, 20, 8))
    couplings = layer.couplings(predictions)
    assert_close(couplings.sum(1), torch.ones(3, 20).double())
    assert not couplings.requires_grad
    # 19 of 20 capsules say the same of the first: the odd one out sends it less.
    predictions = torch.zeros(1, 4, 20, 16).double()
    predictions[:, 0, :, 0] = 1
    predictions[:, 0, 7, 0] = -1
    first = layer.couplings(predictions)[0, 0]
    assert bool((first[:7] > 0.25).all())
    assert float(first[7]) < 0.25


def test_order_of_the_capsules_before_does_not_matter() -> None:
    layer, capsules = RoutedCapsules(12, 3).double(), noise(2, 12, 8)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    answer = layer(capsules)
    layer.weight.data = layer.weight.data[order]
    assert_close(layer(capsules[:, order]), answer)


def test_gradients() -> None:
    assert torch.autograd.gradcheck(squash, (noise(3, 4).requires_grad_(),))
    primary = PrimaryCapsules(2, n_maps=2, length=3, kernel=2).double()
    assert torch.autograd.gradcheck(primary, (noise(1, 2, 4, 4).requires_grad_(),))
    unrouted = RoutedCapsules(3, 2, in_length=2, out_length=3, n_iterations=1).double()
    assert torch.autograd.gradcheck(unrouted, (noise(2, 3, 2).requires_grad_(),))
    assert torch.autograd.gradcheck(CapsuleLengths(), (noise(2, 3, 4).requires_grad_(),))


def test_weights_are_glorot_and_come_from_the_generator() -> None:
    layer = RoutedCapsules(50, 10)
    layer.initialise(torch.Generator().manual_seed(3))
    first = layer.weight.detach().clone()
    torch.manual_seed(8)
    layer.initialise(torch.Generator().manual_seed(3))
    assert torch.equal(layer.weight, first)
    limit = math.sqrt(6 / (8 + 16))
    assert 0.99 * limit < float(first.abs().max()) <= limit


@pytest.mark.slow
def test_bfloat16_and_compiled() -> None:
    primary, routed = PrimaryCapsules(4, n_maps=3, kernel=3), RoutedCapsules(12, 5)
    network = torch.nn.Sequential(primary, routed, CapsuleLengths()).eval()
    images = noise(2, 4, 6, 6).float()
    expected = network(images).detach()
    assert_close(torch.compile(network, backend="aot_eager", fullgraph=True)(images).detach(), expected)
    half = network.bfloat16()(images.bfloat16())
    assert half.dtype == torch.bfloat16
    assert_close(half.float().detach(), expected, rtol=0.1, atol=0.01)


def test_bad_input_says_what_to_change() -> None:
    with pytest.raises(OptionError, match="at least 1 in `n_maps`, got 0"):
        PrimaryCapsules(4, n_maps=0)
    with pytest.raises(OptionError, match="at least 1 in `n_iterations`, got 0"):
        RoutedCapsules(4, 2, n_iterations=0)
    with pytest.raises(
        ShapeError, match=r"shape \(N, 4, 8\), got \(2, 5, 8\)\. The number of primary capsules"
    ):
        RoutedCapsules(4, 2)(torch.zeros(2, 5, 8))
