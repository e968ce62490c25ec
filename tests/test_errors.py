"""The two shapes of an error, for every class, here and after the way from another process."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

import shiftproof
from shiftproof import errors
from shiftproof.errors import ShiftproofError

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ShiftproofError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_both_shapes_read_as_they_should_and_survive_pickling(kind: type[ShiftproofError]) -> None:
    value = kind("a size", 0, cause="Nothing is left.", fix="Use 1.")
    event = kind.cannot("write 'a'", "no space", cause="The disk is full.", fix="Make room.")
    for error in (value, pickle.loads(pickle.dumps(value))):
        assert type(error) is kind
        assert str(error) == "Expected a size, got 0. Nothing is left. Use 1."
        assert (error.what, error.fix) == ("expected a size, got 0", "Use 1.")
    for error in (event, pickle.loads(pickle.dumps(event))):
        assert type(error) is kind
        assert str(error) == "Cannot write 'a': no space. The disk is full. Make room."
        assert (error.what, error.fix) == ("cannot write 'a': no space", "Make room.")


def test_names_from_elsewhere_neither_fill_a_shape_nor_a_screen() -> None:
    error = ShiftproofError.cannot("read '{0}'", "\x1b[2J{}")
    assert str(error) == "Cannot read '{0}': �[2J{}."


def test_no_event_is_told_as_a_value() -> None:
    """`Expected to be able to …` is how an event looks in the other shape."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(shiftproof.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")
        if node.args and _begins(node.args[0]).startswith("to ")
    ]
    assert not found


def _begins(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr) and node.values:
        return _begins(node.values[0])
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
