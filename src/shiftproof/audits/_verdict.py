"""The audit in one sentence."""

from __future__ import annotations

from shiftproof._tasks import WORDS
from shiftproof._text import counted, percent
from shiftproof.records import Estimate, MeasuredProtocolRecord, ModelRecord, NoiseRecord, TaskRecord


def verdict(model: ModelRecord, task: TaskRecord, part: MeasuredProtocolRecord, noise: NoiseRecord) -> str:
    """One sentence on a protocol."""
    one, many, always_same = WORDS[task.name]
    agreement = part.estimates["agreement"]
    if not isinstance(agreement, Estimate):
        return f"{model.name} under {part.name}: agreement is not applicable, {agreement.reason}."
    if part.chance.agreement == 1:
        return f"{model.name} {always_same}, so its agreement under shifts is meaningless ({_n(agreement)})."
    text = (
        f"{model.name} keeps its {one} under {percent(agreement.value)} of the shifts of {part.name} "
        f"({percent(agreement.low)} to {percent(agreement.high)}, {_n(agreement)})"
    )
    always = part.estimates["worst-case-agreement"]
    if part.n_moves > 1 and isinstance(always, Estimate):
        every = "both" if part.n_moves == 2 else f"all {part.n_moves}"
        text += f", and under {every} of them for {percent(always.value)} of the images"
    kept = noise.estimates["agreement"]
    if noise.beyond_rounding and isinstance(kept, Estimate):
        text += f"; without any shift, asked again, it keeps {percent(kept.value)} of its {many}"
    return f"{text}."


def _n(estimate: Estimate) -> str:
    return f"n = {counted(estimate.n_images, 'image')}"
