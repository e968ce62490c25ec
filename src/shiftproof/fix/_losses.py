"""What the layers of a model lose, for a reader who wants to see it before an edit and after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from shiftproof._digest import Json
from shiftproof.explain import Explanation
from shiftproof.metrics import Estimate

MOST_LAYERS = 12


@dataclass(frozen=True)
class Losses:
    """How much the answer changes when the image moves, and which layers make it.

    Args:
        change: Squared distance of the logits over that between images; whole pixels, real border.
        layers: What the layers lose of it, those that lose most, in the order in which they run.
    """

    change: Estimate
    layers: Mapping[str, Estimate]

    @classmethod
    def of(cls, explanation: Explanation) -> Losses | None:
        """What an explanation says of this; None where the change was not measured."""
        change = explanation.change["with-border"]
        if not isinstance(change, Mapping):
            return None
        worst = {row.layer for row in explanation.ranked()[:MOST_LAYERS] if row.share > 0}
        rows = [row for row in explanation.rows if row.layer in worst]
        return cls(change["logits"], {row.layer: row.loss["logits"] for row in rows})

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON; the order of the layers is a list, since a file has sorted keys."""
        layers: list[Json] = [
            {"layer": name, "loss": asdict(estimate)} for name, estimate in self.layers.items()
        ]
        return {"change": asdict(self.change), "layers": layers}
