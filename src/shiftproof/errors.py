"""What can go wrong: what was expected and what came, or what was tried and what happened; why; what to do.

Every error that a user can cause is a `ShiftproofError`; the command line turns it into one
message on stderr and exit code 2. Each class also is the builtin that a caller would catch anyway.
"""

from __future__ import annotations

from typing import Self

from shiftproof._text import said

_OF_A_VALUE, _OF_AN_EVENT = "expected {}, got {}", "cannot {}: {}"


class ShiftproofError(Exception):
    """An error with the shape `Expected <what>, got <value>. <cause> <fix>`.

    What happened, and is no value that somebody gave, is told by `cannot`.

    Each part may hold names and messages from elsewhere: it is made harmless here, for wherever it is shown.

    Args:
        expected: What would have been right, as a noun phrase.
        got: What came instead; shown with `str`, so pass `repr(name)` for a name.
        cause: One sentence on the likely cause.
        fix: One sentence with the exact remedy.

    Example:
        >>> raise ShapeError("`images` of shape (N, C, H, W)", (28, 28), fix="Add two axes.")
        Traceback (most recent call last):
            ...
        shiftproof.errors.ShapeError: Expected `images` of shape (N, C, H, W), got (28, 28). Add two axes.
    """

    def __init__(
        self, expected: str, got: object, *, cause: str = "", fix: str = "", shape: str = _OF_A_VALUE
    ) -> None:
        self.expected, self.got, self.cause, self.fix = map(said, (expected, got, cause, fix))
        self.shape = shape
        first = f"{self.what[0].upper()}{self.what[1:]}."
        super().__init__(" ".join(filter(None, [first, self.cause, self.fix])))

    @classmethod
    def cannot(cls, do: str, happened: object, *, cause: str = "", fix: str = "") -> Self:
        """An error with the shape `Cannot <do what>: <what happened>. <cause> <fix>`.

        Args:
            do: What was tried, as a verb in its plain form; `expected` of the error.
            happened: What came of it, such as what the system said; `got` of the error.
            cause: One sentence on the likely cause.
            fix: One sentence with the exact remedy.

        Example:
            >>> raise OutputError.cannot("write 'report.json'", "No space left on device", fix="Make room.")
            Traceback (most recent call last):
                ...
            shiftproof.errors.OutputError: Cannot write 'report.json': No space left on device. Make room.
        """
        return cls(do, happened, cause=cause, fix=fix, shape=_OF_AN_EVENT)

    @property
    def what(self) -> str:
        """What is wrong, without cause and fix, to stand within another sentence."""
        return self.shape.format(self.expected, self.got)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from `args` by default, which holds the finished sentence only.
        return _rebuild, (type(self), self.expected, self.got, self.cause, self.fix, self.shape)


def _rebuild(
    kind: type[ShiftproofError], expected: str, got: object, cause: str, fix: str, shape: str
) -> ShiftproofError:
    return kind(expected, got, cause=cause, fix=fix, shape=shape)


class ShapeError(ShiftproofError, ValueError):
    """A tensor has the wrong number of axes or the wrong size."""


class OptionError(ShiftproofError, ValueError):
    """An argument has a value that is not among the legal ones."""


class UnknownNameError(ShiftproofError, LookupError):
    """A name is not in its registry."""


class ConfigError(ShiftproofError, ValueError):
    """A study or configuration file says something that has no meaning."""


class DataError(ShiftproofError, ValueError):
    """A data file is missing, damaged or not what it claims to be."""


class CheckpointError(ShiftproofError, ValueError):
    """A checkpoint does not fit what it is loaded into, or is damaged."""


class ModelError(ShiftproofError, ValueError):
    """A model cannot be loaded, needs trust to be run, or answers with something that is no answer."""


class TrainingError(ShiftproofError, ArithmeticError):
    """Training cannot go on, for example because the loss is not a number."""


class ComparisonError(ShiftproofError, ValueError):
    """Two records were put together that do not belong together."""


class GateError(ShiftproofError, AssertionError):
    """A demand on what was measured is not met, or cannot be decided."""


class OutputError(ShiftproofError, OSError):
    """A result cannot be written where it should go."""


class MissingDependencyError(ShiftproofError, ImportError):
    """An optional package is needed and is absent or broken."""


class WorkerError(ShiftproofError, RuntimeError):
    """A process that computed for us is gone."""


class Stopped(ShiftproofError):
    """Work was asked to stop, and stopped at a point from which it can go on."""
