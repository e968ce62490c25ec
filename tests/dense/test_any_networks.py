"""Networks of whatever torch has are planned exactly, or refused with a reason; planning never fails."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
import torch
from tests.certify.any_networks import any_network
from tests.certify.brute_force import difference
from tests.certify.judging import SIZES, TOLERANCE
from torch import Tensor, nn

from shiftproof.dense import NotPlanned, RollPlan, WindowPlan, plan_rolls, plan_windows

Pair = tuple[int, int]
N_WINDOWS = (3, 2)
OFFSETS = torch.tensor([[0, 0], [1, 0], [0, 1], [2, 2], [-1, 3], [3, -2]])
# Where planning failed, or the answers of a plan: tuples in tuples, weights of five axes, and a batch of
# which images change each other's answers hardly more than a single precision shows.
FOUND = (861, 2332, 2559, 3208, 4006, 5036, 5075)


def of_windows(network: nn.Module, plan: WindowPlan, size: Pair) -> tuple[Tensor, Tensor]:
    """What a plan answers, and what the network answers to each window by itself."""
    height, width = size
    canvas = torch.rand(2, 2, height + N_WINDOWS[0] - 1, width + N_WINDOWS[1] - 1, dtype=torch.float64)
    places = product(*map(range, N_WINDOWS))
    each = [network(canvas[:, :, y : y + height, x : x + width]) for y, x in places]
    return plan.answer(canvas, N_WINDOWS).flatten(1, 2), torch.stack(each, 1).flatten(2)


def of_rolls(network: nn.Module, plan: RollPlan, size: Pair) -> tuple[Tensor, Tensor]:
    """What a plan answers, and what the network answers to each roll by itself."""
    images = torch.rand(2, 2, *size, dtype=torch.float64)
    each = [network(torch.roll(images, offset, (2, 3))) for offset in OFFSETS.tolist()]
    return plan.answer(images, OFFSETS), torch.stack(each, 1).flatten(2)


def planned(seed: int) -> list[str]:
    """The plans that the network of a seed has got, each of which is exact."""
    size = random.Random(seed).choice(SIZES)
    network = any_network(seed, size)
    if network is None:
        return []
    found = []
    torch.default_generator.manual_seed(seed + 1)
    with torch.no_grad():
        windows, rolls = (plan(network, (2, *size)) for plan in (plan_windows, plan_rolls))
        if isinstance(windows, WindowPlan):
            found.append("windows")
            assert difference(*of_windows(network, windows, size)) < TOLERANCE, (seed, size, network)
        if isinstance(rolls, RollPlan):
            found.append("rolls")
            assert difference(*of_rolls(network, rolls, size)) < TOLERANCE, (seed, size, network)
    assert all(plan.reason for plan in (windows, rolls) if isinstance(plan, NotPlanned))
    return found


def test_any_network_is_planned_exactly_or_refused() -> None:
    counts = Counter(plan for seed in (*range(40), *FOUND) for plan in planned(seed))
    assert min(counts["windows"], counts["rolls"]) >= 3


@pytest.mark.slow
def test_many_networks_are_planned_exactly_or_refused() -> None:
    counts = Counter(plan for seed in range(10_000, 10_250) for plan in planned(seed))
    assert min(counts["windows"], counts["rolls"]) >= 15
