"""One thread per operation: on small maps, workers that share cores lose more to waiting than they gain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shiftproof._threads import one_thread_per_operation


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with one_thread_per_operation():
        yield
