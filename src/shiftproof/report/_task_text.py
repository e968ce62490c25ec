"""What a report says of the kind of answers, and what it shows in the place of classes."""

from __future__ import annotations

from shiftproof._tasks import WORDS, Words
from shiftproof.records import AuditRecord

# What stands beside the agreement in the table against the radius.
N_SHOWN = 8
BESIDE_AGREEMENT = ("accuracy", "average-precision", "cosine")


def words(record: AuditRecord) -> Words:
    """What agreement compares, for sentences."""
    return WORDS[record.task.name]


def is_asked(record: AuditRecord, metric: str) -> bool:
    """Whether a metric has a meaning for answers of this task; of others nothing is said."""
    return record.task.name in record.metrics[metric].tasks


def task_line(record: AuditRecord) -> str:
    """What the answers of the model were read as, and why."""
    task = record.task
    above = (
        "" if task.threshold is None else f"above a probability of {_threshold(record)}, from {task.outputs}"
    )
    said = {
        "single-label": f"the class with the largest of the {task.outputs}",
        "binary": f"{_positive(record)} {above}",
        "multi-label": f"each label {above}",
        "embedding": "vectors, compared by cosine",
    }
    return f"{task.name}: {said[task.name]} ({task.why})"


def _threshold(record: AuditRecord) -> str:
    threshold = record.task.threshold
    if not isinstance(threshold, tuple):
        return f"{threshold:g}"
    each = [f"{number:g} for {record.data.class_name(k)!r}" for k, number in enumerate(threshold[:N_SHOWN])]
    rest = threshold[N_SHOWN:]
    more = [f"{min(rest):g} to {max(rest):g} for {len(rest):,} more labels"] if rest else []
    return ", ".join([*each, *more])


def _positive(record: AuditRecord) -> str:
    if not record.data.class_names:
        return "positive"
    negative, positive = map(record.data.class_name, (0, 1))
    return f"{positive!r}, and not {negative!r},"


def n_answers(record: AuditRecord, number: int) -> str:
    """How many classes there are, or what stands in their place."""
    many = {"multi-label": "labels", "embedding": "numbers in a vector"}
    return f"{number:,} {many.get(record.task.name, 'classes')}"
