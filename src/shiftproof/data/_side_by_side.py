"""Decoding on all cores, with Pillow's warnings in hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from PIL import Image

from shiftproof._threads import available_cores, while_used

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(task: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """Do a task for every item, on as many threads as there are cores, results in the order of the items.

    Threads hide the wait for a disk; they decode hardly faster, as they wait for each other: see `Decoders`.

    Example:
        >>> side_by_side(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    n_threads = min(available_cores(), len(items))
    with _bombs_are_errors():
        if n_threads <= 1:
            return [task(item) for item in items]
        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(task, items))


@while_used
@contextmanager
def _bombs_are_errors() -> Iterator[None]:
    """Make a decompression bomb an error, and damaged metadata, which nobody reads, no topic."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
