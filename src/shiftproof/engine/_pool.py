"""Tasks and workers: who does what, what is done again after a worker has died, and when all stop."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from shiftproof._text import counted
from shiftproof.engine._channel import Channel, Stopping, Task
from shiftproof.engine._crew import Crew, Done, Failed, Gone, News, Ready, guarded, stopped
from shiftproof.errors import ShiftproofError, WorkerError

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.1
# A worker may die of what it does: then the next one does too, and the next.
MOST_DEATHS_PER_TASK = 5
MOST_DEATHS_AT_START = 5  # without one in between that began
OnDone = Callable[[int, Any], None]


def ignore(index: int, result: Any) -> None:
    """For whoever waits for all results together."""


class Here:
    """Tasks in this process, one after the other.

    Args:
        shared: What they are given.
        stop: Set by someone else to have them end at their next safe point.
        on_event: Called with what they send.
    """

    def __init__(self, shared: Any, stop: Stopping, on_event: Callable[[Any], None]) -> None:
        self._shared = shared
        self._channel = Channel(on_event, stop.is_set)

    def run(self, tasks: Sequence[Task[Any]], on_done: OnDone = ignore) -> list[Any]:
        """As `Pool.run`."""
        results = []
        for index, task in enumerate(tasks):
            results.append(guarded(task, self._shared, self._channel))
            on_done(index, results[-1])
        return results

    def close(self) -> None:
        """Nothing to let go."""


class Pool:
    """Tasks on workers in other processes, which may die.

    Args:
        crew: The workers.
        stop: Set by someone else to have all end at their next safe point.
        on_event: Called here with what the tasks send.
    """

    def __init__(self, crew: Crew, stop: Stopping, on_event: Callable[[Any], None]) -> None:
        self._crew, self._stop, self._on_event = crew, stop, on_event
        self._given: dict[int, deque[int]] = {}
        self._starting: set[int] = set()
        self._deaths_at_start = 0
        self._n_started = 0

    def run(self, tasks: Sequence[Task[Any]], on_done: OnDone = ignore) -> list[Any]:
        """Run tasks, each to its end or to its own error; none depends on another.

        Args:
            tasks: Pickled, as are their results; only some are on their way at a time.
            on_done: Called with the place of each task and its result, as they come. What it raises stops
                all.

        Returns:
            For each task, in order, its result or the error of ours that ended it.

        Raises:
            WorkerError: A task whose workers die again and again, for example for want of memory.
            KeyboardInterrupt: On Ctrl-C, after all tasks have stopped.
        """
        run = _Run(tasks, on_done)
        try:
            while run.is_going:
                if self._stop.is_set():
                    self._crew.halt()
                    run.end_those_that_wait()
                else:
                    self._hire(run)
                    self._hand_out(run)
                for message in self._crew.messages(SECONDS_BETWEEN_LOOKS):
                    self._take(message, run)
            for message in self._crew.last_news():
                self._take(message, run)
        except BaseException:
            # Whoever leaves waits for the workers: have them stop now, not when they are done.
            self._crew.halt()
            raise
        return run.results

    def close(self) -> None:
        """Let the workers go."""
        self._crew.close()

    def _hire(self, run: _Run) -> None:
        wanted = min(self._crew.room(), run.n_left)
        while len(self._given) + len(self._starting) < wanted:
            self._crew.start(self._n_started)
            self._starting.add(self._n_started)
            self._n_started += 1

    def _hand_out(self, run: _Run) -> None:
        """One for everybody, and one in advance while there are many: the last ones go to who is free."""
        for in_hand in (0, 1):
            for worker, given in self._given.items():
                enough = len(self._given) if in_hand else 0
                if len(given) == in_hand and len(run.waiting) > enough:
                    index = run.waiting.popleft()
                    given.append(index)
                    self._crew.give(worker, index, run.tasks[index])

    def _take(self, message: Any, run: _Run) -> None:
        match message:
            case News(event):
                self._on_event(event)
            case Ready(worker):
                self._starting.discard(worker)
                self._given[worker] = deque()
                self._deaths_at_start = 0
            case Done(worker, index, result):
                if worker in self._given:  # else it is already done by somebody else again
                    self._given[worker].remove(index)
                    run.end(index, result)
            case Gone(worker):
                self._after_a_death(worker, run)
            case Failed(error):
                raise error

    def _after_a_death(self, worker: int, run: _Run) -> None:
        if worker in self._starting:
            self._starting.discard(worker)
            self._deaths_at_start += 1
            if self._deaths_at_start >= MOST_DEATHS_AT_START:
                raise _all_die("before they had anything to do")
            return
        given = self._given.pop(worker, deque())
        if given:  # what waited behind is not to blame
            run.deaths[given[0]] += 1
            if run.deaths[given[0]] >= MOST_DEATHS_PER_TASK:
                raise _all_die(f"by the same task, {counted(MOST_DEATHS_PER_TASK, 'time')}")
        run.waiting.extendleft(reversed(given))


class _Run:
    """The tasks of one call, and how far they are."""

    def __init__(self, tasks: Sequence[Task[Any]], on_done: OnDone) -> None:
        self.tasks = tasks
        self.results: list[Any] = [None] * len(tasks)
        self.waiting = deque(range(len(tasks)))
        self.deaths: Counter[int] = Counter()
        self.n_left = len(tasks)
        self._on_done = on_done

    @property
    def is_going(self) -> bool:
        return self.n_left > 0

    def end(self, index: int, result: Any) -> None:
        self.results[index] = result
        self.n_left -= 1
        self._on_done(index, result)

    def end_those_that_wait(self) -> None:
        while self.waiting:
            self.end(self.waiting.popleft(), stopped())


def _all_die(when: str) -> ShiftproofError:
    return WorkerError.cannot(
        "go on",
        f"worker processes died {when}",
        cause="The system may have run out of memory.",
        fix="Run the same command again; fewer --workers need less memory.",
    )
