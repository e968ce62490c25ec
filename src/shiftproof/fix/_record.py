"""What was found, for a reader: the record of a fix."""

from __future__ import annotations

from collections.abc import Sequence

from shiftproof._text import percent
from shiftproof.adapters import Classifier
from shiftproof.explain import Explanation
from shiftproof.fix._propose import Proposal
from shiftproof.metrics import Estimate
from shiftproof.records import (
    FixAboutRecord,
    FixedModelRecord,
    FixedRow,
    FixRecord,
    LayerLossRecord,
    Losses,
    NotPossibleRecord,
    TriedRecord,
)

MOST_LAYERS = 12


def fix_record(
    original: Classifier,
    rows: tuple[FixedRow, ...],
    chosen: str,
    *,
    tried: tuple[TriedRecord, ...],
    about: FixAboutRecord,
    losses: tuple[Losses | None, Losses | None],
    not_possible: Sequence[Proposal],
) -> FixRecord:
    """The record of a fix, with its sentence; see `FixRecord`."""
    return FixRecord(
        schema_version=1,
        kind="fix",
        model=FixedModelRecord(name=original.name, digest=original.digest),
        about=about,
        chosen=chosen,
        summary=_summary(original.name, rows, chosen, about.budget),
        rows=rows,
        tried=tried,
        losses=losses,
        not_possible=tuple(
            NotPossibleRecord(name=each.name, reason=each.not_possible or "") for each in not_possible
        ),
    )


def worst_losses(found: Explanation) -> Losses:
    """What an explanation says of the layers that lose most, in the order in which they run."""
    worst = {row.layer for row in found.ranked()[:MOST_LAYERS] if row.share > 0}
    return Losses(
        change=found.whole["logits"],
        layers=tuple(
            LayerLossRecord(layer=row.layer, loss=row.loss["logits"])
            for row in found.rows
            if row.layer in worst
        ),
    )


def _summary(name: str, rows: Sequence[FixedRow], chosen: str, budget: float | None) -> str:
    first, best = rows[0], next(row for row in rows if row.name == chosen)
    if best is first:
        limits = "the clean margin" if budget is None else "the clean margin and the budget"
        return f"{name}: no edit was better within {limits}; it is left as it is."
    before, after = (row.estimates["accuracy"] for row in (first, best))
    if not (isinstance(before, Estimate) and isinstance(after, Estimate)):
        return f"{name}: {chosen}."
    return (
        f"{name} with {chosen}: right under shifts {percent(before.value)} → {percent(after.value)}, "
        f"at {best.cost:.1f} × the time."
    )
