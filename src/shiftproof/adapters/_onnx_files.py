"""Files that an ONNX model names for its weights, found without the `onnx` package, and kept in its folder.

ONNX files are protocol buffers. Only the few fields that lead to a tensor's `external_data` are followed;
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from shiftproof.errors import ModelError

# For each message the fields that hold messages on the way to a tensor.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING, _ENTRY = range(9)
_LEADS_TO = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _TENSOR: {13: _ENTRY},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _ENTRY: {},
}
_KEY, _VALUE = 1, 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# A network of a hundred thousand nodes has a few million fields on the way to its tensors.
MAX_FIELDS = 20_000_000


class _Field(NamedTuple):
    number: int
    content: memoryview


def external_files(model: bytes, folder: Path) -> tuple[Path, ...]:
    """The files beside a model that hold its weights.

    Args:
        model: Content of the `.onnx` file.
        folder: Where it lies.

    Returns:
        Existing files in that folder or below, each once, in the order of their names.

    Raises:
        ModelError: The content is no protocol buffer, or it names a file that is absolute, lies outside,
            is a symbolic link or is not there.
    """
    try:
        places = set(_locations(memoryview(model), _MODEL, iter(range(MAX_FIELDS))))
    except (ValueError, IndexError, RecursionError) as error:
        raise ModelError(
            "an ONNX file", f"something else ({error})", cause="The file is damaged or of another format."
        ) from error
    return tuple(_checked(place, folder) for place in sorted(places))


def _checked(place: str, folder: Path) -> Path:
    parts = PurePosixPath(place.replace("\\", "/")).parts
    leaves = PurePosixPath(place).is_absolute() or PureWindowsPath(place).anchor or ".." in parts
    steps = [folder.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    if leaves or not steps or any(step.is_symlink() for step in steps) or not steps[-1].is_file():
        raise ModelError(
            "weights in files inside the model's folder",
            repr(place),
            cause="A model that names other files could read them.",
            fix="Export it with its weights in one file.",
        )
    return steps[-1]


def _locations(message: memoryview, kind: int, budget: Iterator[int]) -> Iterator[str]:
    """Values of all entries "location" of external data anywhere in a message."""
    entry: dict[int, str] = {}
    for field in _fields(message, budget):
        inner = _LEADS_TO[kind].get(field.number)
        if inner is not None:
            yield from _locations(field.content, inner, budget)
        elif kind == _ENTRY:
            entry[field.number] = str(field.content, "utf-8")
    if entry.get(_KEY) == "location":
        yield entry.get(_VALUE, "")


def _fields(message: memoryview, budget: Iterator[int]) -> Iterator[_Field]:
    """Fields with a content of their own; numbers are skipped. Each field takes one from the budget."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if tag >> 3 == 0:
            raise ValueError(f"field 0 at byte {at}")
        if next(budget, None) is None:
            raise ValueError(f"more than {MAX_FIELDS:,} fields")
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        elif kind == _LENGTH:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("it ends too early")
            yield _Field(tag >> 3, message[at : at + size])
            at += size
        else:
            raise ValueError(f"field of type {kind} at byte {at}")
    if at != len(message):
        raise ValueError("it ends too early")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    value = 0
    for n_bits in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << n_bits
        if byte < 128:
            return value, at
    raise ValueError("a number without an end")
