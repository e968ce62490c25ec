"""What all units of a study share: the study, its data, the machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from shiftproof._device import describe_environment
from shiftproof._digest import Json
from shiftproof.data import LabelledImages, load_data
from shiftproof.errors import OptionError
from shiftproof.shifts import ShiftProtocol, find_protocol
from shiftproof.study._spec import Study
from shiftproof.zoo import build_network


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
        """Load the data of a study.

        Raises:
            ShapeError: A network of the study cannot be built for images of this size; says which.
            OptionError: A protocol moves them out of the frame.
        """
        training = load_data(study.data, "train").head(study.limit)
        test = load_data(study.data, "test").head(study.test_limit or study.limit)
        materials = cls(study, training, test, device)
        materials.check_sizes()
        return materials

    def check_sizes(self) -> None:
        """Have every network built and every protocol drawn once, before hours are spent on the first."""
        shape, n_classes = self.training.image_shape, len(self.training.class_names)
        for reference in self.study.protocols:
            _check_reach(find_protocol(reference), shape[1:])
        for name in dict.fromkeys(arm.network for arm in self.study.arms):
            build_network(name, image_shape=shape, n_classes=n_classes)

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


def _check_reach(protocol: ShiftProtocol, size_px: tuple[int, int]) -> None:
    reach = protocol.law.reach_px(size_px)
    if reach[0] >= size_px[0] or reach[1] >= size_px[1]:
        raise OptionError(
            f"shifts smaller than the images ({size_px[0]} × {size_px[1]} px)",
            f"{protocol.name} with up to {reach[0]} px in y and {reach[1]} px in x",
            fix="Choose a smaller radius.",
        )
