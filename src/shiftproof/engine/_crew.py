"""What a pool of workers needs of those who do the work, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shiftproof.engine._channel import Channel, Task
from shiftproof.errors import ShiftproofError, Stopped


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has what the tasks share, and waits for them."""

    worker: int


@dataclass(frozen=True, slots=True)
class News:
    """What a task sent about how far it is."""

    event: Any


@dataclass(frozen=True, slots=True)
class Done:
    """A task ended, with a result or an error of ours."""

    worker: int
    task: int
    result: Any


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker is no more, and with it what it was doing."""

    worker: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Nobody should go on: a defect, or a worker that cannot take part."""

    error: BaseException


Message = Ready | News | Done | Gone | Failed


class Crew(Protocol):
    """Workers in processes of their own, each with a number, and with one task at a time."""

    def room(self) -> int:
        """How many there may be."""

    def start(self, worker: int) -> None:
        """Have a worker begin; `Ready` follows, or `Failed`, or `Gone`."""

    def give(self, worker: int, number: int, task: Task[Any]) -> None:
        """Hand a task to a worker that is ready. `Done` follows, or `Failed`, or `Gone`."""

    def messages(self, seconds: float) -> Sequence[Message]:
        """What has come, after waiting for the first at most so long."""

    def last_news(self) -> Sequence[Message]:
        """What is still on its way about tasks that are done."""

    def halt(self) -> None:
        """Ask all to stop at their next safe point."""

    def close(self) -> None:
        """Let all go, and wait until they are gone."""


def guarded(task: Task[Any], shared: Any, channel: Channel) -> Any:
    """What a task gives, or the error of ours that ended it."""
    try:
        channel.check_stop()
        return task(shared, channel)
    except ShiftproofError as error:
        return error


def stopped() -> Stopped:
    """The result of a task that was not begun."""
    return Stopped.cannot("finish", "there was a request to stop")
