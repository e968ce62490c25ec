"""What an audit or a fix was asked, read from its run directory, so that it can be loaded again."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from shiftproof._documents import read_json, unreadable
from shiftproof._text import said
from shiftproof.cli._audit import audit
from shiftproof.cli._fix import fix
from shiftproof.cli._options import ModelOptions, ReadingOptions
from shiftproof.cli._output import UsageError
from shiftproof.errors import DataError

if TYPE_CHECKING:
    from shiftproof.report import AuditRecord

COMMANDS: Mapping[str, Callable[..., None]] = {"audit": audit, "fix": fix}
G = TypeVar("G")


@dataclass(frozen=True, eq=False)
class RunAgain:
    """An audit or a fix that is over.

    Args:
        record: What an audit found.
        beside: The model that a fix wrote.
        model, data: References.
        described: What was said about the model; trust is never taken from a file.
        files: How the images were read.
        limit, seed, max_bad: Which images.
    """

    record: AuditRecord | None
    beside: tuple[str, ...]
    model: str
    data: str
    described: ModelOptions
    files: ReadingOptions
    limit: int | None
    seed: int
    max_bad: float

    @property
    def radius_px(self) -> int | None:
        """As far as the first protocol of an audit moves images."""
        if self.record is None:
            return None
        return int(max(1, *self.record.protocols[0].reach_px))

    @property
    def begins_at(self) -> str:
        """What an address ends with to show the image that changes most often, where it changes first."""
        if self.record is None:
            return ""
        part = self.record.protocols[0]
        worst = part.worst[0] if part.worst else None
        if worst is None:
            return ""
        dy, dx = worst.flip_offset_px
        border = "zeros" if part.border == "scene" else part.border
        return f"#image={worst.index}&dy={dy:g}&dx={dx:g}&border={border}"

    def check(self, model_digest: str, data_digest: str) -> None:
        """Nothing where model and images are those of an audit; a fixed model checks its original itself.

        Raises:
            DataError: Says which of them is not. The images of moving crops are larger, and not compared.
        """
        if self.record is None:
            return
        found = [("model", self.record.model.digest, model_digest)]
        if self.record.protocols[0].border != "scene":
            found.append(("images", self.record.data.digest, data_digest))
        for what, before, now in found:
            if before != now:
                raise DataError.cannot(
                    "show what the run measured",
                    f"the {what} {'is another one' if what == 'model' else 'are other ones'} now",
                    cause=f"{self.model if what == 'model' else self.data} has changed since.",
                    fix="Name model and data yourself: shiftproof serve MODEL DATA.",
                )


def run_again(folder: Path, *, trust: bool) -> RunAgain:
    """The audit or the fix of a run directory.

    Args:
        folder: The run directory.
        trust: Whether code from the model's file may run.

    Raises:
        DataError: Not the directory of a finished audit or fix that a command started.
    """
    from shiftproof.report import read_audit

    try:
        header = read_json(folder / "run.json")
        record = read_json(folder / "report.json")
        command = shlex.split(header["sessions"][-1]["command"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _no_run(folder, unreadable(error)) from error
    name = command[1] if len(command) > 1 else ""
    if name not in COMMANDS:
        raise _no_run(folder, f"it holds a run of {' '.join(command[:2]) or 'nothing'!r}")
    said_then = _parsed(folder, COMMANDS[name], command[2:])
    return RunAgain(
        record=read_audit(record) if name == "audit" else None,
        beside=(f"fixed:{folder}",) if name == "fix" else (),
        model=said_then["model"],
        data=said_then["data"],
        described=replace(_group(ModelOptions, said_then), trust=trust),
        files=_group(ReadingOptions, said_then),
        limit=said_then["limit"],
        seed=said_then["seed"],
        max_bad=said_then["max_bad"],
    )


def _parsed(folder: Path, command: Callable[..., None], arguments: list[str]) -> dict[str, Any]:
    """The arguments of a command by name, as it would be given them."""
    found: dict[str, Any] = {}

    @functools.wraps(command)
    def remember(**named: Any) -> None:
        found.update(named)

    app = typer.Typer()
    app.command()(remember)
    try:
        app(args=arguments, standalone_mode=False)
    except UsageError as error:
        raise _no_run(folder, f"its command is none ({said(error)})") from error
    if not found:
        raise _no_run(folder, "its command only asks for help")
    return found


def _group(kind: type[G], named: Mapping[str, Any]) -> G:
    return kind(**{each.name: named[each.name] for each in fields(kind)})  # type: ignore[arg-type]


def _no_run(folder: Path, happened: object) -> DataError:
    return DataError.cannot(f"find a finished audit or fix in {str(folder)!r}", happened)
