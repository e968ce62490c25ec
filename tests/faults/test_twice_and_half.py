"""Units done twice or written half, and clocks that jump."""

from __future__ import annotations

import datetime as dates
import os
from functools import partial
from pathlib import Path

import pytest
from tests.faults.small_units import CONFIG, compute, contents, make, unit
from tests.faults.times import TIMES

from shiftproof._text import record_text
from shiftproof.engine import Channel, Engine, Shared, _header, _open, execute, open_run

pytestmark = pytest.mark.slow
N_UNITS = 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "r"
    compute(out, N_UNITS, 0.0, Engine())
    return contents(out)


def test_a_unit_that_is_done_twice_at_once_is_one_unit(whole: dict[str, bytes], tmp_path: Path) -> None:
    """As where a node is thought to be dead, and is not."""
    with open_run("numbers", CONFIG, out=tmp_path / "r") as run:
        for seed in range(N_UNITS):
            execute([partial(make, seed=seed, run=run)] * 3, Shared.of(0.01), engine=Engine(workers=3))
        run.write_report(record_text({"units": [unit(seed).key for seed in range(N_UNITS)]}))
    assert contents(tmp_path / "r") == whole
    assert not [path for path in (tmp_path / "r" / "units").iterdir() if path.name not in whole]


def test_a_unit_written_half_is_set_aside_and_done_again(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "r"
    compute(out, N_UNITS, 0.0, Engine())
    units = sorted((out / "units").glob("numbers-*.safetensors"))
    for number in range(TIMES):
        path = units[number % N_UNITS]
        size = len(whole[path.name]) * number // TIMES
        path.write_bytes(whole[path.name][:size])
        with pytest.warns(UserWarning, match="set aside"):
            compute(out, N_UNITS, 0.0, Engine())
        kept = {name: content for name, content in contents(out).items() if "set-aside" not in name}
        assert kept == whole


@pytest.fixture(params=[-10 * 365, 10 * 365], ids=["back", "on"])
def jump(request: pytest.FixtureRequest) -> dates.timedelta:
    return dates.timedelta(days=request.param)


def test_a_clock_that_jumps_loses_nothing(
    jump: dates.timedelta, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By years, between two starts: files are older or newer than the run, which is found by what it is."""
    root = tmp_path / "runs"
    with open_run("numbers", CONFIG, root=root) as run:
        for seed in range(N_UNITS - 2):
            make(0.0, _silent(), seed=seed, run=run)
    moved = (dates.datetime.now(dates.UTC) + jump).timestamp()
    kept = sorted((run.folder / "units").iterdir())
    for path in kept:
        os.utime(path, (moved, moved))

    class Clock(dates.datetime):
        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> Clock:
            return cls.fromtimestamp(moved, tz)

    for module in (_header, _open):
        monkeypatch.setattr(module, "datetime", Clock)
    with open_run("numbers", CONFIG, root=root) as again:
        assert again.folder == run.folder
        for seed in range(N_UNITS):
            make(0.0, _silent(), seed=seed, run=again)
        again.write_report(record_text({"units": [unit(seed).key for seed in range(N_UNITS)]}))
    assert contents(run.folder) == whole
    assert all(path.stat().st_mtime == pytest.approx(moved) for path in kept), "nothing was computed twice"


def _silent() -> Channel:
    return Channel(lambda event: None, lambda: False)
