"""Processes that decode images while a model is busy with those before."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from shiftproof.data._check import ImageFile, Original
from shiftproof.data._frame import Frame
from shiftproof.data._side_by_side import side_by_side
from shiftproof.errors import OptionError, WorkerError

A = TypeVar("A")
B = TypeVar("B")
MOST_DECODERS = 1024
# On their way to a process together.
FILES_AT_ONCE = 16
Pixels: TypeAlias = npt.NDArray[np.uint8]


class Decoders:
    """Processes that decode image files, those ahead too; threads would wait for each other.

    They are started when the first file is asked for, and need a second or two to begin. They import the
    script that made them, which should therefore do its work under `if __name__ == "__main__":`.

    Args:
        n_processes: How many; 0 for none, and whoever asks for an image decodes it, by its threads.

    Raises:
        OptionError: A number that is negative, or larger than `MOST_DECODERS`.

    Example:
        >>> with Decoders(0) as decoders:
        ...     bool(decoders)
        False
    """

    def __init__(self, n_processes: int) -> None:
        if not 0 <= n_processes <= MOST_DECODERS:
            raise OptionError(f"decoders from 0 to {MOST_DECODERS:,}", n_processes)
        self._n_processes = n_processes
        self._pool: ProcessPoolExecutor | None = None
        self._coming: dict[tuple[Original, Frame], Future[Pixels]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return self._n_processes > 0

    def __reduce__(self) -> tuple[type[Decoders], tuple[int]]:
        return Decoders, (self._n_processes,)  # elsewhere it has processes of its own

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, wanted: Sequence[Original], ahead: Sequence[Original], frame: Frame) -> list[Pixels]:
        """What is wanted now, decoded; and begin with what will be wanted next.

        Args:
            wanted: Any images; those that are no files are not worth the way to another process.
            ahead: The next ones. What was begun earlier and is in neither is forgotten.
            frame: What brings them to one shape.

        Raises:
            DataError: A file is not any more what it was when it was checked.
            WorkerError: A process died.
        """
        with _deaths_named():
            with self._lock:
                begun = [self._begun(one, frame) for one in wanted]
                self._coming = {
                    (one, frame): future for one in ahead if (future := self._begun(one, frame)) is not None
                }
            return [
                one.framed(frame) if future is None else future.result()
                for one, future in zip(wanted, begun, strict=True)
            ]

    def each(self, task: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """As `side_by_side`, by these processes where there are any.

        Raises:
            WorkerError: A process died.
        """
        if not self:
            return side_by_side(task, items)
        with _deaths_named():
            return list(self._processes().map(partial(_alone, task), items, chunksize=FILES_AT_ONCE))

    def close(self) -> None:
        """Let the processes go."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._coming = None, {}

    def _begun(self, one: Original, frame: Frame) -> Future[Pixels] | None:
        """What will be this image; None for one that is no file."""
        if not isinstance(one, ImageFile):
            return None
        return self._coming.get((one, frame)) or self._processes().submit(_framed, one, frame)

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # A fork would copy the locks of threads that do not exist in the copy.
            self._pool = ProcessPoolExecutor(
                self._n_processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_leave_interrupts_to_others,
            )
        return self._pool


@contextmanager
def _deaths_named() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise WorkerError.cannot(
            "decode images in other processes",
            "one died",
            cause="A file may need more memory than there is.",
            fix="Use fewer decoders, or none.",
        ) from error


def _alone(task: Callable[[A], B], item: A) -> B:
    """With Pillow's warnings in hand, as where it is done in this process."""
    return side_by_side(task, [item])[0]


def _framed(one: ImageFile, frame: Frame) -> Pixels:
    return one.framed(frame)


def _leave_interrupts_to_others() -> None:
    """Ctrl-C reaches every process of a terminal, but only the one that was started decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
