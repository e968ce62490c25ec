"""Whoever waits for many candidates is told how many are measured."""

from __future__ import annotations

import time

import pytest

from shiftproof.data import load_data
from shiftproof.fix import _count, fix
from shiftproof.fix._count import Count
from shiftproof.zoo import load_trained


def test_it_is_told_every_few_seconds_and_not_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    count = Count(5, said.append)
    for index, at in enumerate((2.0, 6.0, 7.0, 12.0, 60.0)):
        now[0] = at
        count(index, None)
    assert said == ["2 of 5 measured", "4 of 5 measured"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cpu,cpu", marks=pytest.mark.slow)])
def test_candidates_are_counted(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(_count, "SECONDS_BETWEEN_REPORTS", 0.0)
    steps: list[str] = []
    fix(
        load_trained("cnn1"),
        load_data("mnist", "test").head(40),
        protocol="box:2,2,1",
        edits=["canonical-position", "crop-choice"],
        device=device,
        threads=1,
        on_step=steps.append,
    )
    assert steps.count("1 of 2 measured") == 1
    assert [step[0] for step in steps if step.endswith("of 3 measured")] == ["1", "2"]
