"""How a network is trained: every setting that the result depends on, in one frozen record."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shiftproof.shifts import protocols

InputScale = Literal["unit", "raw"]
INPUT_SCALES: dict[InputScale, float] = {"unit": 1.0, "raw": 255.0}


class EarlyStopping(BaseModel):
    """Stop when the loss on a held-out part of the training set has not fallen for some epochs.

    Args:
        patience_epochs: Epochs without a lower loss before stopping; the best weights are kept.
        held_out: Share of the training images that is held out. Test images are never looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patience_epochs: Annotated[int, Field(ge=1)] = 5
    held_out: Annotated[float, Field(gt=0, lt=1)] = 1 / 12


class Recipe(BaseModel):
    """Settings of one training.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per step; the last step of an epoch takes what is left.
        learning_rate: Of Adam.
        adam_epsilon: Of Adam; Keras' default is 1e-7.
        input_scale: `raw` feeds 0 to 255 as the article's code does, `unit` 0 to 1.
        augmentation: Name of a shift protocol drawn anew for every image and epoch, or `none`.
        early_stopping: Absent: train for the full number of epochs, as the default.

    Example:
        >>> Recipe(epochs=3, augmentation="keras-augment").batch_size
        128
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-7
    input_scale: InputScale = "raw"
    augmentation: str = "none"
    early_stopping: EarlyStopping | None = None

    @field_validator("augmentation")
    @classmethod
    def _known(cls, name: str) -> str:
        if name != "none":
            protocols.get(name)
        return name
