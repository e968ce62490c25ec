"""Which networks of the zoo are proved, and for which shifts. A refusal is no proof: this table is."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from shiftproof.certify import certify
from shiftproof.zoo import networks

Pair = tuple[int, int]


class Zoo(NamedTuple):
    """What is proved, and how far content has to stay from every border."""

    name: str
    verdict: str
    step_px: Pair | None
    interior: str | None
    margin_px: int
    smallest_px: Pair | None


MEASURED = (
    # The interior margin of cnn2's body: kernels 5, 2, 5, 2 at strides 1, 1, 2, 2, less one grid step of 4.
    Zoo("cnn2", "nothing", None, None, 12, None),
    Zoo("cnn2-gap", "nothing", None, "invariant", 12, (32, 32)),
    Zoo("cnn2-circular", "strided-shifts", (4, 4), "invariant", 14, (36, 36)),
    Zoo("cnn2-aps", "all-shifts", (1, 1), None, 5, None),
    Zoo("cnn2-lps", "all-shifts", (1, 1), None, 5, None),
    Zoo("cnn2-aliasfree", "all-shifts", (1, 1), None, 4, None),
    Zoo("resnet20", "nothing", None, "invariant", 77, (164, 164)),
    Zoo("resnet20-aps", "all-shifts", (1, 1), None, 16, None),
    Zoo("resnet20-lps", "all-shifts", (1, 1), None, 16, None),
)


# The other networks: circular shifts by multiples of so many pixels, and moves of content in the middle of an
# image. A flatten gives each position weights of its own; a global mean or maximum after windows does not.
OTHERS: dict[str, tuple[Pair | None, str | None]] = {
    "all-cnn": (None, "invariant"),
    "capsnet": (None, None),
    "capsnet-small": (None, None),
    "cnn1": (None, None),
    "cnn2-blur": (None, None),
    "cnn2-dpp": (None, None),
    "dense-nn": (None, None),
    "pooled-0-flatten": (None, None),
    "pooled-1-flatten": (None, None),
    "pooled-1-global": (None, "invariant"),
    "pooled-1-max": (None, "invariant"),
    "pooled-2-flatten": (None, None),
    "pooled-2-global": (None, "invariant"),
    "pooled-2-max": (None, "invariant"),
    "pooled-3-flatten": (None, None),
    "pooled-3-global": (None, "invariant"),
    "pooled-3-max": (None, "invariant"),
    "resnet20-blur": (None, "invariant"),
    "standard-nn": (None, None),
    "strided-cnn": (None, None),
}


@pytest.mark.parametrize("case", MEASURED, ids=[case.name for case in MEASURED])
def test_verdicts_and_margins(case: Zoo) -> None:
    found = certify(f"zoo:{case.name}", numeric=False)
    assert found.verdict == case.verdict
    assert found.circular.step_px == case.step_px
    assert found.interior.answer == case.interior
    assert found.interior.before_px == (case.margin_px, case.margin_px)
    assert found.interior.smallest_px == case.smallest_px


@pytest.mark.parametrize("name", OTHERS)
def test_verdicts(name: str) -> None:
    found = certify(f"zoo:{name}", numeric=False)
    assert (found.circular.step_px, found.interior.answer) == OTHERS[name]
    for reason in (found.circular.ended_by, found.interior.ended_by):
        assert "torch.fx" not in str(reason)


def test_no_network_is_left_out() -> None:
    assert sorted([case.name for case in MEASURED] + list(OTHERS)) == sorted(networks.names())
