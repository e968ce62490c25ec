"""Thresholds as they stand on a command line, or in a file with one for each label."""

from __future__ import annotations

import csv
from pathlib import Path

HEADER = ["label", "threshold"]


def read_thresholds(text: str) -> float | tuple[float, ...] | dict[str, float]:
    """One number, several with commas between them, or those of a file by the names of the labels.

    Raises:
        OptionError: Neither numbers nor a file, or a file with other lines.

    Example:
        >>> read_thresholds("0.3"), read_thresholds("0.5, 0.25")
        (0.3, (0.5, 0.25))
    """
    from shiftproof._inputs import Most, read_text
    from shiftproof._text import said
    from shiftproof.errors import OptionError

    try:
        numbers = tuple(float(part) for part in text.split(","))
        return numbers if len(numbers) > 1 else numbers[0]
    except ValueError:
        path = Path(text)
    try:
        lines = read_text(path, Most.CODE).removeprefix("\ufeff").splitlines()
    except (OSError, ValueError) as error:  # a name with a null byte
        raise OptionError(
            "a threshold, one for each label with commas between them, or a CSV file, for --threshold",
            repr(said(text, 100)),
            cause=f"It is no number, and cannot be read as a file ({getattr(error, 'strerror', error)}).",
            fix="For example --threshold 0.3, --threshold 0.5,0.3 or --threshold FILE.csv.",
        ) from error
    return _of_lines(lines, path.name)


def _of_lines(lines: list[str], name: str) -> dict[str, float]:
    from shiftproof._text import said
    from shiftproof.errors import OptionError

    found: dict[str, float] = {}
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True), start=1):
        if not row or (number == 1 and [cell.strip().lower() for cell in row] == HEADER):
            continue
        try:
            label, threshold = row[0].strip(), float(row[1])
            fits = len(row) == len(HEADER) and label not in found
        except (ValueError, IndexError):
            fits = False
        if not fits:
            raise OptionError(
                f"a label of its own and a number in line {number} of {name!r}",
                repr(said(",".join(row), 100)),
                fix="Write lines such as cat,0.3 under the header label,threshold.",
            )
        found[label] = threshold
    if not found:
        raise OptionError(f"lines such as cat,0.3 in {name!r}", "none")
    return found
