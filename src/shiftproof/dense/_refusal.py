"""Why there is no plan."""

from __future__ import annotations

from dataclasses import dataclass

from shiftproof.anatomy import Reason


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """Why shifts of a network cannot share work: the layer that stands in the way, and what it does.

    Args:
        layer: Its path in the network, such as `body.conv1`; the class of the network for what
            happens outside its layers.
        reason: A sentence in plain words.
    """

    layer: str
    reason: str

    @classmethod
    def because(cls, reason: Reason) -> NotPlanned:
        """The same reason."""
        return cls(reason.layer, reason.text)

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"
