"""Which layers lose translation invariance, and why: the record of an explanation, and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import model_validator

from shiftproof._figures import COLOURS, drawing
from shiftproof._text import percent
from shiftproof.records._audit import ModelRecord
from shiftproof.records._base import Line, StrictRecord, check_parts, read_record
from shiftproof.records._numbers import Estimate, Estimated, NotApplicable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# multiples: by multiples of the total stride, without a border. whole-pixel: by whole pixels, without a
# border. fractional: half a pixel off these, without a border. with-border: by the same whole pixels, with
# the real border.
Condition = Literal["multiples", "whole-pixel", "fractional", "with-border"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
# How a place without a border is had: with every border and shift going around. Where sizes do not close a
# circle, all conditions are measured with the real border.
Frame = Literal["circle", "border"]
# logits: squared distance of the logits, over that between images; squares, since what steps lose that have
# nothing to do with each other then adds up. probability: change of the probability of the class that is
# answered to the unshifted image. flips: share of shifts under which the class is another.
Unit = Literal["logits", "probability", "flips"]
UNITS: tuple[Unit, ...] = get_args(Unit)
Cause = Literal["downsampling", "border", "non-linearity", "head"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
# Less of what fractions of a pixel add is not worth a sentence.
LITTLE = 0.05
MOST_TIED = 4
# How each condition is drawn and named in a legend.
NO_BORDER = ", no border"
LINES: Mapping[Condition, str] = {
    "with-border": "whole pixels, real border",
    "fractional": f"fractions of a pixel{NO_BORDER}",
    "whole-pixel": f"whole pixels{NO_BORDER}",
    "multiples": f"multiples of the stride{NO_BORDER}",
}


class LayerRow(StrictRecord):
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

    layer: Line
    kind: Line
    n_steps: int
    stride_px: tuple[float, float] | None
    size: tuple[int, int] | None
    loss: Mapping[Unit, Estimate]
    split: Mapping[Cause, Estimate]
    share: float
    share_between: float
    agreement: float
    sentence: Line
    remedy: Line | None
    remedy_cause: Cause | None
    remedy_removes: float | None
    closed: Line | None


class Stair(StrictRecord):
    """What is left of the change if everything up to a step moves with the image.

    Args:
        after: The step, or `nothing`.
        change: By condition and unit, the mean over images; None where it was not measured.
    """

    after: Line
    change: Mapping[Condition, Mapping[Unit, float] | None]


class ImageSetRecord(StrictRecord):
    """The images that were shown."""

    name: Line
    n_images: int
    image_shape: tuple[int, int, int]
    digest: Line
    conversions: Mapping[Line, int] = {}


class DifferentiationRecord(StrictRecord):
    """How a derivative was taken; see `shiftproof.explain.Differentiation`."""

    between: Line
    border: Line
    method: Line
    precision: Line
    notes: tuple[Line, ...]


class LieRecord(StrictRecord):
    """The derivative of the answer to the position of the image; see `shiftproof.explain.LieDerivative`."""

    how: DifferentiationRecord
    norm: Mapping[Line, Estimated]
    mean_abs: Mapping[Line, Estimated]
    px_per_grid_unit: Mapping[Line, float]


class SensitivityRecord(StrictRecord):
    """What a layer makes of every shift of a square; see `shiftproof.explain.SensitivityMap`."""

    layer: Line | None
    n_images: int
    scale: float
    scale_is: Line
    max_shift_px: int
    map: tuple[tuple[float, ...], ...]
    cosine_map: tuple[tuple[float, ...], ...]
    radial: Mapping[Line, Estimated]
    radial_cosine: Mapping[Line, Estimated]


class Explanation(StrictRecord):
    """Which layers lose translation invariance, why, and how much.

    Args:
        schema_version, kind: What document it is.
        model: What a report says about the model.
        data: Name, number, shape and digest of the images.
        frame: `circle` or `border`: how shifts without a border were made.
        border: What came in from outside.
        offsets_px: Of each image and shift, (dy, dx), by condition; None where it was not measured.
        reach_px: The longest shift on each axis.
        stride_px: Total stride of the network, (down, right).
        n_images: Images behind every number.
        n_shifts: Shifts of each image in each condition.
        n_runs: Runs of the network on a batch, whole or from a cut on.
        change: The whole change by condition and unit.
        stairs: What is left of the change while nothing is patched, and after each row, of which the first is
            how the images move.
        rows: Layers and blocks in the order in which they run; their losses add up to the whole change.
        tied: Rows that these images cannot tell apart from the one that loses most.
        notes: What a reader has to know.
        lie_derivative: Of the answer of the same model, where it was asked for; see `beside`.
        sensitivity: Maps of the same model, of those layers that were asked for.
    """

    schema_version: Literal[2]
    kind: Literal["explanation"]
    model: ModelRecord
    data: ImageSetRecord
    frame: Frame
    border: Line
    offsets_px: Mapping[Condition, tuple[tuple[tuple[float, float], ...], ...] | None]
    reach_px: int
    stride_px: tuple[int, int]
    n_images: int
    n_shifts: int
    n_runs: int
    change: Mapping[Condition, Mapping[Unit, Estimate] | NotApplicable]
    stairs: tuple[Stair, ...]
    rows: tuple[LayerRow, ...]
    tied: tuple[Line, ...]
    notes: tuple[Line, ...]
    lie_derivative: LieRecord | None = None
    sensitivity: tuple[SensitivityRecord, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Explanation:
        whole = self.change.get("with-border")
        if whole is None or isinstance(whole, NotApplicable):
            raise ValueError("the change with the real border is missing")
        check_parts("change with the real border", whole, ("flips", "logits"))
        if self.tied and not self.rows:
            raise ValueError("rows are tied, and there are none")
        for row in self.rows:
            check_parts(f"loss of {row.layer}", row.loss, ("logits",))
            check_parts(f"split of {row.layer}", row.split, CAUSES)
        return self

    def __str__(self) -> str:
        ties = [self.tie] if self.tie else []
        return "\n".join([*(row.sentence for row in self.losing()), *ties]) or "No layer loses anything."

    @property
    def whole(self) -> Mapping[Unit, Estimate]:
        """The change under whole pixels with the real border, which is always measured."""
        found = self.change["with-border"]
        assert not isinstance(found, NotApplicable), "the record checks that"
        return found

    @property
    def tie(self) -> str:
        """Which rows cannot be told apart from the first, a few of them by name; empty where all can."""
        if not self.tied:
            return ""
        *others, last = (f"`{name}`" for name in (self.ranked()[0].layer, *self.tied[:MOST_TIED]))
        more = f", or of {len(self.tied) - MOST_TIED} more," if len(self.tied) > MOST_TIED else ""
        return f"{self.n_images} images cannot tell which of {', '.join(others)} and {last}{more} loses most."

    def ranked(self) -> tuple[LayerRow, ...]:
        """Rows by share, the largest first; of equal ones in the order in which they run."""
        return tuple(sorted(self.rows, key=lambda row: (-row.share, -row.share_between)))

    def losing(self) -> tuple[LayerRow, ...]:
        """Those of them that lose something worth a sentence."""
        return tuple(row for row in self.ranked() if row.share > 0 or row.share_between > LITTLE)

    def by_cause(self) -> dict[Cause, float]:
        """The losses of all rows together, by cause."""
        return {cause: sum(row.split[cause].value for row in self.rows) for cause in CAUSES}

    def beside(
        self, lie_derivative: LieRecord | None = None, sensitivity: Sequence[SensitivityRecord] = ()
    ) -> Explanation:
        """The same with what was measured beside it: what `shiftproof explain --json` prints.

        Args:
            lie_derivative: `lie_derivative(…).record()` of the same model and images.
            sensitivity: `sensitivity_map(…).record()` of some of its layers.
        """
        return self.having(lie_derivative=lie_derivative, sensitivity=tuple(sensitivity))

    def plot(self) -> tuple[Figure, Axes]:
        """The staircase: what is left of the change after each cut, one line for each condition.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        with drawing(inches=(max(6.4, 1.6 + 0.3 * len(self.stairs)), 4.4)) as (figure, (axes,)):
            places = range(len(self.stairs))
            for colour, (condition, words) in zip(COLOURS, LINES.items(), strict=False):
                name = words.replace(NO_BORDER, "") if self.frame == "border" else words
                heights = [stair.change.get(condition) for stair in self.stairs]
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
            figure.suptitle(f"{self.model.name}, {self.n_images} images, border {self.border}", fontsize=9)
        return figure, axes


def read_explanation(source: Path | Mapping[str, Any]) -> Explanation:
    """An explanation's record from its JSON file or from the same as a mapping.

    Raises:
        DataError: Not such a file, or of another schema version.
    """
    return read_record(source, Explanation, "the record of an explanation")
