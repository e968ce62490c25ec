"""Shared by the tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shiftproof._threads import one_thread_per_operation


@pytest.fixture(autouse=True)
def small_batches_on_one_thread() -> Iterator[None]:
    """On batches of five images, threads wait for each other longer than they compute."""
    with one_thread_per_operation():
        yield
