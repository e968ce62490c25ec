"""Progress on stderr: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from shiftproof.audits import AuditProgress
    from shiftproof.study import Watcher
    from shiftproof.train import Progress as TrainingProgress


@contextmanager
def watching(console: Console, *, quiet: bool = False) -> Iterator[Watcher | None]:
    """A watcher for this console, or none if nothing is to be shown."""
    if quiet:
        yield None
    elif console.is_terminal:
        with _bars(console) as progress:
            yield Bars(progress)
    else:
        yield Lines(console)


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=6),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
        console=console,
    )


class Bars:
    """One bar per network in training."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.lock = threading.Lock()

    def training(self, label: str, progress: TrainingProgress) -> None:
        with self.lock:
            if label not in self.tasks:
                self.tasks[label] = self.progress.add_task(label, total=progress.n_images_total, figures="")
        figures = (
            f"{progress.epoch}/{progress.epochs}  loss {progress.loss:#.3g}  "
            f"acc {progress.accuracy:.3f}  {progress.images_per_s:,.0f} img/s"
        )
        self.progress.update(self.tasks[label], completed=progress.n_images, figures=figures)

    def finished(self, label: str) -> None:
        if label in self.tasks:
            self.progress.remove_task(self.tasks[label])
        self.progress.console.print(f"{label}: trained and measured")


class Lines:
    """One line per epoch, for logs."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def training(self, label: str, progress: TrainingProgress) -> None:
        if progress.epoch_done:
            self.console.print(
                f"{label}: epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.4f}, "
                f"accuracy {progress.accuracy:.4f}, {progress.images_per_s:,.0f} images/s, "
                f"{progress.seconds_left:,.0f} s left",
                soft_wrap=True,
            )

    def finished(self, label: str) -> None:
        self.console.print(f"{label}: trained and measured", soft_wrap=True)


@contextmanager
def auditing(console: Console, *, quiet: bool = False) -> Iterator[Callable[[AuditProgress], None]]:
    """Shows how far an audit is: one bar per protocol in a terminal, a line per shard elsewhere."""
    if quiet:
        yield lambda progress: None
    elif console.is_terminal:
        with _bars(console) as bars:
            tasks: dict[str, TaskID] = {}

            def draw(progress: AuditProgress) -> None:
                if progress.protocol not in tasks:
                    tasks[progress.protocol] = bars.add_task(
                        progress.protocol, total=progress.n_images_total, figures=""
                    )
                bars.update(tasks[progress.protocol], completed=progress.n_images, figures=_rate(progress))

            yield draw
    else:
        yield lambda progress: console.print(
            f"{progress.protocol}: {progress.n_images:,} of {progress.n_images_total:,} images, "
            f"{_rate(progress)}",
            soft_wrap=True,
        )


def _rate(progress: AuditProgress) -> str:
    views = progress.n_images * progress.n_shifts
    return f"{views / max(progress.seconds, 1e-9):,.0f} views/s"
