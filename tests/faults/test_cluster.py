"""kill -9 of workers, nodes and drivers of a Ray cluster at random moments: the same bytes."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults.small_units import compute, contents
from tests.faults.test_kills import killed_after
from tests.faults.times import TIMES
from tests.ray_cluster import RayCluster

from shiftproof.engine import Engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
ROOT = Path(__file__).parents[2]
N_UNITS = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "r"
    compute(out, N_UNITS, 0.0, Engine())
    return contents(out)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    made = RayCluster(tmp_path_factory.mktemp("ray"))
    made.add(2)  # This node stays.
    yield made
    made.close()


def start(cluster: RayCluster, out: Path) -> subprocess.Popen[str]:
    where = f"ray:{cluster.address}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.small_units", str(out), str(N_UNITS), "0.2", where, "0"],
        cwd=ROOT,
        env=cluster.environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_actors_may_die_at_any_moment(cluster: RayCluster, whole: dict[str, bytes], tmp_path: Path) -> None:
    """The units go to others; where so many die that none gets on, that is said; the same command goes on."""
    draw, n_kills, round_ = random.Random(1), 0, 0
    while n_kills < TIMES:
        out = tmp_path / f"r{round_}"
        with start(cluster, out) as process:
            while process.poll() is None and n_kills < TIMES:
                time.sleep(draw.uniform(0.2, 2.0))
                alive = cluster.workers()
                if alive and process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.kill(draw.choice(alive), signal.SIGKILL)
                        n_kills += 1
            _, said = process.communicate(timeout=300)
        if process.returncode != 0:
            assert "WorkerError: Cannot go on: worker processes died" in said, said
            assert not killed_after(None, start(cluster, out))
        assert contents(out) == whole
        round_ += 1


def test_nodes_may_die_at_any_moment(cluster: RayCluster, whole: dict[str, bytes], tmp_path: Path) -> None:
    draw, n_kills, round_ = random.Random(2), 0, 0
    while n_kills < TIMES:
        node = cluster.add(1)
        with start(cluster, tmp_path / f"r{round_}") as process:
            time.sleep(draw.uniform(2.0, 10.0))
            cluster.kill(node)
            n_kills += 1
            _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert contents(tmp_path / f"r{round_}") == whole
        round_ += 1


def test_the_driver_may_die_at_any_moment(
    cluster: RayCluster, whole: dict[str, bytes], tmp_path: Path
) -> None:
    draw, n_kills, round_ = random.Random(3), 0, 0
    while n_kills < TIMES:
        out = tmp_path / f"r{round_}"
        while killed_after(draw.uniform(2.0, 12.0) if n_kills < TIMES else None, start(cluster, out)):
            n_kills += 1
        assert contents(out) == whole
        round_ += 1
