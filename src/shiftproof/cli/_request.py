"""What the commands that load a model share: their options as one request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from shiftproof._text import said
from shiftproof.cli._key_value import key_and_value

if TYPE_CHECKING:
    from shiftproof.adapters import ModelRequest
    from shiftproof.data import Reading, Window


def model_request(
    *,
    trust: bool,
    weights: Path | None,
    model_arg: Sequence[str] | None,
    mean: str | None,
    std: str | None,
    scale: float | None,
    size: str | None,
    resize: int | None,
    channels: int | None,
    channels_last: bool | None,
    logits: str | None,
    untrained: bool,
    class_names: Path | None = None,
) -> ModelRequest:
    """The request that the options of `_audit_options` make.

    Raises:
        BadParameter: A number or a size that is none.
        DataError: A file of class names that cannot be read.
    """
    from shiftproof.adapters import ModelRequest

    return ModelRequest(
        trust=trust,
        weights=weights,
        arguments=dict(key_and_value(text, "--model-arg") for text in model_arg or ()),
        mean=_numbers(mean, "--mean"),
        std=_numbers(std, "--std"),
        scale=scale,
        size_px=_size(size),
        resize_px=resize,
        channels=channels,
        channels_last=channels_last,
        logits=int(logits) if logits and re.fullmatch(r"-?\d{1,9}", logits) else logits,
        class_names=_lines(class_names),
        untrained=untrained,
    )


def reading_request(
    *, root: Path | None, path_column: str | None, label_column: str | None, window: str | None
) -> Reading:
    """How images are read, by the options of `_audit_options`.

    Raises:
        BadParameter: A number that is none.
        OptionError: A window that is none.
    """
    from shiftproof.data import Reading

    numbers = _numbers(window, "--window")
    return Reading(root, path_column, label_column, cast("Window | None", numbers))


def _numbers(text: str | None, name: str) -> tuple[float, ...] | None:
    return None if text is None else tuple(_parsed(float, part, name) for part in text.split(","))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, x, width = text.lower().partition("x")
    return _parsed(int, height, "--size"), _parsed(int, width if x else height, "--size")


def _parsed(kind: Callable[[str], Any], text: str, name: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise typer.BadParameter(f"{said(text, 100)!r} is no number", param_hint=name) from None


def _lines(path: Path | None) -> tuple[str, ...] | None:
    from shiftproof._inputs import Most, read_text
    from shiftproof.errors import DataError

    if path is None:
        return None
    try:
        text = read_text(path, Most.CODE)
    except OSError as error:
        raise DataError(f"a text file with class names in {path.name!r}", error.strerror or error) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise DataError(f"a class name in each line of {path.name!r}", "none")
    return names
