"""kill -9 at random moments, of workers and of the driver: the same bytes, or a named error and a resume."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.faults.small_units import compute, contents
from tests.faults.times import TIMES

from shiftproof.engine import Engine
from shiftproof.errors import WorkerError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
N_UNITS = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What comes of it where nothing happens."""
    out = tmp_path_factory.mktemp("whole") / "r"
    compute(out, N_UNITS, 0.0, Engine())
    return contents(out)


def children(process: int) -> list[int]:
    """Worker processes; one that watches over what processes share is none."""
    try:
        found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(each) for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]
    except OSError:
        return []


@contextmanager
def killing(n_kills: int, seed: int) -> Iterator[list[int]]:
    """Kill workers of this process, each after a random time, until the end of the block; who was killed."""
    draw, killed, over = random.Random(seed), list[int](), threading.Event()

    def kill() -> None:
        while len(killed) < n_kills and not over.wait(draw.uniform(0.0, 0.4)):
            alive = children(os.getpid())
            if alive:
                killed.append(draw.choice(alive))
                with suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        over.set()
        killer.join()


def test_workers_may_die_at_any_moment(whole: dict[str, bytes], tmp_path: Path) -> None:
    """Of processes beside this one: the units go to others, and nobody has to do anything.

    Where so many die at their start that none gets to work, that is said, and the same command goes on.
    """
    n_killed, round_ = 0, 0
    while n_killed < TIMES:
        with killing(min(10, TIMES - n_killed), seed=round_) as killed:
            try:
                compute(tmp_path / f"r{round_}", N_UNITS, 0.1, Engine(workers=2))
            except WorkerError as error:
                assert "died before they had anything to do" in str(error)  # noqa: PT017
                compute(tmp_path / f"r{round_}", N_UNITS, 0.1, Engine())
        assert contents(tmp_path / f"r{round_}") == whole
        n_killed += len(killed)
        round_ += 1


def test_the_driver_may_die_at_any_moment(whole: dict[str, bytes], tmp_path: Path) -> None:
    """The same command goes on; its workers have not gone on without it."""
    draw, n_kills, round_ = random.Random(0), 0, 0
    while n_kills < TIMES:
        out = tmp_path / f"r{round_}"
        while killed_after(draw.uniform(0.5, 6.0) if n_kills < TIMES else None, start(out)):
            n_kills += 1
        assert contents(out) == whole
        round_ += 1
    assert n_kills >= TIMES


def test_a_second_driver_is_told_that_the_directory_is_in_use(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    with start(tmp_path / "r", seconds=0.3) as first:
        while not (tmp_path / "r" / "run.json").exists():
            time.sleep(0.02)
        with start(tmp_path / "r") as second:
            _, said = second.communicate(timeout=120)
        assert second.returncode != 0
        assert "another process is writing this run" in said
        first.communicate(timeout=120)
        assert first.returncode == 0
    assert contents(tmp_path / "r") == whole


def killed_after(seconds: float | None, process: subprocess.Popen[str]) -> bool:
    """Whether it had to be killed; it ends well if not, and without a limit it has all the time it needs."""
    with process:
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    assert process.returncode == 0, said
    return False


def start(out: Path, seconds: float = 0.1) -> subprocess.Popen[str]:
    settings = [str(out), str(N_UNITS), str(seconds), "local", "2"]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.small_units", *settings],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
