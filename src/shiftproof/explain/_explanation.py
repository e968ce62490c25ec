"""Who loses what: one record for the whole network, as JSON and as a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shiftproof._digest import Json
from shiftproof._figures import COLOURS, drawing
from shiftproof._text import percent, record_text
from shiftproof.explain._blame import CAUSES, Cause
from shiftproof.explain._equivariance import Condition, Frame
from shiftproof.metrics import Estimate, NotApplicable
from shiftproof.shifts import Border

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
MOST_BARS = 20


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What one layer, or one function between layers, loses of translation equivariance.

    Args:
        layer: Its path and call; see the convention of `explain`.
        kind: Its class, or the name of the function.
        stride_px: Pixels of the image from one position of its answer to the next, (down, right).
        size: Positions of its answer, (down, right); None where it has none.
        errors: Its equivariance error by condition, or its invariance error where it has no positions:
            0 is exact, 1 is as different as another image.
        increase: What it adds to the loss of the answer; negative where it restores.
        split: The increase by cause; the sum is the increase.
        share: Of what all layers lose, in [0, 1]; those that restore are not counted against it.
        sentence: All this in words.
        remedy: The layer that was tried in its place, if one fits.
        remedy_removes: Part of the increase that it takes away, without training; negative if it adds.
        not_applicable: Why its error cannot be measured; it then is taken to be that of its inputs.
    """

    layer: str
    kind: str
    stride_px: tuple[float, float]
    size: tuple[int, int] | None
    errors: Mapping[Condition, Estimate | NotApplicable]
    increase: Estimate
    split: Mapping[Cause, float]
    share: float
    sentence: str
    remedy: str | None = None
    remedy_removes: float | None = None
    not_applicable: str | None = None

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON."""
        return {
            "layer": self.layer,
            "kind": self.kind,
            "stride_px": list(self.stride_px),
            "size": None if self.size is None else list(self.size),
            "errors": {condition: error.to_dict() for condition, error in self.errors.items()},
            "increase": self.increase.to_dict(),
            "split": {cause: self.split[cause] for cause in CAUSES},
            "share": self.share,
            "sentence": self.sentence,
            "remedy": self.remedy,
            "remedy_removes": self.remedy_removes,
            "not_applicable": self.not_applicable,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which layers lose translation invariance, why, and how much.

    Args:
        rows: One for each call of a layer and each function that changes anything, in the order in which
            they run.
        image_loss: Loss of the images themselves: what reading between pixels costs.
        output_loss: Loss of the answer; the increases of all rows and `image_loss` add up to it.
        output_errors: Invariance error of the answer by condition.
        frame: `interior` or `circle`: how places without a border were had.
        border: What came in from outside.
        offsets_px: All shifts (dy, dx).
        n_images: Images behind every number.
        model: As a report describes it.
        data: Name, number, shape and digest of the images.
        notes: What a reader has to know.
    """

    rows: tuple[LayerRow, ...]
    image_loss: Estimate
    output_loss: Estimate
    output_errors: Mapping[Condition, Estimate | NotApplicable]
    frame: Frame
    border: Border
    offsets_px: tuple[tuple[float, float], ...]
    n_images: int
    model: Mapping[str, Json]
    data: Mapping[str, Json]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(row.sentence for row in self.ranked() if row.share > 0) or "No layer loses anything."

    def ranked(self) -> tuple[LayerRow, ...]:
        """Rows by share, the largest first; of equal ones in the order in which they run."""
        return tuple(sorted(self.rows, key=lambda row: (-row.share, row.not_applicable is not None)))

    def by_cause(self) -> dict[Cause, float]:
        """The increases of all layers together, by cause."""
        return {cause: sum(row.split[cause] for row in self.rows) for cause in CAUSES}

    def to_dict(self) -> dict[str, Json]:
        """The record that a report shows, as JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "explanation",
            "model": dict(self.model),
            "data": dict(self.data),
            "frame": self.frame,
            "border": self.border,
            "offsets_px": [list(offset) for offset in self.offsets_px],
            "n_images": self.n_images,
            "image_loss": self.image_loss.to_dict(),
            "output_loss": self.output_loss.to_dict(),
            "output_errors": {condition: error.to_dict() for condition, error in self.output_errors.items()},
            "rows": [row.to_dict() for row in self.rows],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The record as text: sorted keys, so equal results are equal bytes."""
        return record_text(self.to_dict())

    def plot(self) -> tuple[Figure, Axes]:
        """Bars of what each layer adds and takes back, stacked by cause, in the order in which they run.

        Of many layers the `MOST_BARS` that change most are drawn.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        strongest = sorted(self.rows, key=lambda row: -sum(map(abs, row.split.values())))[:MOST_BARS]
        shown = [row for row in self.rows if row in strongest]
        with drawing(inches=(7.2, 1.6 + 0.24 * len(shown))) as (figure, (axes,)):
            _draw(axes, shown)
            title = f"{self.model['name']}: loss of the answer {self.output_loss.value:.3g}"
            figure.suptitle(f"{title}, {self.n_images} images, border {self.border}", fontsize=9)
            figure.legend(
                *axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
            )
        return figure, axes


def _draw(axes: Axes, rows: list[LayerRow]) -> None:
    places = list(range(len(rows)))
    right, left = [0.0] * len(rows), [0.0] * len(rows)
    for colour, cause in zip(COLOURS, CAUSES, strict=False):
        widths = [row.split[cause] for row in rows]
        starts = [right[i] if width >= 0 else left[i] for i, width in enumerate(widths)]
        axes.barh(places, widths, left=starts, color=colour, label=cause)
        for i, width in enumerate(widths):
            (right if width >= 0 else left)[i] += width
    labels = [f"{row.layer}  {percent(row.share)}" if row.share else row.layer for row in rows]
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_xlabel("change of the loss (1: as different as another image)")
    axes.set_axisbelow(True)
    axes.use_sticky_edges = False
    axes.margins(x=0.04)
    axes.grid(axis="x", alpha=0.25)
