"""One pool of single-threaded workers for the whole process.

Torch splits one operation over threads, and how it splits changes the last bits of a sum. Here the
work is split instead: into parts that do not depend on the machine, each computed by one thread,
put together in a fixed order. The bytes are then the same on one core and on many, parts of several
networks share the pool, and no core waits for another inside an operation.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def available_cores() -> int:
    """Cores that this process may use.

    Example:
        >>> available_cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def while_used(
    setting: Callable[[], AbstractContextManager[None]],
) -> Callable[[], AbstractContextManager[None]]:
    """Have a setting of the whole process made by the first of its users and undone by the last to leave.

    Threads that are side by side would otherwise undo it for each other, or keep it for good.

    Args:
        setting: Makes it, and undoes it at the end.

    Returns:
        The same for any number of users at once.
    """
    lock = threading.Lock()
    made = ExitStack()
    n_users = 0

    @wraps(setting)
    @contextmanager
    def shared() -> Iterator[None]:
        nonlocal n_users
        with lock:
            if n_users == 0:
                made.enter_context(setting())
            n_users += 1
        try:
            yield
        finally:
            with lock:
                n_users -= 1
                if n_users == 0:
                    made.close()

    return shared


@while_used
@contextmanager
def one_thread_per_operation() -> Iterator[None]:
    """Have torch compute each operation on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@contextmanager
def worker_pool(n_threads: int | None = None) -> Iterator[Executor]:
    """A pool whose workers compute each operation on one thread.

    Args:
        n_threads: Workers; all available cores by default.
    """
    n_threads = n_threads or available_cores()
    _keep_freed_memory()
    with one_thread_per_operation(), _denormals_as_zeros():
        if n_threads == 1:
            yield _Here()
            return
        with ThreadPoolExecutor(n_threads, initializer=_single) as pool:
            yield pool


class _Here(Executor):
    """A pool of the calling thread: with one worker, handing work over only costs time."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@cache
def _keep_freed_memory() -> None:
    """Have malloc keep what tensors give back, for the rest of the process.

    By default every large tensor is fresh pages from the system, which it has to fill with zeros: a
    third of the time of a small convolutional network's training step. glibc only; a hint elsewhere.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    m_trim_threshold, m_mmap_threshold, m_arena_max = -1, -3, -8
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, (1 << 31) - 1)
    mallopt(m_arena_max, 1)


@contextmanager
def _denormals_as_zeros() -> Iterator[None]:
    """Have this thread take numbers below 1e-38 for zero.

    A network that is sure of its answers has gradients so small that their squares are such numbers, and many
    processors compute with these a hundred times slower: without this, an epoch of `standard-nn` takes four
    times as long on an Intel Xeon. TensorFlow does the same. A processor that cannot goes on without it.
    """
    before = _takes_denormals_for_zeros()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _takes_denormals_for_zeros() -> bool:
    smallest_normal = torch.finfo(torch.float32).tiny
    return bool(torch.tensor([smallest_normal]).mul(0.5) == 0)


def _single() -> None:
    # Both are kept per thread: a new one would ask the machine again, and compute with denormals.
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def in_order(pool: Executor, tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks side by side and return their results in the order of the tasks.

    Example:
        >>> with worker_pool(2) as pool:
        ...     in_order(pool, [lambda: 1, lambda: 2])
        [1, 2]
    """
    return [future.result() for future in [pool.submit(task) for task in tasks]]
