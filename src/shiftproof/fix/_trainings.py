"""The training of all candidates: one student for each edited network, and how long all of it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from shiftproof._digest import digest_of
from shiftproof._files import make_folder
from shiftproof.fix._student import LessonProgress, Student
from shiftproof.fix._teach import Teaching


class Trainings:
    """Trains the networks of candidates in place, each up to a part of the lesson.

    Candidates that differ only in what is around their network have one student: the training is the same.

    Args:
        teaching: Images, and what is right for each of them.
        digest: Of the original; a part of the names of checkpoints.
        checkpoints: Folder in which trainings are kept; None for nowhere.
        on_progress: Told the name of the edits of a network, and how far its training is. The time left is
            that of this training and all that are still to come.
        check_stop: Called before each step; may raise `Stopped`.
    """

    def __init__(
        self,
        teaching: Teaching,
        digest: str,
        checkpoints: Path | None,
        on_progress: Callable[[str, LessonProgress], None],
        check_stop: Callable[[], None],
    ) -> None:
        self.teaching, self.digest, self.checkpoints = teaching, digest, checkpoints
        self.on_progress, self.check_stop = on_progress, check_stop
        self.students: dict[str, Student] = {}
        self.seconds, self.steps = 0.0, 0
        if checkpoints is not None:
            make_folder(checkpoints)

    def train(self, network: nn.Module, edits: str, until: float, rest: float) -> None:
        """Train a network up to a part of the lesson.

        Args:
            network: That of the candidate.
            edits: Its edits, in words; those around it left out.
            until: The part, in [0, 1].
            rest: What is to be trained after this, in whole lessons of one network.
        """
        student = self.students.setdefault(edits, Student(network, self.teaching))
        first, last, start = student.n_done, round(until * self.teaching.n_steps), time.monotonic()

        def report(progress: LessonProgress) -> None:
            steps = self.steps + progress.step - first
            pace = (self.seconds + time.monotonic() - start) / max(1, steps)
            later = pace * rest * self.teaching.n_steps
            self.on_progress(edits, replace(progress, seconds_left=progress.seconds_left + later))

        if first < last:
            student.advance(
                last, checkpoint=self._file(edits, last), on_progress=report, check_stop=self.check_stop
            )
            self.seconds, self.steps = (
                self.seconds + time.monotonic() - start,
                self.steps + student.n_done - first,
            )
        if student.network is not network:
            network.load_state_dict(student.network.state_dict())

    def _file(self, edits: str, last: int) -> Path | None:
        """One for each part: who goes on sees what was seen before."""
        if self.checkpoints is None:
            return None
        return self.checkpoints / f"{digest_of([self.digest, edits, last])[:16]}.safetensors"
