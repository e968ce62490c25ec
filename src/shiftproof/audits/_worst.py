"""The images whose answer changes most often, with pictures, and a few of those that change at each shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shiftproof.audits._answers import Answer, answer_of, label_of
from shiftproof.audits._measure import Measured
from shiftproof.audits._pictures import pictures
from shiftproof.audits._question import AuditQuestion
from shiftproof.metrics import NotApplicable, Selection, agrees, metrics, select, smallest_flip_px
from shiftproof.records import ChangedImageRecord, ChangedRecord, WorstRecord

N_WORST = 10
# At each shift so many of the images that change there are named.
N_EXAMPLES = 6
# Of more shifts a record would name more images than anybody looks at.
MOST_SHIFTS = 2500


def images_that_change(question: AuditQuestion, part: Measured) -> dict[str, Any]:
    """The parts of `MeasuredProtocolRecord` that name images."""
    answers = select(part.response)
    order = _most_often_first(answers)
    worst = [_worst_image(question, part, answers, index) for index in order[:N_WORST]]
    return {"worst": worst, **_changed(part, answers, order)}


def _most_often_first(answers: Selection) -> list[int]:
    """The images whose answer changes at all; of those that change as often the ones that need less first."""
    flips = metrics.get("flip-rate").scores(answers)
    if isinstance(flips, NotApplicable):
        return []
    order = np.lexsort((np.arange(answers.n_images), smallest_flip_px(answers), -flips.values))
    return [index for index in order.tolist() if flips.values[index] > 0]


def _worst_image(question: AuditQuestion, part: Measured, answers: Selection, index: int) -> WorstRecord:
    """An image: its answer, how often that changes, and the smallest shift at which it does."""
    image = answers.with_images(np.arange(answers.n_images) == index)
    flips = image.moved & ~agrees(image)
    shift = int(np.where(flips, image.radius_px, np.inf).argmin())
    offset_px: tuple[float, float] = tuple(image.offsets_px.reshape(-1, 2)[shift].tolist())
    return WorstRecord(
        index=index,
        name=part.images.name_of(index),
        label=label_of(part.response, part.images, index),
        unshifted=answer_of(part.response, part.images, index, None),
        share_of_shifts_that_change_it=float(flips.sum() / image.moved.sum()),
        smallest_flip_px=float(smallest_flip_px(image)[0]),
        flip_offset_px=offset_px,
        flips_to=answer_of(part.response, part.images, index, shift),
        **(_pictures(question, part, index, offset_px) if question.options.pictures else {}),
    )


def _pictures(
    question: AuditQuestion, part: Measured, index: int, offset_px: tuple[float, float]
) -> dict[str, str]:
    """An image, unshifted and moved."""
    size_px = question.shown_px(part.images, part.protocol)
    before, after = pictures(part.images, index, part.protocol, offset_px, size_px)
    return {"before": before, "after": after}


def _changed(part: Measured, answers: Selection, order: Sequence[int]) -> dict[str, Any]:
    """At each shift that all images share how many change, and the first few of them in this order."""
    if not answers.shares_offsets or answers.predicted.shape[1] > MOST_SHIFTS:
        return {}
    n_changed, named_at = _examples(answers, np.asarray(order, dtype=np.int64))

    def answer(index: int, shift: int | None) -> Answer:
        return answer_of(part.response, part.images, index, shift)

    rows = []
    named: set[int] = set()
    for shift, offset in enumerate(answers.offsets_px.tolist()):
        if not named_at[shift]:
            continue
        named.update(named_at[shift])
        shown = [(index, answer(index, shift)) for index in named_at[shift]]
        rows.append(ChangedRecord(at=offset, n_images=n_changed[shift], examples=shown))
    about = {
        str(index): ChangedImageRecord(name=part.images.name_of(index), unshifted=answer(index, None))
        for index in sorted(named)
    }
    return {"changed": rows, "changed_images": about}


def _examples(answers: Selection, order: npt.NDArray[np.int64]) -> tuple[list[int], list[list[int]]]:
    """For each shift how many of these images change, and the first few of them."""
    n_shifts = answers.predicted.shape[1]
    n_changed = np.zeros(n_shifts, np.int64)
    examples: list[list[int]] = [[] for _ in range(n_shifts)]
    for block in answers.blocks(order=order):
        flips: npt.NDArray[np.bool_] = block.moved & ~agrees(block)
        nth = n_changed + np.cumsum(flips, 0)
        for row, shift in np.argwhere(flips & (nth <= N_EXAMPLES)).tolist():
            examples[shift].append(int(order[row]))
        n_changed += flips.sum(0)
        order = order[block.n_images :]
    return n_changed.tolist(), examples
