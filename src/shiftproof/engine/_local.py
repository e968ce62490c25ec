"""Workers in processes on this machine, each with a pipe of its own, so that none is lost with another."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from queue import Queue
from typing import Any

from shiftproof._text import said
from shiftproof.engine._channel import Channel, Shared, Task
from shiftproof.engine._crew import Done, Failed, Gone, Message, News, Ready, guarded
from shiftproof.engine._engine import Engine
from shiftproof.errors import ModelError, ShiftproofError

SECONDS_TO_LEAVE = 60.0
BROKEN = (EOFError, BrokenPipeError, ConnectionResetError)


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    place: int


class LocalCrew:
    """Processes on this machine.

    Args:
        shared: What tasks need.
        engine: How many, and on which devices.

    Raises:
        ModelError: What tasks need cannot be sent.
    """

    def __init__(self, shared: Shared[Any], engine: Engine) -> None:
        self._engine = engine
        self._load = packed(shared.load)
        self._context = multiprocessing.get_context("spawn")
        # One byte without a lock, which a process that is killed could keep.
        self._halt = self._context.RawValue("b", 0)
        self._workers: dict[int, _Worker] = {}

    def room(self) -> int:
        """Processes that were asked for."""
        return self._engine.n_local

    def start(self, worker: int) -> None:
        """Start a process, on the device that has fewest."""
        devices = self._engine.devices
        used = [each.place for each in self._workers.values()]
        place = min(range(len(devices)), key=used.count)
        ours, theirs = self._context.Pipe()
        # No daemon: it may have processes of its own that decode images.
        process = self._context.Process(target=_serve, args=(theirs, self._halt, devices[place]))
        with _interrupts_ignored():  # what is ignored here stays ignored in there
            process.start()
        theirs.close()  # else nobody would notice its death
        self._workers[worker] = _Worker(process, ours, place)

    def give(self, worker: int, number: int, task: Task[Any]) -> None:
        """Send a task."""
        self._send(worker, packed((number, task)))

    def messages(self, seconds: float) -> list[Message]:
        """One from each process that has said something."""
        by_pipe = {each.pipe: number for number, each in self._workers.items()}
        found: list[Message] = []
        for pipe in wait(list(by_pipe), seconds):
            number = by_pipe[pipe]  # type: ignore[index]  # only pipes were given
            try:
                kind, what = pickle.loads(self._workers[number].pipe.recv_bytes())
            except (EOFError, OSError):
                self._bury(number)
                found.append(Gone(number))
                continue
            if kind == "here":  # It listens now, so that what it needs, which may be large, keeps nobody.
                self._send(number, self._load)
            else:
                found.append(_read(number, kind, what))
        return found

    def last_news(self) -> Sequence[Message]:
        """Nothing: news come before results, by the same pipe."""
        return ()

    def halt(self) -> None:
        """Ask all to stop at their next safe point."""
        self._halt.value = 1

    def close(self) -> None:
        """Let all go; whoever does not leave in time is ended."""
        for each in self._workers.values():
            each.pipe.close()
        for each in self._workers.values():
            _leave(each.process)
        self._workers.clear()

    def _send(self, worker: int, content: bytes) -> None:
        with suppress(*BROKEN):  # `Gone` follows
            self._workers[worker].pipe.send_bytes(content)

    def _bury(self, number: int) -> None:
        gone = self._workers.pop(number)
        gone.pipe.close()
        _leave(gone.process)


def _leave(process: Any) -> None:
    process.join(SECONDS_TO_LEAVE)
    if process.is_alive():
        process.kill()
        process.join()


def _read(worker: int, kind: str, what: Any) -> Message:
    if kind == "ready":
        return Ready(worker)
    if kind == "news":
        return News(what)
    return Done(worker, *what) if kind == "done" else Failed(what)


def packed(value: Any) -> bytes:
    """As bytes; a model or images that cannot be pickled as an error that says what to do."""
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError, NotImplementedError, RuntimeError) as error:
        raise unsendable(error) from error


def unsendable(error: BaseException) -> ModelError:
    """The error for what exists in this process only."""
    return ModelError.cannot(
        "send model and images to other processes",
        f"{type(error).__name__}: {said(error)}",
        cause="Something in them exists in this process only.",
        fix="Name the model by a reference, such as file.py:NAME; or use one device and no cluster.",
    )


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal, but only this one decides what it means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- in a worker process -------------------------------------------------------------------------


def _serve(pipe: Connection, halt: Any, device: str) -> None:
    """Do tasks until nobody gives any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lock = threading.Lock()

    def tell(kind: str, what: Any = None) -> None:
        content = pickle.dumps((kind, what))
        with lock:
            pipe.send_bytes(content)

    with suppress(*BROKEN):
        try:
            tell("here")
            given = _given(pipe)
            load = next(given, None)
            if load is None:
                return
            shared = _unpacked(load)(device)
            tell("ready")
            channel = Channel(lambda event: tell("news", event), lambda: bool(halt.value))
            for content in given:
                number, task = _unpacked(content)
                tell("done", (number, guarded(task, shared, channel)))
        except BROKEN:
            raise
        except BaseException as error:
            tell("failed", _as_can_be_sent(error))


def _given(pipe: Connection) -> Iterator[bytes]:
    """What comes, until nobody gives any more.

    It is read by a thread of its own: a large result and a large task that met in the pipe would have both
    sides wait for each other for good.
    """
    waiting: Queue[bytes | None] = Queue()

    def read() -> None:
        with suppress(*BROKEN, OSError):
            while True:
                waiting.put(pipe.recv_bytes())
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (content := waiting.get()) is not None:
        yield content


def _unpacked(content: bytes) -> Any:
    try:
        return pickle.loads(content)
    except (AttributeError, ImportError, pickle.UnpicklingError) as error:
        raise unsendable(error) from error


def _as_can_be_sent(error: BaseException) -> BaseException:
    """The error, with its traceback as a note where it is a defect; its text where it cannot be pickled."""
    lines = "".join(traceback.format_exception(error))
    if not isinstance(error, ShiftproofError):
        error.add_note(f"In a worker process:\n{lines}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(lines)
    return error


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers; they must not go on writing beside the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a child process"
    wait([parent.sentinel])
    os._exit(1)
