"""Where models come from: one reference such as `timm:resnet18` or `model.onnx` → one `Classifier`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shiftproof._registry import Registry
from shiftproof.adapters._classifier import Classifier


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is known of a model beside its reference. None: as the source says, or not at all.

    Args:
        trust: Whether code from the model's file may run.
        untrained: Whether to leave the weights as they are initialised, and to download none.
        weights: A file with weights to put into the model: `.safetensors`, or a state dict that
            `torch.save` wrote. That is read with `weights_only=True`, so neither needs trust.
        arguments: Keyword arguments for the function that builds the model.
        mean: Per channel, on the scaled image.
        std: Per channel.
        scale: Factor on images in [0, 1].
        size_px: (H, W) that the model takes.
        resize_px: Short side before the centre is cut out.
        channels: Channels that the model takes.
        channels_last: Whether it takes (N, H, W, C).
        logits: Index or key of the logits in an answer with several parts.
        class_names: One name per logit.
    """

    trust: bool = False
    untrained: bool = False
    weights: Path | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    scale: float | None = None
    size_px: tuple[int, int] | None = None
    resize_px: int | None = None
    channels: int | None = None
    channels_last: bool | None = None
    logits: int | str | None = None
    class_names: tuple[str, ...] | None = None


Taken = Literal["untrained", "weights", "arguments"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A way to get a model from a reference `scheme:rest`, or from a file with a certain suffix.

    Args:
        name: The scheme, or the suffix with its dot.
        load: Takes what follows the colon, or the path, and the request.
        summary: One line for a table.
        example: A reference, for error messages and tables.
        takes: Which parts of a request have a meaning here; others are refused, not ignored.
        runs_code: What loading it runs, as the object of a sentence; not empty: it needs trust.
        extra: The extra that it needs, or empty.
    """

    name: str
    load: Callable[[str, ModelRequest], Classifier]
    summary: str
    example: str
    takes: frozenset[Taken] = frozenset()
    runs_code: str = ""
    extra: str = ""


model_sources: Registry[ModelSource] = Registry("model source")
