"""Local workers: order, errors, events, stopping, and processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shiftproof.engine import Channel, StopSignal, execute
from shiftproof.errors import DataError, Stopped, WorkerError

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def later(value: int, seconds: float, channel: Channel) -> int:
    time.sleep(seconds)
    channel.send(value)
    return value


def fails(channel: Channel) -> int:
    """Raises what a user can cause."""
    raise DataError("x", "y", cause="Because.", fix="Mend it.")


def is_a_defect(channel: Channel) -> float:
    return 1 / 0


def waits(channel: Channel) -> None:
    channel.send("waiting")
    while True:
        channel.check_stop()
        time.sleep(0.005)


def dies(channel: Channel) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def marks(path: Path, channel: Channel) -> None:
    """Shows that it lives by writing the time, again and again."""
    while True:
        path.write_text(str(time.time()))
        time.sleep(0.02)


@WORKERS
def test_results_come_back_in_order_and_events_all_arrive(workers: int) -> None:
    events: list[int] = []
    tasks = [partial(later, i, 0.03 * (3 - i)) for i in range(4)]
    assert execute(list(tasks), workers=workers, on_event=events.append) == [0, 1, 2, 3]
    assert sorted(events) == [0, 1, 2, 3]


@WORKERS
def test_an_error_of_one_task_does_not_stop_the_others(workers: int) -> None:
    tasks: list[Callable[[Channel], int]] = [fails, partial(later, 2, 0)]
    results = execute(tasks, workers=workers)
    assert isinstance(results[0], DataError)
    assert str(results[0]) == "Expected x, got y. Because. Mend it."
    assert results[1:] == [2]


@WORKERS
def test_a_defect_stops_all_and_shows(workers: int) -> None:
    start = time.monotonic()
    tasks: list[Callable[[Channel], object]] = [is_a_defect, waits]
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        execute(tasks, workers=workers)
    assert time.monotonic() - start < 30


@WORKERS
def test_a_stop_ends_tasks_at_their_next_safe_point(workers: int) -> None:
    stop = StopSignal()

    def ask_once_it_runs(event: object) -> None:
        threading.Timer(0.02, stop.set).start()

    results = execute([waits, waits, waits], workers=workers, stop=stop, on_event=ask_once_it_runs)
    assert [type(result) for result in results] == [Stopped] * 3


def test_a_worker_that_dies_is_an_error_with_a_remedy() -> None:
    tasks: list[Callable[[Channel], object]] = [dies, partial(later, 1, 0)]
    with pytest.raises(WorkerError, match="Run the same command again"):
        execute(tasks, workers=2)


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Else they would write into a run directory beside the process that continues it."""
    mark = tmp_path / "alive"
    code = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "    import test_execute; from shiftproof.engine import execute\n"
        f"    execute([partial(test_execute.marks, Path({str(mark)!r}))] * 2, workers=2)\n"
    )
    script = tmp_path / "parent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, str(script)], env=environment)
    for _ in range(300):
        if mark.exists():
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    time.sleep(1)
    mark.unlink()
    time.sleep(0.5)
    assert not mark.exists()
