"""Nothing false is proved of networks of whatever torch has; `benchmarks/proofs.py` asks about many more."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.certify.judging import judged


def assert_nothing_false(seeds: range) -> Counter[str]:
    judgements = [judged(seed) for seed in seeds]
    assert not [judgement.false for judgement in judgements if judgement.false]
    return Counter(judgement.verdict for judgement in judgements)


def test_what_is_proved_of_any_network_is_true() -> None:
    verdicts = assert_nothing_false(range(300))
    # Enough of each to say something.
    assert min(verdicts[name] for name in ("all-shifts", "strided-shifts", "interior", "nothing")) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(40))
def test_what_is_proved_of_very_many_networks_is_true(hundred: int) -> None:
    assert assert_nothing_false(range(1000 + 100 * hundred, 1100 + 100 * hundred))
