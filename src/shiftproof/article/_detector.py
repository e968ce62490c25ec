"""What a detector takes for faces: one bit for each seed and image, and the shares of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from shiftproof._digest import Json
from shiftproof.article._check import Effect
from shiftproof.metrics import Estimate, estimate_mean, estimate_share

Faces = Literal["drawn", "photographed"]
Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Detector:
    """What one network, trained from several seeds, takes for faces.

    Args:
        network: Its name.
        images: `drawn` or `photographed`.
        taken: By kind of image, whether it is taken for a face: bool (seeds, images).
    """

    network: str
    images: Faces
    taken: Mapping[str, Bits]

    @property
    def pools_and_head(self) -> tuple[int, str] | None:
        """How often it pools, and its head; None for a network that is not one of `pooled-K-HEAD`."""
        family, *rest = self.network.split("-")
        return (int(rest[0]), rest[1]) if family == "pooled" else None

    def share(self, *kinds: str) -> Estimate:
        """Share of the images of these kinds that it takes for faces, with its interval."""
        return estimate_share(np.concatenate([self.taken[kind] for kind in kinds], axis=1))

    @property
    def scrambled(self) -> Estimate:
        """Of the scrambled faces."""
        return self.share("scrambled")

    @property
    def others(self) -> Estimate:
        """Of the images without a face that are not scrambled faces, all kinds together."""
        return self.share(*(kind for kind in self.taken if kind not in ("face", "scrambled")))

    def to_dict(self) -> dict[str, Json]:
        """The shares as JSON."""
        shares: dict[str, Json] = {kind: asdict(self.share(kind)) for kind in self.taken}
        return {
            "network": self.network,
            "images": self.images,
            "taken_for_face": shares,
            "others_taken_for_face": asdict(self.others),
        }


def more_taken(detector: Detector, other: Detector, kind: str = "scrambled") -> Effect:
    """By how much larger a share of a kind one detector takes for faces, paired by image and seed."""
    change = detector.taken[kind].astype(np.float64) - other.taken[kind]
    return estimate_mean(change, unit="share of images", bounds=(-1, 1))
