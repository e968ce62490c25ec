"""Settings of the whole process, shared by threads that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from shiftproof._threads import in_order, one_thread_per_operation, while_used, worker_pool


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


@pytest.mark.parametrize("n_threads", [1, 2])
def test_denormal_numbers_are_zeros_in_every_worker_and_as_before_afterwards(n_threads: int) -> None:
    smallest_normal = torch.finfo(torch.float32).tiny

    def half() -> float:
        return torch.tensor([smallest_normal]).mul(0.5).item()

    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such setting")
    torch.set_flush_denormal(False)
    with worker_pool(n_threads) as pool:
        assert in_order(pool, [half] * 8) == [0.0] * 8
        assert half() == 0.0, "what is computed beside the workers"
    assert half() == smallest_normal / 2
