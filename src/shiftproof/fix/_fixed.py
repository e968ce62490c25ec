"""What `fix` gives back: a model, and what every edit that was tried is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from shiftproof._digest import Json
from shiftproof._figures import COLOURS, drawing
from shiftproof._text import percent, record_text
from shiftproof.adapters import Classifier, EditStep, ModelRequest, save_fixed
from shiftproof.edits import Change, LeftAlone
from shiftproof.fix._losses import Losses
from shiftproof.fix._propose import Proposal
from shiftproof.metrics import Difference, Estimate, NotApplicable
from shiftproof.zoo import ImageShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1
ORIGINAL = "original"


@dataclass(frozen=True, eq=False)
class FixedRow:
    """One candidate, measured on images that it was not chosen by.

    Args:
        name: Its edits; `original` for the model as it came.
        steps: The same, to be made again.
        estimates: Clean accuracy, accuracy under the shifts, agreement, worst case.
        differences: Of each, minus that of the original, paired by image.
        ms_per_image: What an image costs.
        cost: That, in times of the original.
        n_parameters: Numbers that it has learned; None for a function.
        on_front: Whether none that is cheaper, or as cheap, is right more often under shifts.
        verdict: `helps`, `harms` or `undecided`: whether the interval of the difference in accuracy under
            the shifts excludes 0.
        certificate: What is proved of it, in a sentence.
        changes: What is different, by layer.
        left_alone: What should have been and is not.
    """

    name: str
    steps: tuple[EditStep, ...]
    estimates: Mapping[str, Estimate | NotApplicable]
    differences: Mapping[str, Difference | NotApplicable]
    ms_per_image: float
    cost: float
    n_parameters: int | None
    on_front: bool
    verdict: str
    certificate: str
    changes: tuple[Change, ...]
    left_alone: tuple[LeftAlone, ...]

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON."""
        return {
            "name": self.name,
            "steps": [step.to_dict() for step in self.steps],
            "estimates": {name: asdict(each) for name, each in self.estimates.items()},
            "differences": {name: asdict(each) for name, each in self.differences.items()},
            "ms_per_image": self.ms_per_image,
            "cost": self.cost,
            "n_parameters": self.n_parameters,
            "on_front": self.on_front,
            "verdict": self.verdict,
            "certificate": self.certificate,
            "changes": [change.to_dict() for change in self.changes],
            "left_alone": [each.to_dict() for each in self.left_alone],
        }


@dataclass(frozen=True, eq=False)
class Fixed:
    """The model that `fix` chose, and the table that it was chosen from.

    Args:
        model: The chosen one; the original itself where nothing was better.
        chosen: Name of its row.
        table: The original first, then the finalists, the best first.
        not_possible: Edits that cannot be made with this model, and why.
        original: What was fixed.
        network: The chosen one's module, without what is around it; None for a function.
        about: Images, shifts, training and settings, as a report shows them.
        image_shape: (C, H, W) of the images.
        losses: What the layers lose in the original and in the chosen one, on images that nothing was chosen
            by; None where that is not known, or where the layers are the same.
        reference, request: How the original was loaded, where that is known.
    """

    model: Classifier
    chosen: str
    table: tuple[FixedRow, ...]
    not_possible: tuple[Proposal, ...]
    original: Classifier
    network: nn.Module | None
    about: Mapping[str, Json]
    image_shape: ImageShape
    losses: tuple[Losses | None, Losses | None] = (None, None)
    reference: str | None = None
    request: ModelRequest | None = None

    def __str__(self) -> str:
        first, best = self.table[0], self.row
        if best is first:
            limits = "the clean margin" if self.about["budget"] is None else "the clean margin and the budget"
            return f"{self.original.name}: no edit was better within {limits}; it is left as it is."
        before, after = (row.estimates["accuracy"] for row in (first, best))
        if not (isinstance(before, Estimate) and isinstance(after, Estimate)):
            return f"{self.original.name}: {self.chosen}."
        return (
            f"{self.original.name} with {self.chosen}: right under shifts {percent(before.value)} → "
            f"{percent(after.value)}, at {best.cost:.1f} × the time."
        )

    @property
    def row(self) -> FixedRow:
        """That of the chosen model."""
        return next(row for row in self.table if row.name == self.chosen)

    def to_dict(self) -> dict[str, Json]:
        """The record that a report shows, as JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "fix",
            "model": {"name": self.original.name, "digest": self.original.digest},
            "about": dict(self.about),
            "chosen": self.chosen,
            "summary": str(self),
            "rows": [row.to_dict() for row in self.table],
            "losses": [None if each is None else each.to_dict() for each in self.losses],
            "not_possible": [
                {"name": each.name, "reason": each.not_possible or ""} for each in self.not_possible
            ],
        }

    def to_json(self) -> str:
        """The record as text: sorted keys, so equal results are equal bytes."""
        return record_text(self.to_dict())

    def save(self, folder: Path | str) -> None:
        """Write `recipe.json`, and `model.safetensors` where layers were edited; `load_fixed` reads them.

        Raises:
            OutputError: The folder cannot be written.
        """
        trained = self.about.get("training")
        is_trained = isinstance(trained, dict) and (bool(self.row.steps) or self.chosen != ORIGINAL)
        own_layers = self.network is not None and self.network is not self.original.model
        save_fixed(
            Path(folder),
            self.original,
            self.row.steps,
            self.network,
            image_shape=self.image_shape,
            reference=self.reference,
            request=self.request,
            trained=trained if is_trained and own_layers and isinstance(trained, dict) else None,
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
