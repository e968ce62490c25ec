"""What other libraries, and code of the user, raise: as one sentence instead of a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from shiftproof.errors import ModelError, ShiftproofError, UnknownNameError

_MAX_CHARACTERS = 300


@contextmanager
def explained(expected: str, *, cause: str = "", fix: str = "") -> Iterator[None]:
    """Turn whatever is raised inside into a `ModelError` that ends in the last line of the original.

    Args:
        expected: What should have worked, as in `ShiftproofError`.
        cause: The likely cause.
        fix: The remedy.

    Example:
        >>> with explained("a number", fix="Write one."):
        ...     float("x")
        Traceback (most recent call last):
            ...
        shiftproof.errors.ModelError: Expected a number, got ValueError: could not convert string to float:
        'x'. Write one.
    """
    try:
        yield
    except ShiftproofError:
        raise
    except (Exception, SystemExit) as error:  # a script may end itself where a module was meant
        raise ModelError(expected, in_one_line(error), cause=cause, fix=fix) from error


def building(reference: str) -> AbstractContextManager[None]:
    """`explained` for a model that a library builds, and whose published weights it downloads."""
    return explained(
        f"{reference} to be built",
        cause="Its weights cannot be downloaded, or its arguments do not fit.",
        fix="Check the network and --model-arg; or use --untrained, or --weights FILE.",
    )


def in_one_line(error: BaseException) -> str:
    """Type and first line of an error; the lines below it are details that a user did not ask for.

    Example:
        >>> in_one_line(KeyError("head"))
        "KeyError: 'head'"
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = ": ".join([type(error).__name__, *lines[:1]]).rstrip(".")
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}…"


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
