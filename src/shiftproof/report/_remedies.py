"""Which rows are better than what they are meant to improve on, and which are not: computed sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from shiftproof.records import ColumnRecord, Estimate, StudyRecord
from shiftproof.report._numbers import change, unit_of_change

Verdict = Literal["better", "not shown to be", "worse"]
LEADS: dict[Verdict, str] = {
    "better": "better than the base",
    "not shown to be": "NOT shown to be better than the base",
    "worse": "WORSE than the base",
}
VERDICTS: tuple[Verdict, ...] = tuple(LEADS)


def verdict(difference: Estimate, column: ColumnRecord) -> Verdict:
    """What an interval of a difference says; nothing where it holds 0.

    An interval that only touches 0 holds it.
    """
    low, high = difference.low, difference.high
    if not column.higher_is_better:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "not shown to be"


def remedies_in_brief(record: StudyRecord) -> list[str]:
    """For each column that judges one sentence: how many rows are better than their base."""
    sentences = []
    for index, column in enumerate(record.columns):
        found = [verdict(difference, column) for _, _, difference in _judged(record, index)]
        if found:
            others = [f"{found.count(v)} {v}" for v in VERDICTS[1:] if v in found]
            better = f"{found.count('better')} of {len(found)} remedies better than their base"
            sentences.append(f"{column.title}: {', '.join([better, *others])}.")
    return sentences


def remedies_in_full(record: StudyRecord) -> list[str]:
    """For each column that judges: every row that is not better than its base, by how much, and the others.

    The sentences are computed from differences, paired by image, and their 95 % intervals.
    """
    sentences = []
    for index, column in enumerate(record.columns):
        judged = list(_judged(record, index))
        for kind in reversed(VERDICTS):
            rows = [_in_words(*each) for each in judged if verdict(each[2], column) == kind]
            if rows:
                sentences.append(f"{column.title}, {LEADS[kind]}: {'; '.join(rows)}.")
    return sentences


def _judged(record: StudyRecord, index: int) -> Iterator[tuple[str, str, Estimate]]:
    """Row, base and difference for a column."""
    for row in record.rows:
        for each in row.against.differences if row.against else ():
            if each.column == index and isinstance(each.found, Estimate):
                assert row.against is not None
                yield row.name, row.against.base, each.found


def _in_words(name: str, base: str, difference: Estimate) -> str:
    unit = difference.unit
    value, low, high = (change(end, unit) for end in (difference.value, difference.low, difference.high))
    return f"{name} beside {base} {value} {unit_of_change(unit)} ({low} to {high})"
