"""What all units of a study share: the study, its data, the machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from shiftproof._device import describe_environment
from shiftproof._digest import Json
from shiftproof.data import LabelledImages, load_data
from shiftproof.study._spec import Study


@dataclass(frozen=True, eq=False)
class Materials:
    """What all units of a study share.

    Args:
        study: What to do.
        training: Training images.
        test: Test images.
        device: Where to compute.
    """

    study: Study
    training: LabelledImages
    test: LabelledImages
    device: torch.device

    @classmethod
    def load(cls, study: Study, device: torch.device) -> Materials:
        """Load the data of a study."""
        training = load_data(study.data, "train").head(study.limit)
        return cls(study, training, load_data(study.data, "test").head(study.limit), device)

    def digests(self) -> dict[str, Json]:
        """The contents of the data."""
        return {"train": self.training.digest, "test": self.test.digest}

    def config(self) -> dict[str, Json]:
        """Everything that the result depends on, and by which its run is known."""
        return {
            "study": self.study.config(),
            "data": self.digests(),
            "environment": self.environment(),
        }

    def environment(self) -> dict[str, Json]:
        """Versions and machine: on another one the last bits may differ."""
        return describe_environment(self.device)
