"""What other libraries, and code of the user, raise: as one sentence instead of a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from shiftproof._text import said, shortened
from shiftproof.errors import ModelError, ShiftproofError, UnknownNameError

_MAX_CHARACTERS = 300
_MAX_CHAIN = 20


@contextmanager
def explained(
    do: str,
    *,
    cause: str = "",
    fix: str = "",
    but: Callable[[BaseException], bool] = lambda error: False,
) -> Iterator[None]:
    """The wall around code of others: whatever is raised inside leaves as a `ModelError` with its message.

    That includes what is no `Exception`: a model that ends the program has not passed a gate. Errors of ours
    go through, and so does Ctrl-C.

    Args:
        do: What is tried, as in `ShiftproofError.cannot`.
        cause: The likely cause.
        fix: The remedy.
        but: What else goes through.

    Example:
        >>> with explained("read the number", fix="Write one."):
        ...     float("x")
        Traceback (most recent call last):
            ...
        shiftproof.errors.ModelError: Cannot read the number: ValueError: could not convert string to float:
        'x'. Write one.
    """
    try:
        yield
    except ShiftproofError:
        raise
    except BaseException as error:
        happened = of_others(error)
        if but(error):
            raise
        raise ModelError.cannot(do, happened, cause=cause, fix=fix) from error


def of_others(error: BaseException) -> str:
    """One line on what code of others raised, for whoever goes on without it.

    Raises:
        KeyboardInterrupt: It is Ctrl-C, or what the code made of it.

    Example:
        >>> of_others(SystemExit(0))
        'SystemExit: 0'
    """
    seen: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if isinstance(seen, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        seen = None if seen is None else seen.__cause__ or seen.__context__
    return in_one_line(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
        True
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = said(error).lower() if isinstance(error, RuntimeError) else ""
    return "allocate memory" in text or "out of memory" in text


def too_little_memory() -> ModelError:
    """The error for a model that runs out of memory even for a single image."""
    return ModelError.cannot(
        "run the model on one image at a time",
        "too little memory",
        fix="Use a smaller model or image, or another device.",
    )


def building(reference: str) -> AbstractContextManager[None]:
    """`explained` for a model that a library builds, and whose published weights it downloads."""
    return explained(
        f"build {reference}",
        cause="Its weights cannot be downloaded, or its arguments do not fit.",
        fix="Check the network and --model-arg; or use --untrained, or --weights FILE.",
    )


def in_one_line(error: BaseException) -> str:
    """Type and first line of an error; the lines below it are details that a user did not ask for.

    Example:
        >>> in_one_line(KeyError("head"))
        "KeyError: 'head'"
    """
    text = said(error.strerror) if isinstance(error, OSError) and error.strerror else _first_line(error)
    kind = type(error).__name__
    return shortened(f"{kind}: {text}".rstrip(".: "), _MAX_CHARACTERS)


def _first_line(error: BaseException) -> str:
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "no message that can be printed"
    return said(lines[0]) if lines else ""


def unknown_model(library: str, name: str, known: Iterable[str], *, listed_by: str) -> UnknownNameError:
    """The error for a name that a library does not have; it has far too many to list them.

    Example:
        >>> print(unknown_model("timm", "resnet81", ["resnet18", "vgg11"], listed_by="timm.list_models()"))
        Expected the name of a timm model, got 'resnet81'. Did you mean 'resnet18'? `timm.list_models()`
        lists all 2.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3)
    return UnknownNameError(
        f"the name of a {library} model",
        repr(name),
        cause=f"Did you mean {' or '.join(map(repr, near))}?" if near else "",
        fix=f"`{listed_by}` lists all {len(known)}.",
    )
