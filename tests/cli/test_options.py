"""Options mean the same in every command, since each is defined once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import typer

from shiftproof.cli._app import app
from shiftproof.cli._options import ModelOptions, ReadingOptions, Shown


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


def spellings(command: Any, name: str) -> tuple[tuple[str, ...], str, Any]:
    (found,) = (option for option in command.params if option.name == name)
    return (*found.opts, *found.secondary_opts), found.help, found.default


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json_and_can_be_quiet(name: str) -> None:
    spelled = {spelling for field in fields(Shown) for spelling in spellings(COMMANDS[name], field.name)[0]}
    assert spelled == {"--json", "--quiet", "-q"}


def test_what_loads_a_model_knows_all_that_can_be_said_of_it() -> None:
    loading = [name for name, command in COMMANDS.items() if any(p.name == "model" for p in command.params)]
    assert {"audit", "explain", "certify"} <= set(loading)
    for field in (*fields(ModelOptions), *fields(ReadingOptions)):
        found = {spellings(COMMANDS[name], field.name) for name in loading}
        assert len(found) == 1, f"{field.name} differs between {loading}"
