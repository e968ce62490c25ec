"""Who loses what: one record for the whole network, as JSON and as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from shiftproof._digest import Json
from shiftproof._figures import COLOURS, drawing
from shiftproof._text import percent, record_text
from shiftproof.explain._lie import LieDerivative
from shiftproof.explain._losses import CAUSES, Cause
from shiftproof.explain._offsets import Condition, Frame, Pair
from shiftproof.explain._sensitivity import SensitivityMap
from shiftproof.explain._sentence import LITTLE
from shiftproof.explain._staircase import Unit
from shiftproof.metrics import Estimate, NotApplicable
from shiftproof.shifts import Border

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 2
Changes = Mapping[Condition, Mapping[Unit, Estimate] | NotApplicable]
Offsets = tuple[tuple[tuple[float, float], ...], ...]
# How each condition is drawn and named in a legend.
NO_BORDER = ", no border"
LINES: Mapping[Condition, str] = {
    "with-border": "whole pixels, real border",
    "fractional": f"fractions of a pixel{NO_BORDER}",
    "whole-pixel": f"whole pixels{NO_BORDER}",
    "multiples": f"multiples of the stride{NO_BORDER}",
}


@dataclass(frozen=True, slots=True)
class Stair:
    """What is left of the change if everything up to a step moves with the image.

    Args:
        after: The step, or `nothing`.
        change: By condition and unit, the mean over images; None where it was not measured.
    """

    after: str
    change: Mapping[Condition, Mapping[Unit, float] | None]

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON."""
        change: dict[str, Json] = {
            condition: None if found is None else dict(found.items())
            for condition, found in self.change.items()
        }
        return {"after": self.after, "change": change}


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What one layer, one function between layers, or a block of them loses.

    Args:
        layer: Its path and call; see the convention of `explain`. For a block the module, or its first and
            last step.
        kind: Its class, the name of the function, or `block`.
        n_steps: Layers and functions in it.
        stride_px: Pixels of the image from one position of its answer to the next, (down, right); None where
            that has none, or it is not known.
        size: Positions of its answer, (down, right); None where it has none.
        loss: How much less the answer would change if it moved with the image like everything before it:
            whole pixels, real border; negative where it restores.
        split: By cause, in the unit of the logits: downsampling, border and head add up to the loss; the
            non-linearity is what fractions of a pixel add, without a border.
        share: Of what all lose, in [0, 1]; those that restore are not counted against it.
        share_between: The same of what fractions of a pixel add.
        agreement: Share of the predictions that would stay if everything up to its end moved with the image.
        sentence: All this in words.
        remedy: The layer that was tried in its place, if one fits.
        remedy_cause: For which it was tried.
        remedy_removes: Part of the loss by that cause that it takes away, without training; negative if it
            adds.
        closed: Why a block that loses something could not be cut inside.
    """

    layer: str
    kind: str
    n_steps: int
    stride_px: tuple[float, float] | None
    size: Pair | None
    loss: Mapping[Unit, Estimate]
    split: Mapping[Cause, Estimate]
    share: float
    share_between: float
    agreement: float
    sentence: str
    remedy: str | None = None
    remedy_cause: Cause | None = None
    remedy_removes: float | None = None
    closed: str | None = None

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "n_steps": self.n_steps,
            "stride_px": None if self.stride_px is None else list(self.stride_px),
            "size": None if self.size is None else list(self.size),
            "loss": {unit: asdict(loss) for unit, loss in self.loss.items()},
            "split": {cause: asdict(self.split[cause]) for cause in CAUSES},
            "share": self.share,
            "share_between": self.share_between,
            "agreement": self.agreement,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "remedy_cause": self.remedy_cause,
            "remedy_removes": self.remedy_removes,
            "closed": self.closed,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which layers lose translation invariance, why, and how much.

    Args:
        rows: Layers and blocks in the order in which they run; their losses add up to the whole change.
        stairs: What is left of the change while nothing is patched, and after each row, of which the first is
            how the images move.
        change: The whole change by condition and unit.
        tied: Rows that these images cannot tell apart from the one that loses most.
        frame: `circle` or `border`: how shifts without a border were made.
        border: What came in from outside.
        offsets_px: Of each image and shift, (dy, dx), by condition; None where it was not measured.
        reach_px: The longest shift on each axis.
        stride_px: Total stride of the network, (down, right).
        n_images: Images behind every number.
        n_shifts: Shifts of each image in each condition.
        n_runs: Runs of the network on a batch, whole or from a cut on.
        model: As a report describes it.
        data: Name, number, shape and digest of the images.
        notes: What a reader has to know.
        lie_derivative: Of the answer of the same model, where it was asked for.
        sensitivity: Maps of the same model, of those layers that were asked for.
    """

    rows: tuple[LayerRow, ...]
    stairs: tuple[Stair, ...]
    change: Changes
    tied: tuple[str, ...]
    frame: Frame
    border: Border
    offsets_px: Mapping[Condition, Offsets | None]
    reach_px: int
    stride_px: Pair
    n_images: int
    n_shifts: int
    n_runs: int
    model: Mapping[str, Json]
    data: Mapping[str, Json]
    notes: tuple[str, ...]
    lie_derivative: LieDerivative | None = None
    sensitivity: tuple[SensitivityMap, ...] = ()

    def __str__(self) -> str:
        losing = [row.sentence for row in self.ranked() if row.share > 0 or row.share_between > LITTLE]
        ties = [self.tie] if self.tie else []
        return "\n".join([*losing, *ties]) or "No layer loses anything."

    @property
    def tie(self) -> str:
        """Which rows cannot be told apart from the first; empty where all can."""
        if not self.tied:
            return ""
        first = next(row.layer for row in self.ranked())
        *others, last = (f"`{name}`" for name in (first, *self.tied))
        return f"{self.n_images} images cannot tell which of {', '.join(others)} and {last} loses most."

    def ranked(self) -> tuple[LayerRow, ...]:
        """Rows by share, the largest first; of equal ones in the order in which they run."""
        return tuple(sorted(self.rows, key=lambda row: (-row.share, -row.share_between)))

    def by_cause(self) -> dict[Cause, float]:
        """The losses of all rows together, by cause."""
        return {cause: sum(row.split[cause].value for row in self.rows) for cause in CAUSES}

    def to_dict(self) -> dict[str, Json]:
        """The record that a report shows, as JSON."""
        change: dict[str, Json] = {
            condition: asdict(found)
            if isinstance(found, NotApplicable)
            else {unit: asdict(estimate) for unit, estimate in found.items()}
            for condition, found in self.change.items()
        }
        beside: dict[str, Json] = {}
        if self.lie_derivative is not None:
            beside["lie_derivative"] = self.lie_derivative.to_dict()
        if self.sensitivity:
            beside["sensitivity"] = [each.to_dict() for each in self.sensitivity]
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "explanation",
            "model": dict(self.model),
            "data": dict(self.data),
            "frame": self.frame,
            "border": self.border,
            "offsets_px": {
                condition: None if found is None else [[list(offset) for offset in image] for image in found]
                for condition, found in self.offsets_px.items()
            },
            "reach_px": self.reach_px,
            "stride_px": list(self.stride_px),
            "n_images": self.n_images,
            "n_shifts": self.n_shifts,
            "n_runs": self.n_runs,
            "change": change,
            "stairs": [stair.to_dict() for stair in self.stairs],
            "rows": [row.to_dict() for row in self.rows],
            "tied": list(self.tied),
            "notes": list(self.notes),
            **beside,
        }

    def to_json(self) -> str:
        """The record as text: sorted keys, so equal results are equal bytes."""
        return record_text(self.to_dict())

    def plot(self) -> tuple[Figure, Axes]:
        """The staircase: what is left of the change after each cut, one line for each condition.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        with drawing(inches=(max(6.4, 1.6 + 0.3 * len(self.stairs)), 4.4)) as (figure, (axes,)):
            places = range(len(self.stairs))
            for colour, (condition, words) in zip(COLOURS, LINES.items(), strict=False):
                name = words.replace(NO_BORDER, "") if self.frame == "border" else words
                heights = [stair.change[condition] for stair in self.stairs]
                known = [height["logits"] for height in heights if height is not None]
                again = self.frame == "border" and condition == "whole-pixel"  # Then it has the real border.
                if len(known) == len(heights) and not again:
                    axes.step(places, known, where="mid", color=colour, label=name, marker=".")
            shares = {row.layer: row.share for row in self.rows}
            names = [self.stairs[0].after, *(row.layer for row in self.rows)]
            labels = [f"{name}  {percent(shares[name])}" if shares.get(name) else name for name in names]
            axes.set_xticks(list(places)[: len(labels)], labels, rotation=90, fontsize=7)
            axes.set_ylabel("change of the logits that is left (1: another image)")
            axes.set_xlabel("if everything up to here moved with the image")
            axes.set_ylim(bottom=0)
            axes.grid(axis="y", alpha=0.25)
            axes.legend(frameon=False, fontsize=8)
            figure.suptitle(f"{self.model['name']}, {self.n_images} images, border {self.border}", fontsize=9)
        return figure, axes
