"""Images as a model takes them, a batch at a time, where the model is."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier
from shiftproof.data import Images
from shiftproof.errors import OptionError


def device_of(classifier: Classifier) -> torch.device:
    """Where the weights of a module are; the CPU for anything without weights."""
    parameters = classifier.model.parameters() if isinstance(classifier.model, nn.Module) else iter(())
    return next((weights.device for weights in parameters), torch.device("cpu"))


def float_batches(
    data: Images, batch_size: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> Iterator[Tensor]:
    """The images in order: (n, C, H, W) in [0, 1], n up to `batch_size`.

    Raises:
        OptionError: A batch of less than one image.
    """
    if batch_size < 1:
        raise OptionError("a batch of at least 1 image", batch_size)
    for start in range(0, len(data), batch_size):
        pixels = data.pixels(slice(start, min(start + batch_size, len(data))))
        yield pixels.to(device).to(dtype) / 255
