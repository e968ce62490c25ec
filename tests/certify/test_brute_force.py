"""Whatever is proved of random networks has to be true: all rolls of the group, boxes at all places."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certify.brute_force import broken_circular, broken_interior
from tests.certify.random_networks import CHANNELS, network

from shiftproof.certify import certify

SIZES = ((8, 8), (12, 12), (7, 9), (12, 8), (6, 10), (16, 12), (24, 24), (23, 26))
TOLERANCE = 1e-9


def prove_and_try(seed: int) -> str:
    """One random network: what was proved of it. Fails where that is false."""
    rng = random.Random(seed)
    size = rng.choice(SIZES)
    built = network(seed, size, rng.choice([1.0, 1.0, 0.7, 0.0]))
    if built is None:
        return "no network"
    shape = (CHANNELS, *size)
    found = certify(built, shape, numeric=False)
    images = torch.rand(2, *shape, dtype=torch.float64)
    assert broken_circular(built, images, found.circular) <= TOLERANCE, f"{seed}: {found}\n{built}"
    assert broken_interior(built, shape, found.interior, rng) <= TOLERANCE, f"{seed}: {found}\n{built}"
    return found.verdict


def test_what_is_proved_of_random_networks_is_true() -> None:
    verdicts = Counter(prove_and_try(seed) for seed in range(90))
    # Enough of each to say something.
    assert min(verdicts[name] for name in ("all-shifts", "strided-shifts", "interior", "nothing")) >= 4


@pytest.mark.slow
@settings(max_examples=1000)
@given(st.integers(0, 10**9))
def test_what_is_proved_of_many_random_networks_is_true(seed: int) -> None:
    assert prove_and_try(seed)
