"""What a detector takes for faces: one bit for each seed and image, and the shares of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shiftproof.article._check import Effect
from shiftproof.metrics import Estimate, estimate_mean, estimate_share
from shiftproof.records import DetectorRecord, Faces

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

    def record(self) -> DetectorRecord:
        """The shares."""
        return DetectorRecord(
            network=self.network,
            images=self.images,
            taken_for_face={kind: self.share(kind) for kind in self.taken},
            others_taken_for_face=self.others,
        )


def more_taken(detector: Detector, other: Detector, kind: str = "scrambled") -> Effect:
    """By how much larger a share of a kind one detector takes for faces, paired by image and seed."""
    change = detector.taken[kind].astype(np.float64) - other.taken[kind]
    return estimate_mean(change, unit="share of images", bounds=(-1, 1))
