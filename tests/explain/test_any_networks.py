"""Networks of whatever torch has are explained, and losses add up; or one sentence says why not."""

from __future__ import annotations

import random

import pytest
import torch
from tests.certify.any_networks import any_network

from shiftproof.errors import ShiftproofError
from shiftproof.explain import UNITS, explain
from shiftproof.metrics import NotApplicable

SIZES = ((6, 6), (8, 8), (8, 12), (9, 6))
# Answers of one place, (N, K, 1, 1) and (N, K, 1), and some that rounding alone changes: what was left at the
# answer was not nothing.
FOUND = (230, 273, 282, 338, 378, 397)


def is_explained(seed: int) -> bool:
    """Whether the network of a seed is explained; it may be refused, and nothing else."""
    size = random.Random(seed).choice(SIZES)
    network = any_network(seed, size)
    if network is None:
        return False
    torch.default_generator.manual_seed(seed + 1)
    images = torch.rand(4, 2, *size)
    try:
        found = explain(network.float().eval(), images, n_remedies=1, n_shifts=1)
    except ShiftproofError:
        return False
    whole = found.change["with-border"]
    assert not isinstance(whole, NotApplicable)
    if found.rows:
        assert not any(
            left for change in found.stairs[-1].change.values() if change for left in change.values()
        )
        for unit in UNITS:
            total = sum(row.loss[unit].value for row in found.rows)
            assert total == pytest.approx(whole[unit].value, abs=1e-12, rel=1e-12)
    return True


def test_any_network_is_explained_or_refused() -> None:
    assert all(is_explained(seed) for seed in FOUND)
    assert sum(is_explained(seed) for seed in range(20)) >= 10


@pytest.mark.slow
def test_more_networks_are_explained_or_refused() -> None:
    assert sum(is_explained(seed) for seed in range(1000, 1060)) >= 30
