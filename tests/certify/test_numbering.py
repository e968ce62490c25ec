"""Value numbering against the numbers themselves: what has one label has to be one number."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.certify.any_networks import any_network
from tests.certify.brute_force import change_under_rolls
from torch import Tensor, fx, nn

from shiftproof.anatomy import Steps, read_network
from shiftproof.certify import certify
from shiftproof.certify._labels import Labels
from shiftproof.certify._numbering import Numbering, finer_steps

Pair = tuple[int, int]
ROLLS = ((1, 0), (0, 1), (2, 0))


class Fn(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def labelled(network: nn.Module, images: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels and numbers of the answer to the images and to each roll of them; None if it ended."""
    pixels = np.arange(1, images.numel() + 1).reshape(images.shape)
    labels = Labels(1 + len(ROLLS))
    labels.start(images, np.stack([pixels, *(np.roll(pixels, roll, (2, 3)) for roll in ROLLS)]))
    numbering = Numbering(labels)
    try:
        with numbering.watching():
            answer = network(images)
        found = labels.of(answer)
    except Exception:
        return None
    assert not numbering.ended
    with torch.no_grad():
        moved = [network(torch.roll(images, roll, (2, 3))) for roll in ((0, 0), *ROLLS)]
    return found, torch.stack(moved).resolve_conj().numpy()


def assert_one_label_is_one_number(labels: np.ndarray, numbers: np.ndarray) -> None:
    order = np.argsort(labels, axis=None)
    same = np.diff(labels.reshape(-1)[order]) == 0
    apart = np.abs(np.diff(numbers.reshape(-1)[order]))[same]
    scale = np.abs(numbers).max() + 1e-3
    assert apart.max(initial=0) <= 1e-9 * scale


def test_one_label_is_one_number_of_any_network() -> None:
    """Of networks that know nothing of the rules, whether or not their answer stays."""
    followed = 0
    for seed in range(500, 800):
        size = random.Random(seed).choice(((4, 4), (6, 4), (5, 7)))
        network = any_network(seed, size)
        if network is None:
            continue
        found = labelled(network, torch.rand(2, 2, *size, dtype=torch.float64))
        if found is not None and np.isfinite(found[1]).all():
            followed += 1
            assert_one_label_is_one_number(*found)
    assert followed > 200


def _overwritten(images: Tensor) -> Tensor:
    maps = images.clone()
    maps[:, :, ::2] *= maps[:, :, 1::2]
    maps[..., 0] = 2
    return maps


def _seen(images: Tensor) -> Tensor:
    maps = torch.zeros(2, 2, 6, 4, dtype=torch.float64)
    rows = maps.transpose(2, 3)
    rows.copy_(images.mT)
    rows[..., 1].add_(1)
    return maps


RULES: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("average pools that end outside", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)),
    ("average pools of what is there", lambda x: F.avg_pool2d(x, 3, 2, 1, True, count_include_pad=False)),
    ("maxima and their places", lambda x: F.max_pool2d(x, 2, return_indices=True)[1].double()),
    ("parts of odd sizes", lambda x: F.adaptive_avg_pool2d(x, (3, 5))),
    ("transposed", lambda x: F.conv_transpose2d(x, torch.ones(2, 1, 3, 2).double(), None, 2, 1, 1, 2)),
    ("in groups", lambda x: F.conv2d(x, torch.arange(16.0).double().reshape(4, 1, 2, 2), groups=2)),
    ("along one axis", lambda x: F.conv1d(x[:, 0], torch.ones(3, 6, 2).double(), padding=1, dilation=2)),
    ("overwritten", _overwritten),
    ("a view that is overwritten", _seen),
    ("running maxima", lambda x: torch.cummax(x, 3)[1].double()),
    ("the two largest", lambda x: x.topk(2, 2).values - x.topk(2, 2).indices),
    ("sorted by another", lambda x: x.gather(2, torch.arange(6)[None, None, :, None].expand(2, 2, 6, 4))),
    ("weighed sums", lambda x: torch.baddbmm(x[:, 0], x[:, 0], x[:, 1, :4], beta=0.5, alpha=2)),
    ("distances", lambda x: torch.cdist(x, x[:, :, 1:], 1.0)),
    ("a conjugate", lambda x: (torch.fft.fft2(x) * torch.fft.fft2(x).conj()).abs()),
    ("parts of numbers", lambda x: torch.view_as_real(torch.fft.fft2(x)).square()),
    ("there and back", lambda x: torch.fft.irfft2(torch.fft.rfft2(x).abs().to(torch.complex128))),
    ("a norm of groups", lambda x: F.group_norm(x, 1, torch.tensor([1.0, 2]).double())),
    ("a norm of images", F.instance_norm),
    ("a norm of rows", lambda x: F.layer_norm(x, [4], torch.arange(4.0).double())),
    ("a norm of the batch", lambda x: F.batch_norm(x, None, None, training=True)),
    ("padded by another number", lambda x: F.pad(x, (1, 2), value=3.0)),
    ("below the diagonal", lambda x: x.tril() + x.triu(1).square()),
    ("a difference that is weighed", lambda x: torch.add(x, x.flip(2), alpha=2)),
    ("variances and means", lambda x: torch.stack(torch.var_mean(x, (1, 3)))),
    ("unfolded and folded", lambda x: F.fold(F.unfold(x, 2), (6, 4), 2)),
    ("put where another is", lambda x: x.index_put((torch.tensor([0, 0]),), x[:1] + 1, accumulate=True)),
    ("a conjugate that is written down", lambda x: torch.fft.ifft2(x).conj().resolve_conj().imag),
    ("imaginary parts in another order", lambda x: torch.fft.rfft(x, dim=2).mT.imag[..., ::2]),
    ("a conjugate of a conjugate", lambda x: (torch.fft.fft(x).conj().conj() * torch.fft.fft(x)).real),
    ("a square of a conjugate", lambda x: (torch.fft.fft(x).conj() * torch.fft.fft(x).conj()).real),
    ("a power along rows", lambda x: (torch.fft.fft(x.relu()).conj() * torch.fft.fft(x.relu())).real),
    ("a gate of halves", lambda x: F.glu(x, 3)),
    ("filled", lambda x: x.index_fill(2, torch.tensor([1, 3]), 0.5)),
    ("nothing, and something", lambda x: torch.cat([x[:, :0].exp(), x[:, :1]], 1)),
    ("the third", lambda x: x.kthvalue(3, 2).values),
    ("nearest", lambda x: F.interpolate(x, size=(9, 5), mode="nearest-exact")),
    ("between", lambda x: F.interpolate(x, size=(9, 5), mode="bicubic")),
)  # fmt: skip


@pytest.mark.parametrize(("name", "function"), RULES, ids=[name for name, _ in RULES])
def test_one_label_is_one_number_after_each_rule(name: str, function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    found = labelled(Fn(function), torch.rand(2, 2, 6, 4, dtype=torch.float64))
    assert found is not None, name
    labels, numbers = found
    assert_one_label_is_one_number(labels, numbers.astype(np.complex128))
    # Labels are no more than they have to be: different numbers everywhere would be of no use.
    assert len(np.unique(labels)) <= labels.size


class Case(NamedTuple):
    """A network, and the finest steps of rolls that leave its answer as it is."""

    name: str
    function: Callable[[Tensor], Tensor]
    step_px: Pair | None


def _looks(images: Tensor) -> Tensor:
    tokens = images.flatten(2).mT
    return F.scaled_dot_product_attention(tokens, tokens.sin(), tokens.exp())


CASES = (
    Case("pairs of rows", lambda x: (x @ x.mT).flatten(2).amax(2), (1, 1)),
    Case("channels by channels", lambda x: torch.einsum("nahw,nbhw->nab", x, x).flatten(1), (1, 1)),
    Case("channels among positions", lambda x: x.flatten(1).sort(1).values[:, :5], (1, 1)),
    Case("the end of a running sum", lambda x: x.relu().cumsum(2)[:, :, -1].amax(2), (1, 1)),
    Case("turned", lambda x: torch.cat([x.flip(2), x], 1).square().mean((2, 3)), (1, 1)),
    Case("apart, then not", lambda x: torch.stack([x[:, :, ::2], x[:, :, 1::2]], 2).std((2, 3, 4)), (1, 1)),
    Case("windows", lambda x: F.unfold(F.pad(x, (1, 1, 1, 1), mode="circular"), 3).relu().sum(2), (1, 1)),
    Case("frequencies", lambda x: torch.fft.fft2(x).abs().flatten(1), (1, 1)),
    Case("strengths of rows", lambda x: torch.fft.rfft(x.mean(2)).abs().flatten(1), (1, 1)),
    Case("everyone looks at everyone", lambda x: _looks(x).amax(1), (1, 1)),
    Case("squeezed, excited", lambda x: (x * x.mean((2, 3)).flip(1)[:, :, None, None]).amax((2, 3)),
         (1, 1)),
    Case("small, then large", lambda x: F.interpolate(x[..., ::2, ::2], scale_factor=2).std((2, 3)),
         (2, 2)),
    Case("every third, of two", lambda x: x[:, :, ::3].mean((2, 3)), (3, 1)),
    Case("in order", lambda x: x.cumsum(3).square().mean((2, 3)), (1, 4)),
    Case("windows of which none goes around", lambda x: x.unfold(2, 3, 1).sum((2, 3, 4)), (6, 1)),
    Case("whatever is seen several times", lambda x: x.unfold(2, 3, 1).amax((2, 3, 4)), (1, 1)),
    Case("parts of frequencies that are squared", lambda x: torch.fft.fft2(
        x.amax(1)).abs().square().to(torch.complex128).real.flatten(1), (1, 1)),
    Case("powers", lambda x: (torch.fft.fft2(x) * torch.fft.fft2(x).conj()).real.flatten(1), (1, 1)),
    Case("correlated", lambda x: torch.fft.ifft2(torch.fft.fft2(x).abs().square()).real.amax(1).flatten(1),
         (1, 1)),
    Case("places", lambda x: x.flatten(2).argmax(2).double(), None),
    Case("real parts of frequencies", lambda x: torch.fft.fft2(x).real.flatten(1), None),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_finest_steps_are_proved(case: Case) -> None:
    network = Fn(case.function).double().eval()
    law = certify(network, (2, 6, 4), numeric=False).circular
    assert law.step_px == case.step_px, str(law)
    images = torch.rand(3, 2, 6, 4, dtype=torch.float64)
    if law.step_px is not None:
        assert change_under_rolls(network, images, law.step_px) < 1e-9
    for axis, step in enumerate(law.step_px or (6, 4)):
        # No finer step would do.
        for finer in (n for n in range(1, step) if step % n == 0):
            steps = (finer, 4) if axis == 0 else (6, finer)
            assert change_under_rolls(network, images, steps) > 1e-7


class Numpy(nn.Module):
    """A positional weight that torch does not see."""

    def forward(self, images: Tensor) -> Tensor:
        return outside(images).mean((2, 3))


@fx.wrap
def outside(images: Tensor) -> Tensor:
    return torch.from_numpy(np.sort(images.numpy(), 3))


def test_what_torch_does_not_see_is_not_followed() -> None:
    steps = read_network(Numpy().double().eval(), (2, 6, 4))
    assert isinstance(steps, Steps)
    assert finer_steps(steps.trace, (2, 6, 4), (6, 4)) == (6, 4)


def test_a_proof_by_numbers_says_so() -> None:
    found = certify(Fn(lambda x: x.flatten(1).amax(1, keepdim=True)), (2, 6, 4), n_images=2)
    assert (found.verdict, found.holds) == ("all-shifts", True)
    assert any("following each number" in note for note in found.notes)
    by_steps = certify(Fn(lambda x: x.amax((2, 3))), (2, 6, 4), n_images=2)
    assert not any("following each number" in note for note in by_steps.notes)
