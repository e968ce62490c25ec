"""What a hostile input is, and the materials that most of them are made from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Check = Callable[[Path, str], None]
SMALL = ("--protocol", "grid:1", "--quiet", "--device", "cpu", "--threads", "1")

# Texts that do something to a terminal, to a log, to whatever shows them, or to whoever reads them.
TEXTS = {
    "clears the screen": "a\x1b[2Jb",
    "sets the title": "a\x1b]0;gone\x07b",
    "one-byte escape": "a\x9b31mb",
    "turns the writing": "a\u202eb",
    "GitHub command": "::error::a",
    "indented command": "  ::warning file=a::b",
    "Azure command": "a ##vso[task.complete]b",
    "markup": "[red]a[/red]",
    "unclosed markup": "a[/nothing]b",
    "picture": ":smile: a",
    "HTML": "<script>a</script>",
    "several lines": "a\n::error::b\r\nc",
    "vertical": "a\x0bb\x0cc\x85d\u2028e",
    "no end": "a" * 100_000,
}
# The same as far as they can name a file.
NAMES = {name: text[:200] for name, text in TEXTS.items() if name != "HTML"} | {"no text": "a\udcffb"}


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Args:
        kind: Of what it is one, for the summary.
        name: Unique within its kind.
        make: Writes what it needs into the current folder, which is new, and gives the arguments.
        codes: Exit codes that are right.
        check: Looks at the folder and at what was printed, after that.
        twice: Whether the command is run a second time, with the same result.
    """

    kind: str
    name: str
    make: Callable[[Path], Sequence[str]]
    codes: frozenset[int] = frozenset({2})
    check: Check | None = None
    twice: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}".replace(" ", "_")


Kind = Callable[[], Iterator[Case]]
_kinds: list[Kind] = []


def kind(make: Kind) -> Kind:
    """Register a function that generates cases."""
    _kinds.append(make)
    return make


def all_cases() -> list[Case]:
    """Every case of every kind."""
    return [case for make in _kinds for case in make()]


def few_images(folder: Path) -> str:
    """Four images with labels, the least that can be audited."""
    digits = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.savez(folder / "few.npz", images=digits, labels=np.arange(4))
    return "few.npz"


def audit(model: str, data: str, *more: str) -> list[str]:
    """The arguments of a small audit."""
    return ["audit", model, data, *SMALL, *more]


def of_model(code: str, *more: str, name: str = "model") -> Callable[[Path], Sequence[str]]:
    """An audit of a function or module in a Python file, which is trusted."""

    def make(folder: Path) -> Sequence[str]:
        (folder / "hostile.py").write_text(PRELUDE + code, encoding="utf-8", errors="surrogatepass")
        return audit(f"hostile.py:{name}", few_images(folder), "--trust", *more)

    return make


PRELUDE = """
import os, sys, warnings
import torch
from torch import nn
def honest(x):
    x = x.flatten(1)
    return torch.stack([x.mean(1), x[:, ::2].mean(1), x[:, ::3].std(1), x[:, 7], x[:, 400], x[:, -9]], 1)
"""


@dataclass
class Theirs:
    """Files of somebody else that must stay as they are."""

    folder: Path
    content: dict[Path, bytes] = field(default_factory=dict)

    def write(self, name: str, content: bytes = b"theirs") -> Path:
        """Put one there."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.content[path] = content
        return path

    def check(self) -> None:
        """Fail where one is gone, or another."""
        for path, content in self.content.items():
            assert path.read_bytes() == content, f"{path} is not what it was"


def bytes_name(name: str) -> bytes:
    """A file name as bytes; half of a character is one byte that is no UTF-8."""
    return os.fsencode(name)
