"""The training of all candidates: one student for each edited network, and how long all of it takes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load
from torch import nn

from shiftproof._digest import digest_of
from shiftproof._files import make_folder, write_atomically
from shiftproof.adapters import explained
from shiftproof.engine import Channel, Workers
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.fix._jury import Case
from shiftproof.fix._student import LessonProgress, Student, weights_in


class Trainings:
    """Has the networks of candidates trained by workers, side by side, each up to a part of the lesson.

    Candidates that differ only in what is around their network have one student: the training is the same.

    Args:
        n_steps: Of the whole lesson.
        digest: Of the original; a part of the names of checkpoints.
        checkpoints: Folder in which trainings are kept; None for nowhere.
        on_progress: Told the name of the edits of a network, and how far its training is. The time left is
            that of all trainings that are still to come, at the pace so far.
    """

    def __init__(
        self,
        n_steps: int,
        digest: str,
        checkpoints: Path | None,
        on_progress: Callable[[str, LessonProgress], None],
    ) -> None:
        self.n_steps, self.digest, self.checkpoints = n_steps, digest, checkpoints
        self.on_progress = on_progress
        self._states: dict[str, tuple[bytes, int]] = {}
        self._pace = _Pace()
        if checkpoints is not None:
            make_folder(checkpoints)

    def train(
        self, workers: Workers, networks: Sequence[tuple[str, nn.Module]], until: float, rest: float
    ) -> dict[str, ShiftproofError]:
        """Train networks up to a part of the lesson.

        Args:
            workers: They have the case.
            networks: The edits in words, those around a network left out, and the network.
            until: The part, in [0, 1].
            rest: What is to be trained after this, in whole lessons of one network.

        Returns:
            By edits, what ended the training.
        """
        last, firsts = round(until * self.n_steps), dict[str, nn.Module]()
        for edits, network in networks:
            firsts.setdefault(edits, network)
        states = {edits: self._states.get(edits) for edits in firsts}
        steps = {edits: 0 if state is None else state[1] for edits, state in states.items()}
        self._pace.start(steps, last, rest * self.n_steps)
        tasks = [
            partial(
                _advanced,
                edits=edits,
                network=_on_cpu(network),
                before=states[edits],
                last=last,
                checkpoint=self._file(edits, last),
                n_threads=torch.get_num_threads(),
            )
            for edits, network in firsts.items()
        ]
        results = dict(zip(firsts, workers.run(tasks), strict=True))
        self._pace.stop(last)
        failed = {edits: found for edits, found in results.items() if isinstance(found, ShiftproofError)}
        for error in failed.values():
            if isinstance(error, Stopped):
                raise error
        self._states = {edits: (found, last) for edits, found in results.items() if edits not in failed}
        for edits, network in networks:
            if edits not in failed:
                network.load_state_dict(weights_in(load(results[edits])))
        self._keep(last)
        return failed

    def hear(self, event: tuple[str, LessonProgress]) -> None:
        """What a worker sends about how far a training is."""
        edits, progress = event
        left = self._pace.seconds_left(edits, progress.step)
        self.on_progress(edits, replace(progress, seconds_left=left))

    def _keep(self, last: int) -> None:
        """What workers on other machines could not write here."""
        for edits, (content, _) in self._states.items():
            path = self._file(edits, last)
            if path is not None and not path.is_file():
                write_atomically(path, content)

    def _file(self, edits: str, last: int) -> Path | None:
        """One for each part: who goes on sees what was seen before."""
        if self.checkpoints is None:
            return None
        return self.checkpoints / f"{digest_of([self.digest, edits, last])[:16]}.safetensors"


class _Pace:
    """Steps of all trainings by the clock, however many are side by side."""

    def __init__(self) -> None:
        self.seconds, self._steps = 0.0, 0

    def start(self, steps: Mapping[str, int], last: int, later: float) -> None:
        """Trainings that begin at these steps and go up to the last one; after them so many steps more."""
        self._start, self._first, self._last, self._later = time.monotonic(), steps, last, later
        self._at = dict(steps)

    def stop(self, last: int) -> None:
        """They are over."""
        self.seconds += time.monotonic() - self._start
        self._steps += sum(last - first for first in self._first.values())

    def seconds_left(self, edits: str, step: int) -> float:
        """When all is done, now that one is at a step."""
        self._at[edits] = step
        seconds = self.seconds + time.monotonic() - self._start
        steps = self._steps + sum(at - self._first[name] for name, at in self._at.items())
        left = sum(self._last - at for at in self._at.values()) + self._later
        return seconds / max(1, steps) * left


def _on_cpu(network: nn.Module) -> nn.Module:
    """The same, in a copy where it is somewhere else: another process may not have that device."""
    if all(tensor.device.type == "cpu" for tensor in (*network.parameters(), *network.buffers())):
        return network
    with explained("a copy of the model"):
        return copy.deepcopy(network).cpu()


# --- by a worker ---------------------------------------------------------------------------------


def _advanced(
    case: Case,
    channel: Channel,
    *,
    edits: str,
    network: nn.Module,
    before: tuple[bytes, int] | None,
    last: int,
    checkpoint: Path | None,
    n_threads: int,
) -> bytes:
    """The state of a student after a step."""
    assert case.teaching is not None, "there is something to learn"
    if checkpoint is not None:
        make_folder(checkpoint.parent)  # of a worker on another machine
    with _threads(n_threads):
        student = Student(network.to(case.teaching.device), case.teaching)
        if before is not None:
            student.go_on_from(*before)
        student.advance(
            last,
            checkpoint=checkpoint,
            on_progress=lambda progress: channel.send((edits, progress)),
            check_stop=channel.check_stop,
        )
        return student.state()


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """As many as where the command was given: they decide how sums are split, and so the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
