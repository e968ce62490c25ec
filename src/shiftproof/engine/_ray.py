"""Workers on a Ray cluster: actors that load once what tasks share. Ray moves units, never the maths.

An actor that dies, by itself or with its node, is replaced, and its tasks are given to others. What came
with it are tasks that are done twice: they are the same units, and give the same bytes.
"""

from __future__ import annotations

import os
import pickle
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shiftproof._text import said
from shiftproof.engine._channel import Channel, Shared, Task
from shiftproof.engine._cluster import connected, room_for, versions
from shiftproof.engine._crew import Done, Failed, Gone, Message, News, Ready, guarded
from shiftproof.engine._engine import Engine
from shiftproof.engine._local import unsendable
from shiftproof.errors import ShiftproofError, WorkerError

# Between two questions to each worker of how far it is; longer where there are many.
SECONDS_BETWEEN_NEWS = 0.5
WORKERS_PER_SECOND = 1000
# A cluster that grows takes minutes; one that has no room for so long will have none.
SECONDS_WITHOUT_ROOM = 60.0
SECONDS_FOR_LAST_NEWS = 5.0
# What a node lacks that has other packages.
OF_A_NODE = (ImportError, AttributeError, pickle.UnpicklingError)
MOST_SAID = 500


@dataclass(frozen=True, slots=True)
class _Call:
    """What was asked of a worker and is not yet answered."""

    worker: int
    kind: str
    task: int = -1


class RayCrew:
    """Actors on a cluster.

    Args:
        shared: What tasks need.
        engine: Which cluster, how many actors, and what each takes of its node.

    Raises:
        MissingDependencyError: `ray` is not installed.
        WorkerError: No cluster, one of another version, or none with room for a worker.
        ModelError: What tasks need cannot be sent.
    """

    def __init__(self, shared: Shared[Any], engine: Engine) -> None:
        self._engine = engine
        self._ray, self._leave = connected(engine)
        try:
            self._room, self._looked = room_for(self._ray, engine, at_start=True), time.monotonic()
            self._load = self._put(shared.load)
        except BaseException:
            self._leave()
            raise
        self._had_room = self._looked
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, _Call] = {}
        self._asked: set[int] = set()
        self._halted = False
        self._next_news = 0.0
        self._class = self._ray.remote(concurrency_groups={"talk": 1})(_Actor)

    def _put(self, load: Any) -> Any:
        try:
            return self._ray.put(load)
        except Exception as error:  # whatever it is that objects to being pickled
            raise unsendable(error) from error

    def room(self) -> int:
        """As many as were asked for, or as fit on the nodes that are there now."""
        now = time.monotonic()
        if now - self._looked > SECONDS_BETWEEN_NEWS:
            self._room, self._looked = room_for(self._ray, self._engine), now
        if self._room:  # Actors prove nothing: one whose node is gone before it began waits for good.
            self._had_room = now
        elif now - self._had_room > SECONDS_WITHOUT_ROOM:
            raise WorkerError.cannot(
                "go on",
                f"the Ray cluster had no room for a worker for {SECONDS_WITHOUT_ROOM:g} s",
                cause="Its nodes are gone.",
                fix="Start a node, and run the same command again: finished work is kept.",
            )
        return min(self._room, self._engine.workers or self._room)

    def start(self, worker: int) -> None:
        """Have Ray start an actor where there is room."""
        options = {
            "num_cpus": self._engine.cores_each,
            "num_gpus": self._engine.gpus_each,
            "max_restarts": 0,
            "max_concurrency": 1,
        }
        settings = {"versions": versions(), "folder": str(Path.cwd()), "device": self._engine.devices[0]}
        actor = self._class.options(**options).remote(settings, [self._load])
        self._actors[worker] = actor
        self._calls[actor.begin.remote()] = _Call(worker, "begin")

    def give(self, worker: int, number: int, task: Task[Any]) -> None:
        """Send a task."""
        try:
            call = self._actors[worker].work.remote(task)
        except self._ray.exceptions.RayActorError:
            return  # `Gone` follows, from what else it was asked
        except Exception as error:  # whatever it is that objects to being pickled
            raise unsendable(error) from error
        self._calls[call] = _Call(worker, "work", number)

    def messages(self, seconds: float) -> list[Message]:
        """Answers of the actors that have come."""
        self._ask_for_news()
        if not self._calls:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        if done:
            done, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        return [message for call in done for message in self._answer(call)]

    def last_news(self) -> list[Message]:
        """What actors have to say about tasks that are done."""
        self._next_news = 0.0
        self._ask_for_news()
        until = time.monotonic() + SECONDS_FOR_LAST_NEWS
        found: list[Message] = []
        while self._asked and time.monotonic() < until:
            done, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=SECONDS_BETWEEN_NEWS)
            found += [message for call in done for message in self._answer(call)]
        return found

    def halt(self) -> None:
        """Tell every actor to stop at its next safe point."""
        self._halted = True
        self._next_news = 0.0
        with suppress(Exception):  # Ctrl-C may have come in the middle of anything.
            self._ask_for_news()

    def close(self) -> None:
        """End the actors, and leave the cluster."""
        for actor in self._actors.values():
            with suppress(Exception):
                self._ray.kill(actor)
        self._actors.clear()
        self._leave()

    def _ask_for_news(self) -> None:
        now = time.monotonic()
        if now < self._next_news:
            return
        self._next_news = now + max(SECONDS_BETWEEN_NEWS, len(self._actors) / WORKERS_PER_SECOND)
        for worker, actor in self._actors.items():
            if worker not in self._asked:
                self._asked.add(worker)
                look = actor.look.options(concurrency_group="talk").remote(self._halted)
                self._calls[look] = _Call(worker, "look")

    def _answer(self, reference: Any) -> Iterator[Message]:
        call = self._calls.pop(reference)
        if call.kind == "look":
            self._asked.discard(call.worker)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            is_of_node = call.kind == "begin" and isinstance(error.cause, OF_A_NODE)
            yield Failed(_unable(error) if is_of_node else error)
            return
        except self._ray.exceptions.RayError as error:
            if getattr(error, "actor_init_failed", False):
                yield Failed(_unable(error))
            elif self._actors.pop(call.worker, None) is not None:
                self._asked.discard(call.worker)
                yield Gone(call.worker)
            return
        if call.kind == "look":
            yield from (News(event) for event in answer)
        elif call.kind == "work":
            yield Done(call.worker, call.task, answer)
        else:
            yield Ready(call.worker) if answer is None else Failed(answer)


def _unable(error: BaseException) -> WorkerError:
    """The error for a node whose Python cannot even begin. What it is stands last in what Ray says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return WorkerError.cannot(
        "start a worker on every node",
        said(lines[-1], MOST_SAID) if lines else type(error).__name__,
        fix="Install the same packages on all nodes.",
    )


# --- in an actor, on some node -------------------------------------------------------------------


class _Actor:
    """A worker: one task at a time, while another thread answers how far it is.

    Args:
        settings: Versions of the one who asks, its folder, and the device. Plain text, so that another
            version of this class can read it, and be refused.
        load: A reference to what tasks share, to be read only after that.
    """

    def __init__(self, settings: dict[str, Any], load: list[Any]) -> None:
        self._settings, self._load = settings, load
        self._news: list[Any] = []
        self._halted = False
        self._shared: Any = None

    def begin(self) -> ShiftproofError | None:
        """Load what tasks share; the error of ours that prevents it."""
        import ray

        try:
            _check_versions(self._settings["versions"])
            _enter(self._settings["folder"])
            self._shared = ray.get(self._load[0])(self._settings["device"])
        except ShiftproofError as error:
            return error
        return None

    def work(self, task: Task[Any]) -> Any:
        """Do a task."""
        return guarded(task, self._shared, Channel(self._news.append, lambda: self._halted))

    def look(self, halted: bool) -> list[Any]:
        """What there is to say since the last time; and whether to stop."""
        self._halted = halted
        news = self._news[:]
        del self._news[: len(news)]
        return news


def _check_versions(theirs: dict[str, str]) -> None:
    ours = versions()
    for package, wanted in theirs.items():
        if ours.get(package) != wanted:
            raise WorkerError(
                f"{package} {wanted} on every node",
                f"{package} {ours.get(package)} on {platform.node()}",
                cause="Another version may give other results.",
                fix="Install the same packages on all nodes.",
            )


def _enter(folder: str) -> None:
    """Have relative paths mean the same on every node."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise WorkerError.cannot(
            f"enter the folder {folder!r} on {platform.node()}",
            error.strerror or error,
            cause="Paths to models, images and the run directory are relative to it.",
            fix="Start the command in a folder that all nodes share.",
        ) from error
