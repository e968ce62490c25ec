"""Above which probability an answer is positive: one number, one for each label, or by the labels' names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shiftproof._text import said
from shiftproof.errors import OptionError

THRESHOLD = 0.5
N_SHOWN = 5

# As it is given.
Threshold = float | Sequence[float] | Mapping[str, float]


def check_threshold(threshold: Threshold) -> None:
    """Nothing where each number can be a threshold.

    Raises:
        OptionError: A number outside [0, 1], or none at all.
    """
    numbers = numbers_of(threshold)
    if not numbers:
        raise OptionError("a threshold, or one for each label", "none")
    for number in numbers:
        if not 0 <= number <= 1:
            raise OptionError(
                "a threshold from 0 to 1",
                number,
                cause="It is compared with the probability, also where the model answers with logits.",
                fix="For a logit z, give 1 / (1 + exp(-z)).",
            )


def numbers_of(threshold: Threshold) -> tuple[float, ...]:
    """All numbers of it.

    Raises:
        OptionError: Anything else among them.
    """
    if isinstance(threshold, str | bytes):
        raise OptionError("numbers as thresholds", repr(threshold))
    try:
        if isinstance(threshold, Mapping):
            return tuple(map(float, threshold.values()))
        if isinstance(threshold, float | int):
            return (float(threshold),)
        return tuple(map(float, threshold))
    except (TypeError, ValueError) as error:
        raise OptionError("numbers as thresholds", said(str(threshold), 100)) from error


def thresholds_of_labels(
    threshold: Threshold | None, n_outputs: int, names: Sequence[str] = ()
) -> float | tuple[float, ...]:
    """One number for all labels, or one for each in the order of the outputs.

    Args:
        threshold: As it was given; None: 0.5.
        n_outputs: How many numbers the model answers with.
        names: Of the labels, in the order of the outputs; where they are not known, their numbers from 0.

    Raises:
        OptionError: Not as many as there are outputs, or not for these labels.

    Example:
        >>> thresholds_of_labels({"dog": 0.3, "cat": 0.6}, 2, ("cat", "dog"))
        (0.6, 0.3)
        >>> thresholds_of_labels([0.4], 1)
        0.4
    """
    if threshold is None:
        return THRESHOLD
    if isinstance(threshold, Mapping):
        return _by_name(threshold, tuple(names) or tuple(map(str, range(n_outputs))))
    numbers = numbers_of(threshold)
    if isinstance(threshold, float | int) or len(numbers) == n_outputs == 1:
        return numbers[0]
    if len(numbers) != n_outputs:
        raise OptionError(
            "one threshold, as the model answers with one number"
            if n_outputs == 1
            else f"one threshold, or one for each of the {n_outputs} numbers that the model answers with",
            f"{len(numbers)}",
        )
    return numbers


def _by_name(threshold: Mapping[str, float], names: tuple[str, ...]) -> tuple[float, ...]:
    unknown = [name for name in threshold if name not in names]
    absent = [name for name in names if name not in threshold]
    if unknown or absent:
        raise OptionError(
            f"a threshold for each of the {len(names)} labels of the model",
            f"one for {_shown(unknown)}, which is none of them" if unknown else f"none for {_shown(absent)}",
            cause=f"They are {_shown(names)}." if unknown else "",
            fix="Name the model's labels, with `--class-names FILE` if it does not know them."
            if unknown
            else "Name every label once.",
        )
    return tuple(float(threshold[name]) for name in names)


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - N_SHOWN} more" if len(names) > N_SHOWN else ""
    return ", ".join(repr(said(name, 50)) for name in names[:N_SHOWN]) + more


def shown_threshold(threshold: Threshold) -> str:
    """For a message."""
    return ", ".join(f"{number:g}" for number in numbers_of(threshold)[:N_SHOWN])


def in_outputs(threshold: float) -> float:
    """The logit of a probability; infinite at 0 and 1.

    Example:
        >>> in_outputs(0.5), in_outputs(1)
        (0.0, inf)
    """
    if threshold in (0, 1):
        return math.inf if threshold else -math.inf
    return math.log(threshold) - math.log1p(-threshold)
