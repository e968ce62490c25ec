"""What a task and whoever started it say to each other: how far it is, and that it should stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from shiftproof.errors import Stopped

S = TypeVar("S")


class Stopping(Protocol):
    """Whatever can tell that somebody asked for a stop."""

    def is_set(self) -> bool:
        """Whether a stop was requested."""


class StopSignal:
    """A request to stop that tasks look at between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask everybody to stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether a stop was requested."""
        return self._event.is_set()


class StopsWhen:
    """The same from a function that raises `Stopped` once somebody asked."""

    def __init__(self, check_stop: Callable[[], None]) -> None:
        self._check_stop = check_stop

    def is_set(self) -> bool:
        """Whether a stop was requested."""
        try:
            self._check_stop()
        except Stopped:
            return True
        return False


class Channel:
    """What a task is given to talk to whoever started it, in this process or in another.

    Args:
        send: Takes an event that tells how far things are.
        is_stopped: Whether there is a request to stop.
    """

    def __init__(self, send: Callable[[Any], None], is_stopped: Callable[[], bool]) -> None:
        self.send = send
        self.is_stopped = is_stopped

    def check_stop(self) -> None:
        """Return at once, or raise `Stopped` after a request to stop."""
        if self.is_stopped():
            raise Stopped.cannot("finish", "there was a request to stop")


@dataclass(frozen=True, eq=False)
class Shared(Generic[S]):
    """What all tasks need, such as a model and its images: made once for each worker.

    Args:
        here: As it is in this process.
        load: Makes the same in another process, on the device it is given. It is pickled; what it raises is
            the error of the whole.

    Example:
        >>> Shared.of(3).load("cpu")
        3
    """

    here: S
    load: Callable[[str], S]

    @classmethod
    def of(cls, value: S) -> Shared[S]:
        """For what is small, and can be sent as it is."""
        return cls(value, _Sent(value))


@dataclass(frozen=True, eq=False)
class _Sent(Generic[S]):
    value: S

    def __call__(self, device: str) -> S:
        return self.value


Task = Callable[[S, Channel], Any]
