"""Options that commands share, as what the library asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from shiftproof._text import said
from shiftproof.cli._key_value import key_and_value
from shiftproof.cli._options import EngineOptions, ModelOptions, ReadingOptions
from shiftproof.cli._thresholds import read_thresholds

if TYPE_CHECKING:
    import torch

    from shiftproof.adapters import ModelRequest
    from shiftproof.data import Reading, Window
    from shiftproof.engine import Engine


def model_request(given: ModelOptions) -> ModelRequest:
    """The request that the options of a command make.

    Raises:
        BadParameter: A number or a size that is none.
        DataError: A file of class names that cannot be read.
    """
    from shiftproof.adapters import ModelRequest

    logits = given.logits
    return ModelRequest(
        trust=given.trust,
        weights=given.weights,
        arguments=dict(key_and_value(text, "--model-arg") for text in given.model_arg or ()),
        mean=_numbers(given.mean, "--mean"),
        std=_numbers(given.std, "--std"),
        scale=given.scale,
        size_px=_size(given.size),
        resize_px=given.resize,
        fit=given.fit,  # type: ignore[arg-type]  # whatever is made of it checks its name
        fill=_bytes(given.fill),
        channels=given.channels,
        bgr=given.bgr,
        channels_last=given.channels_last,
        logits=int(logits) if logits and re.fullmatch(r"-?\d{1,9}", logits) else logits,
        class_names=_lines(given.class_names),
        task=given.task,  # type: ignore[arg-type]  # as above
        outputs=given.outputs,  # type: ignore[arg-type]  # as above
        threshold=None if given.threshold is None else read_thresholds(given.threshold),
        untrained=given.untrained,
    )


def reading_request(given: ReadingOptions) -> Reading:
    """How images are read, by the options of a command.

    Raises:
        BadParameter: A number that is none.
        OptionError: A window that is none.
    """
    from shiftproof.data import Reading

    window = cast("Window | None", _numbers(given.window, "--window"))
    return Reading(given.root, given.path_column, given.label_column, window)


def engine_request(given: EngineOptions, devices: Sequence[torch.device], workers: int | None) -> Engine:
    """Where networks are trained, one at a time by each worker, by the options of a command.

    Raises:
        UnknownNameError: No such engine.
        OptionError: An address that is none, or options that do not go together.
        WorkerError: No cluster at the address.
    """
    from shiftproof._threads import available_cores
    from shiftproof.engine import check_there, parse_engine

    names = [str(device) for device in devices]
    if given.engine == "local" and names == ["cpu"]:
        workers = workers or available_cores()
    engine = parse_engine(given.engine, devices=names, workers=workers, gpus=given.gpus_per_worker)
    check_there(engine)
    return engine


def _numbers(text: str | None, name: str) -> tuple[float, ...] | None:
    return None if text is None else tuple(_parsed(float, part, name) for part in text.split(","))


def _bytes(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(_parsed(int, part, "--fill") for part in text.split(","))


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
        raise DataError.cannot(f"read class names in {path.name!r}", error.strerror or error) from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise DataError(f"a class name in each line of {path.name!r}", "none")
    return names
