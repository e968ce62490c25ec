"""What comes from elsewhere does nothing in a terminal, and is no command to whatever runs builds."""

from __future__ import annotations

import io
import json
import warnings

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from shiftproof.cli._console import PlainConsole
from shiftproof.cli._output import Exit, guarded, print_json
from shiftproof.cli._prints import Prints, warnings_to
from shiftproof.errors import DataError

HOSTILE = "a\x1b[2Jb\x9b31mcd\u202ee\ud800f[red]g[/nothing]h:smile:i"
HARMLESS = "a�[2Jb�31mcd�e�f[red]g[/nothing]h:smile:i"


def shown(*things: object, width: int = 80) -> str:
    console = PlainConsole()
    console.file, console.width = io.StringIO(), width
    for thing in things:
        console.print(thing)
    return console.file.getvalue()


def test_text_is_printed_as_it_is_but_for_what_does_something() -> None:
    assert shown(HOSTILE) == f"{HARMLESS}\n"
    assert shown(Text(HOSTILE)) == f"{HARMLESS}\n"
    table = Table()
    table.add_column("name")
    table.add_row(HOSTILE)
    assert HARMLESS in shown(table)


def test_colours_of_our_own_are_kept_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert shown(Text("bold \x1b[2J", style="bold")) == "\x1b[1mbold �[2J\x1b[0m\n"


@pytest.mark.parametrize("text", ["::error::x", "a\n  ::set-output name=b::c", "aaaa ::warning::x"])
def test_no_line_is_a_command_wherever_it_is_wrapped(text: str) -> None:
    for width in range(4, 40):
        lines = shown(text, width=width).splitlines()
        assert not [line for line in lines if line.lstrip().startswith("::")]
    assert "##[" not in shown("a ##[error]b ##vso[task]c")


def test_a_progress_bar_takes_brackets_for_brackets() -> None:
    console = PlainConsole()
    console.file = io.StringIO()
    with Progress(TextColumn("{task.description}", markup=False), console=console) as progress:
        progress.add_task("[/red] [bold]x", total=1)
    assert "[/red] [bold]x" in console.file.getvalue()


def test_json_on_stdout_holds_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(json.dumps({"name": HOSTILE}, ensure_ascii=False))
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == {"name": HOSTILE}


def test_an_error_is_one_short_harmless_line() -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise SystemExit(0)

    error = DataError(f"a file {HOSTILE}", "x" * 100_000, cause="two\nlines")
    assert str(error) == (
        f"Expected a file {HARMLESS}, got {'x' * 500} … (100,000 characters) … {'x' * 500}. two lines"
    )
    assert str(DataError("a", Unprintable())) == "Expected a, got an Unprintable that cannot be printed."
    assert str(DataError("a", 10**5000)) == "Expected a, got an int that cannot be printed."


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (SystemExit(0), Exit.ERROR),
        (SystemExit("bye"), Exit.ERROR),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (GeneratorExit(), Exit.INTERNAL_ERROR),
        (DataError("a", "b"), Exit.ERROR),
    ],
    ids=repr,
)
def test_nothing_leaves_a_command_by_another_door(raised: BaseException, code: Exit) -> None:
    def command() -> None:
        raise raised

    assert guarded(command) == code


def printed(*texts: str) -> str:
    stream = io.StringIO()
    prints = Prints(stream)
    for text in texts:
        prints.write(text)
        prints.flush()
    prints.close()
    assert not stream.closed
    return stream.getvalue()


def test_prints_of_models_are_harmless_and_whole() -> None:
    assert printed("a\n", "b", "c\n", "\n", "d") == "a\nbc\n\nd"
    assert printed("10 %\r20 %\r\n") == "10 %\n20 %\n"
    assert printed(HOSTILE, "\n") == f"{HARMLESS}\n"


def test_no_print_becomes_a_command_by_being_cut() -> None:
    for text in ("::error::x\n", "  ::error::x\n", "a\r::error::x\n", "##[error]x\n", "a\n::error::x"):
        for cut in range(len(text)):
            for line in printed(text[:cut], text[cut:]).splitlines():
                assert not line.lstrip().startswith("::")
                assert "##[" not in line
        assert "::error::" not in [line.lstrip()[:9] for line in printed(*text).splitlines()]


def test_what_is_no_beginning_is_left_alone() -> None:
    assert printed("std", "::vector") == "std::vector"


def test_a_warning_is_one_line() -> None:
    shown: list[str] = []
    with warnings.catch_warnings(), warnings_to(shown.append):
        warnings.simplefilter("always")
        warnings.warn(f"a\n{HOSTILE}", stacklevel=1)
    assert shown == [f"Warning: a {HARMLESS}"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes"),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
    ids=repr,
)
def test_too_little_memory_is_no_defect(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise error

    assert guarded(command) == Exit.ERROR
    assert "Cannot go on without more memory" in capsys.readouterr().err
