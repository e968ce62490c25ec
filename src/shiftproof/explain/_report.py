"""From what was measured to the record of an explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shiftproof.anatomy import Place, Placed, Reason
from shiftproof.explain._interventions import UNMOVED
from shiftproof.explain._losses import WORTH_OPENING, Loss, part_of_whole
from shiftproof.explain._remedies import Remedy
from shiftproof.explain._segments import Segment
from shiftproof.explain._sentence import Benefit, sentence
from shiftproof.explain._staircase import Floats, Staircase
from shiftproof.metrics import Estimate, NotApplicable, estimate_mean
from shiftproof.records import (
    CAUSES,
    CONDITIONS,
    UNITS,
    Condition,
    Explanation,
    ImageSetRecord,
    LayerRow,
    ModelRecord,
    Stair,
    Unit,
)

# Less is no loss, whatever rounding makes of the logits.
NOTHING = 1e-9
# Of layers with something in common so many are named, and the others counted.
MOST_NAMED = 3
# Rounding that a reader has to know about.
WORTH_SAYING = 1e-3
NOTHING_YET = "nothing"
# Below this part of the squared distance between images there is nothing to share out.
WORTH_SHARING = 1e-6
WORDS: Mapping[Unit, str] = {
    "logits": "squared distance of the logits, 1 for another image",
    "probability": "probability of the answered class",
    "flips": "share of images and shifts",
}


def explained(
    staircase: Staircase,
    losses: Sequence[Loss],
    remedies: Mapping[Segment, Remedy],
    *,
    confidence: float,
    model: ModelRecord,
    data: ImageSetRecord,
    notes: Sequence[str],
) -> Explanation:
    """The record of a network that was cut into segments.

    Args:
        staircase: What was measured.
        losses: Of each segment, in the order in which they run.
        remedies: Another layer in the place of a segment, and what it removes.
        confidence: Nominal coverage of the intervals.
        model, data: As a report describes them.
        notes: What a reader has to know, beside what is found here.
    """
    writer = _Writer(staircase, losses, confidence)
    rows = tuple(writer.row(loss, remedies.get(loss.segment)) for loss in losses)
    measurement = staircase.measurement
    return Explanation(
        schema_version=2,
        kind="explanation",
        model=model,
        data=data,
        frame=measurement.frame,
        border=measurement.border,
        offsets_px={
            condition: None if isinstance(offsets, NotApplicable) else offsets.tolist()
            for condition, offsets in measurement.offsets.by_condition.items()
        },
        reach_px=measurement.offsets.reach_px,
        stride_px=measurement.offsets.stride_px,
        n_images=len(measurement.images),
        n_shifts=measurement.n_shifts,
        n_runs=staircase.n_runs,
        change=writer.changes(UNMOVED),
        stairs=tuple(writer.stair(at) for at in writer.cuts),
        rows=rows if writer.scale else (),
        tied=writer.tied(),
        notes=(*notes, *writer.notes()),
    )


def _several(names: Sequence[str]) -> str:
    """Names of layers, of many the first ones.

    Example:
        >>> _several(["a"]), _several(["a", "b"]), _several(["a", "b", "c", "d", "e"])
        ('`a`', '`a` and `b`', '`a`, `b`, `c` and 2 others')
    """
    quoted = [f"`{name}`" for name in names]
    if len(quoted) > MOST_NAMED + 1:
        quoted[MOST_NAMED:] = [f"{len(quoted) - MOST_NAMED} others"]
    *first, last = quoted
    return f"{', '.join(first)} and {last}" if first else last


class _Writer:
    """Rows, stairs and notes of one network."""

    def __init__(self, staircase: Staircase, losses: Sequence[Loss], confidence: float) -> None:
        self._staircase, self._losses, self._confidence = staircase, losses, confidence
        self._moments = staircase.runs.moments
        self.scale = staircase.scale
        self.cuts = [losses[0].segment.before, *(loss.segment.last for loss in losses)]
        self._nothing = max(NOTHING, staircase.rounding)
        self._shares, self._lost = self._shared([loss.drop("logits") for loss in losses])
        self._between, self._added = self._shared([loss.split["non-linearity"] for loss in losses])

    def _shared(self, parts: Sequence[Floats]) -> tuple[dict[Segment, float], float]:
        """Of what all lose the share of each segment, those that restore apart; and how much that is."""
        means = [mean if (mean := float(part.mean())) > self._nothing else 0.0 for part in parts]
        total = sum(means)
        worth = total >= WORTH_SHARING
        segments = (loss.segment for loss in self._losses)
        return {s: mean / total if worth else 0.0 for s, mean in zip(segments, means, strict=True)}, total

    def estimate(self, per_image: Floats, unit: Unit, *, is_loss: bool = True) -> Estimate:
        most = None if unit == "logits" else 1.0
        bounds = (None, None) if is_loss else (0.0, most)
        found = estimate_mean(per_image, unit=WORDS[unit], bounds=bounds, confidence=self._confidence)
        assert isinstance(found, Estimate), "there are two images at least"
        return found

    def changes(self, at: int) -> dict[Condition, dict[Unit, Estimate] | NotApplicable]:
        """What is left after a cut, by condition and unit."""
        found: dict[Condition, dict[Unit, Estimate] | NotApplicable] = {}
        for condition in CONDITIONS:
            change = self._staircase.change(condition, at)
            found[condition] = (
                change
                if isinstance(change, NotApplicable)
                else {unit: self.estimate(change[:, i], unit, is_loss=False) for i, unit in enumerate(UNITS)}
            )
        return found

    def stair(self, at: int) -> Stair:
        values: dict[Condition, dict[Unit, float] | None] = {}
        for condition in CONDITIONS:
            change = self._staircase.change(condition, at)
            values[condition] = (
                None
                if isinstance(change, NotApplicable)
                else {unit: float(change[:, i].mean()) for i, unit in enumerate(UNITS)}
            )
        return Stair(after=NOTHING_YET if at == UNMOVED else self._moments[at].name, change=values)

    def row(self, loss: Loss, remedy: Remedy | None) -> LayerRow:
        segment, runs = loss.segment, self._staircase.runs
        loud = segment.loud(runs)
        place = self._staircase.runs.placed(segment.last)
        known = place if isinstance(place, Place) else None
        share = self._shares[segment]
        restored = -float(loss.drop("logits").mean()) / self._lost if self._lost >= WORTH_SHARING else 0.0
        (left, flips), (now, flips_now) = (self._seen(at) for at in (segment.last, UNMOVED))
        between = self._between[segment]
        return LayerRow(
            layer=segment.name(runs),
            kind=self._moments[(loud or [segment.last])[0]].kind if len(loud) < 2 else "block",
            n_steps=segment.n_steps,
            stride_px=None if known is None else (float(known.stride_px[0]), float(known.stride_px[1])),
            size=None if known is None else known.size,
            loss={unit: self.estimate(loss.drop(unit), unit) for unit in UNITS},
            split={cause: self.estimate(loss.split[cause], "logits") for cause in CAUSES},
            share=share,
            share_between=between,
            agreement=1 - flips,
            sentence=sentence(
                loss,
                self._staircase.runs,
                share=share,
                restored=restored,
                benefit=Benefit((1 - flips, 1 - flips_now), (left, now)),
                between=between,
                remedy=remedy,
            ),
            remedy=remedy.replacement if remedy else None,
            remedy_cause=remedy.cause if remedy else None,
            remedy_removes=remedy.removes if remedy else None,
            closed=self._closed(loss),
        )

    def _seen(self, at: int) -> tuple[float, float]:
        """Distance of the logits and share of flips if everything up to a cut moves with the image."""
        change = self._staircase.change("with-border", at)
        assert not isinstance(change, NotApplicable)
        logits, flips = (float(change[:, UNITS.index(unit)].mean()) for unit in ("logits", "flips"))
        return logits, flips

    def _closed(self, loss: Loss) -> str | None:
        """Why a segment cannot be cut inside; None for one step, where it can, and where little happens."""
        segment = loss.segment
        if not self._shares[segment] and part_of_whole(self._staircase, loss) < WORTH_OPENING:
            return None
        inside = [self._staircase.runs.alive_at(i) for i in range(segment.before + 1, segment.last)]
        reasons = [found for found in inside if isinstance(found, Reason)]
        if not inside or len(reasons) < len(inside):
            return None
        return str(reasons[0])

    def tied(self) -> tuple[str, ...]:
        """Segments that cannot be told apart from the one that loses most."""
        ranked = sorted(self._losses, key=lambda loss: -self._shares[loss.segment])
        losing = [loss for loss in ranked if self._shares[loss.segment] > 0]
        return tuple(
            other.segment.name(self._staircase.runs)
            for other in losing[1:]
            if self.estimate(losing[0].drop("logits") - other.drop("logits"), "logits").low <= 0
        )

    def _placed(self, at: int) -> Placed:
        return None if at == UNMOVED else self._staircase.runs.placed(at)

    def notes(self) -> list[str]:
        """What a reader has to know."""
        staircase, found = self._staircase, []
        offsets = staircase.measurement.offsets.by_condition["multiples"]
        if isinstance(offsets, NotApplicable):
            found.append(f"Head and downsampling are not told apart: {offsets.reason}.")
        if staircase.measurement.frame == "border":
            found.append("The sizes of its maps close no circle: every cause holds what the border does.")
        places = {at: place for at in self.cuts if isinstance(place := self._placed(at), Place)}
        guessed = [self._moments[at].name for at, place in places.items() if place.by_shape]
        measured = [self._moments[at].name for at, place in places.items() if place.measured]
        if guessed:
            found.append(f"Where positions lie was told by the shape alone after {_several(guessed)}.")
        if measured:
            found.append(
                f"Where positions lie was measured after {_several(measured)}, by what a NaN reaches."
            )
        if self._nothing > WORTH_SAYING:
            found.append(
                "It answers different images with logits that differ by little more than rounding: what "
                f"changes them by less than {self._nothing:.1g} of that counts as nothing."
            )
        if not self.scale:
            found.append("It answers all images alike: there is nothing to explain.")
        elif self._lost < WORTH_SHARING:
            found.append("All layers together lose too little to tell who loses it.")
        if 0 < self._added < WORTH_SHARING:
            found.append("Fractions of a pixel add too little to tell where.")
        return found
