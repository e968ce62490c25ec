"""Files that an ONNX model names for its weights, found without the `onnx` package, and kept in its folder.

ONNX files are protocol buffers. Only the few fields that lead to a tensor's `external_data`, and to the sizes
of an input, are followed;
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from shiftproof.errors import ModelError

# For each message the fields that hold messages on the way to a tensor, or to the size of an input.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _TRAINING, _ENTRY = range(9)
_INPUT, _TYPE, _TENSOR_TYPE, _SHAPE, _SIZE = range(9, 14)
_LEADS_TO = {
    _MODEL: {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 11: _INPUT, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _TENSOR: {13: _ENTRY},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _ENTRY: {},
    _INPUT: {2: _TYPE},
    _TYPE: {1: _TENSOR_TYPE},
    _TENSOR_TYPE: {2: _SHAPE},
    _SHAPE: {1: _SIZE},
    _SIZE: {},
}
_KEY, _VALUE = 1, 2
_VALUE_OF_SIZE = 1
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
# A network of a hundred thousand nodes has a few million fields on the way to its tensors.
MAX_FIELDS = 20_000_000


class _Field(NamedTuple):
    number: int
    content: memoryview
    value: int | None = None


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
        raise ModelError.cannot(
            "read the model as ONNX", error, cause="The file is damaged or of another format."
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
    for field in fields(message, budget):
        if field.value is not None:
            _check_size(kind, field)
            continue
        inner = _LEADS_TO[kind].get(field.number)
        if inner is not None:
            yield from _locations(field.content, inner, budget)
        elif kind == _ENTRY:
            entry[field.number] = str(field.content, "utf-8")
    if entry.get(_KEY) == "location":
        yield entry.get(_VALUE, "")


def _check_size(kind: int, field: _Field) -> None:
    """Sizes of an input are 64 bits with a sign; −1 is how some exporters write a free one."""
    size = (field.value or 0) - 2**64
    if kind == _SIZE and field.number == _VALUE_OF_SIZE and -(2**63) <= size < -1:
        raise ValueError(f"an input with a size of {size}")


def fields(message: memoryview, budget: Iterator[int]) -> Iterator[_Field]:
    """Fields with a content or a number of their own. Each field takes one from the budget."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if tag >> 3 == 0:
            raise ValueError(f"field 0 at byte {at}")
        if next(budget, None) is None:
            raise ValueError(f"more than {MAX_FIELDS:,} fields")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield _Field(tag >> 3, message[:0], value)
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
