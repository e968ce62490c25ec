"""What `fix` gives back: a model, and what every edit that was tried is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from shiftproof._figures import COLOURS, drawing
from shiftproof.adapters import Classifier, EditStep, ModelRequest, save_fixed
from shiftproof.metrics import Estimate
from shiftproof.records import FixedRow, FixRecord
from shiftproof.zoo import ImageShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORIGINAL = "original"


@dataclass(frozen=True, eq=False)
class Fixed:
    """The model that `fix` chose, and the record of the table that it was chosen from.

    Args:
        model: The chosen one; the original itself where nothing was better.
        record: What every edit that was tried is worth: what `shiftproof fix --json` prints.
        steps: Edits of the chosen one, to be made again.
        original: What was fixed.
        network: The chosen one's module, without what is around it; None for a function.
        image_shape: (C, H, W) of the images.
        reference, request: How the original was loaded, where that is known.
    """

    model: Classifier
    record: FixRecord
    steps: tuple[EditStep, ...]
    original: Classifier
    network: nn.Module | None
    image_shape: ImageShape
    reference: str | None = None
    request: ModelRequest | None = None

    def __str__(self) -> str:
        return self.record.summary

    @property
    def chosen(self) -> str:
        """Name of the row of the chosen model."""
        return self.record.chosen

    @property
    def table(self) -> tuple[FixedRow, ...]:
        """The original first, then the finalists, the best first."""
        return self.record.rows

    @property
    def row(self) -> FixedRow:
        """That of the chosen model."""
        return self.record.row

    def to_json(self) -> str:
        """The record as text: sorted keys, so equal results are equal bytes."""
        return self.record.to_json()

    def save(self, folder: Path | str) -> None:
        """Write `recipe.json`, and `model.safetensors` where layers were edited; `load_fixed` reads them.

        Raises:
            OutputError: The folder cannot be written.
        """
        own_layers = self.network is not None and self.network is not self.original.model
        training = self.record.about.training if own_layers and self.chosen != ORIGINAL else None
        save_fixed(
            Path(folder),
            self.original,
            self.steps,
            self.network,
            image_shape=self.image_shape,
            reference=self.reference,
            request=self.request,
            trained=None if training is None else training.to_dict(),
        )

    def plot(self) -> tuple[Figure, Axes]:
        """What each row costs and what it buys: milliseconds, and accuracy under the shifts.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        with drawing(inches=(7.2, 4.2)) as (figure, (axes,)):
            for place, row in enumerate(self.table):
                found = row.estimates["accuracy"]
                if not isinstance(found, Estimate):
                    continue
                colour = COLOURS[place % len(COLOURS)]
                axes.errorbar(
                    [row.ms_per_image],
                    [100 * found.value],
                    yerr=[[100 * (found.value - found.low)], [100 * (found.high - found.value)]],
                    fmt="s" if row.name == self.chosen else "o",
                    color=colour,
                    markerfacecolor=colour if row.on_front else "white",
                    label=row.name,
                )
            axes.set_xscale("log")
            axes.set_xlabel("milliseconds per image")
            axes.set_ylabel("right under shifts (%)")
            axes.grid(alpha=0.25)
            figure.suptitle(
                f"{self.original.name}; square: chosen, hollow: another one is as cheap and better",
                fontsize=9,
            )
            figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return figure, axes
