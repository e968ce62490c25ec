"""Models and runs for audits: small, and with answers that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shiftproof.audits import Audit, audit
from shiftproof.metrics import Estimate, NotApplicable
from shiftproof.zoo import build_network


def constant(images: Tensor) -> Tensor:
    """Answers every image with class 3."""
    return torch.eye(10)[3].expand(len(images), 10)


def top_row(images: Tensor) -> Tensor:
    """Class 1 where the content reaches the top rows, else class 0: flips when it moves up."""
    lit = images[:, :, :4].amax((1, 2, 3))
    logits = torch.zeros(len(images), 10)
    logits[:, 0] = 0.5
    logits[:, 1] = lit
    logits[:, 2] = -1  # no probability
    return logits


def value_of(found: Estimate | NotApplicable) -> float:
    """The number, where there is one."""
    assert isinstance(found, Estimate), found
    return found.value


@pytest.fixture
def run_audit_in(tmp_path: Path) -> Callable[..., Audit]:
    """An audit of cnn1, in a run directory of that name."""

    def run(name: str, *, seed: int = 0, **options: object) -> Audit:
        settings = {"protocols": ["grid:1"], "limit": 60, **options}
        return audit(build_network("cnn1", seed=seed).eval(), "demo:mnist", out=tmp_path / name, **settings)  # type: ignore[arg-type]

    return run
