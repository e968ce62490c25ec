"""Where models come from: one reference such as `timm:resnet18` or `model.onnx` → one `Classifier`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shiftproof._registry import Registry
from shiftproof._tasks import Outputs, TaskName
from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._task import check_task
from shiftproof.adapters._thresholds import Threshold
from shiftproof.data import FitWay
from shiftproof.errors import OptionError

MAX_CHANNELS, MAX_SIDE_PX = 4096, 100_000


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
        fit: What becomes of an image of other proportions: `crop`, `squash` or `letterbox`.
        fill: Of the bars of a letterbox: one byte, or red, green and blue.
        bgr: Whether it takes blue, green and red, in this order; mean and std are in the same.
        channels_last: Whether it takes (N, H, W, C).
        logits: Index or key of the logits in an answer with several parts.
        class_names: One name per logit; for one number that tells two classes apart, two.
        task: What an answer is: `single-label`, `binary`, `multi-label` or `embedding`.
        outputs: What its numbers are: `logits`, `probabilities` or, for an embedding, `vector`.
        threshold: Above which probability an answer is positive, or a label there; one number, or one for
            each label, in the order of the logits or by name.
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
    fit: FitWay | None = None
    fill: tuple[int, ...] | None = None
    bgr: bool | None = None
    channels_last: bool | None = None
    logits: int | str | None = None
    class_names: tuple[str, ...] | None = None
    task: TaskName | None = None
    outputs: Outputs | None = None
    threshold: Threshold | None = None

    def __post_init__(self) -> None:
        sizes: dict[str, tuple[int | None, int]] = {
            "channels": (self.channels, MAX_CHANNELS),
            "resize_px": (self.resize_px, MAX_SIDE_PX),
        }
        sizes |= {f"side {axis} of size_px": (px, MAX_SIDE_PX) for axis, px in enumerate(self.size_px or ())}
        for name, (value, most) in sizes.items():
            if value is not None and not 1 <= value <= most:
                raise OptionError(f"{name} from 1 to {most:,}", value)
        check_task(self.task, self.outputs, self.threshold)

    @property
    def n_channels(self) -> int | None:
        """Channels that the model takes: as said, or as many as there are means or deviations."""
        per_channel = (numbers for numbers in (self.mean, self.std) if numbers and len(numbers) > 1)
        return self.channels or next(map(len, per_channel), None)


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
        picks_logits: Whether `load` itself finds the logits that a request names.
    """

    name: str
    load: Callable[[str, ModelRequest], Classifier]
    summary: str
    example: str
    takes: frozenset[Taken] = frozenset()
    runs_code: str = ""
    extra: str = ""
    picks_logits: bool = False


model_sources: Registry[ModelSource] = Registry("model source")
