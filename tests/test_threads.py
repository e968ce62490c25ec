"""Settings of the whole process, shared by threads that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from shiftproof._threads import one_thread_per_operation, while_used


def test_the_first_user_makes_a_setting_and_the_last_one_undoes_it() -> None:
    events: list[str] = []

    @while_used
    @contextmanager
    def setting() -> Iterator[None]:
        events.append("made")
        yield
        events.append("undone")

    first, second = setting(), setting()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert events == ["made"], "the one who came first leaves first"
    second.__exit__(None, None, None)
    with pytest.raises(ValueError, match="inside"), setting():
        raise ValueError("inside")
    assert events == ["made", "undone"] * 2


def test_the_number_of_threads_comes_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread_per_operation(), one_thread_per_operation():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
