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

from shiftproof.engine import Channel, Engine, Shared, StopSignal, execute, workers_of
from shiftproof.errors import DataError, ModelError, Stopped, WorkerError

ENGINES = pytest.mark.parametrize("engine", [Engine(), Engine(workers=2)], ids=["here", "workers"])
NOTHING = Shared.of(None)
Tasks = list[Callable[[None, Channel], object]]


def later(_: None, channel: Channel, *, value: int, seconds: float) -> int:
    time.sleep(seconds)
    channel.send(value)
    return value


def fails(_: None, channel: Channel) -> int:
    """Raises what a user can cause."""
    raise DataError("x", "y", cause="Because.", fix="Mend it.")


def is_a_defect(_: None, channel: Channel) -> float:
    return 1 / 0


def waits(_: None, channel: Channel) -> None:
    channel.send("waiting")
    while True:
        channel.check_stop()
        time.sleep(0.005)


def dies(_: None, channel: Channel) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_once(_: None, channel: Channel, *, mark: Path) -> int:
    if not mark.exists():
        mark.touch()
        dies(None, channel)
    return os.getpid()


def meets_the_other(shared: Loaded, channel: Channel, *, folder: Path) -> tuple[str, int]:
    """Waits until a worker on another device is here too."""
    (folder / shared.device).touch()
    until = time.monotonic() + 120
    while len(list(folder.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return shared.device, shared.n_loaded


class Loaded:
    """Counts how often a process made one."""

    n_loaded = 0

    def __init__(self, device: str) -> None:
        self.device = device
        Loaded.n_loaded += 1


def cannot_load(device: str) -> None:
    raise DataError.cannot("go on", "the data have changed")


def marks(_: None, channel: Channel, *, path: Path) -> None:
    """Shows that it lives by writing the time, again and again."""
    while True:
        path.write_text(str(time.time()))
        time.sleep(0.02)


@ENGINES
def test_results_come_back_in_order_and_events_all_arrive(engine: Engine) -> None:
    events: list[int] = []
    tasks = [partial(later, value=i, seconds=0.03 * (3 - i)) for i in range(4)]
    assert execute(list(tasks), NOTHING, engine=engine, on_event=events.append) == [0, 1, 2, 3]
    assert sorted(events) == [0, 1, 2, 3]


@ENGINES
def test_an_error_of_one_task_does_not_stop_the_others(engine: Engine) -> None:
    tasks: Tasks = [fails, partial(later, value=2, seconds=0)]
    results = execute(tasks, NOTHING, engine=engine)
    assert isinstance(results[0], DataError)
    assert str(results[0]) == "Expected x, got y. Because. Mend it."
    assert results[1:] == [2]


@ENGINES
def test_a_defect_stops_all_and_shows(engine: Engine) -> None:
    start = time.monotonic()
    tasks: Tasks = [is_a_defect, waits]
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        execute(tasks, NOTHING, engine=engine)
    assert time.monotonic() - start < 30


@ENGINES
def test_a_stop_ends_tasks_at_their_next_safe_point(engine: Engine) -> None:
    stop = StopSignal()

    def ask_once_it_runs(event: object) -> None:
        threading.Timer(0.02, stop.set).start()

    results = execute([waits] * 3, NOTHING, engine=engine, stop=stop, on_event=ask_once_it_runs)
    assert [type(result) for result in results] == [Stopped] * 3


def test_a_task_that_kills_its_workers_is_an_error_with_a_remedy() -> None:
    tasks: Tasks = [dies, partial(later, value=1, seconds=0)]
    with pytest.raises(WorkerError, match=r"by the same task, 5 times.*Run the same command again"):
        execute(tasks, NOTHING, engine=Engine(workers=2))


def test_what_a_dead_worker_had_is_done_by_another(tmp_path: Path) -> None:
    tasks: Tasks = [partial(dies_once, mark=tmp_path / str(i)) for i in range(3)]
    results = execute(tasks, NOTHING, engine=Engine(workers=2))
    assert all(isinstance(result, int) and result != os.getpid() for result in results)


def test_what_is_shared_is_loaded_once_by_each_worker_on_its_device(tmp_path: Path) -> None:
    shared = Shared(Loaded("here"), Loaded)
    tasks = [partial(meets_the_other, folder=tmp_path)] * 6
    with workers_of(Engine(devices=("cpu", "cpu:0")), shared) as workers:
        found = [*workers.run(tasks), *workers.run(tasks)]
    assert set(found) == {("cpu", 1), ("cpu:0", 1)}


def test_what_cannot_be_loaded_there_is_the_error_of_all() -> None:
    tasks: Tasks = [partial(later, value=1, seconds=0)] * 2
    with pytest.raises(DataError, match=r"Cannot go on: the data have changed\."):
        execute(tasks, Shared(None, cannot_load), engine=Engine(workers=2))


def test_what_exists_in_this_process_only_is_refused() -> None:
    with pytest.raises(ModelError, match=r"send model and images to other processes: .*by a reference"):
        execute([waits] * 2, Shared(None, lambda device: None), engine=Engine(workers=2))


def gives_back(_: None, channel: Channel, *, value: bytes) -> bytes:
    return value


def test_large_tasks_and_large_results_do_not_wait_for_each_other() -> None:
    """Both sides of a pipe that is full would."""
    sent, found = [bytes([number]) * 2**22 for number in range(6)], list[object]()
    tasks: Tasks = [partial(gives_back, value=each) for each in sent]
    work = threading.Thread(
        target=lambda: found.extend(execute(tasks, NOTHING, engine=Engine(workers=2))), daemon=True
    )
    work.start()
    work.join(120)
    assert found == sent


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Else they would write into a run directory beside the process that continues it."""
    mark = tmp_path / "alive"
    code = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "    import test_execute; from shiftproof.engine import Engine, execute\n"
        f"    task = partial(test_execute.marks, path=Path({str(mark)!r}))\n"
        "    execute([task] * 2, test_execute.NOTHING, engine=Engine(workers=2))\n"
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
    for _ in range(60):
        mark.unlink(missing_ok=True)
        time.sleep(0.5)  # who lives writes every 20 ms
        if not mark.exists():
            break
    assert not mark.exists()
