"""The feature maps of a layer, of an image and of the moved image, the latter moved back over the former."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from shiftproof.adapters import Classifier
from shiftproof.anatomy import Place, Steps, find_places, read_network
from shiftproof.errors import ModelError, OptionError
from shiftproof.serve._pictures import png_address
from shiftproof.shifts import translate
from shiftproof.zoo import ImageShape

# So many channels are shown: those with the largest values.
MOST_CHANNELS = 12
# Sums of float32 in another order differ by about so much of them.
ROUNDING = 1e-5


class Layer(NamedTuple):
    """A layer whose maps lie in the image.

    Args:
        name: Its path in the model.
        path: Its path in what is run.
        stride_px: Pixels of the image from one position to the next, (down, right).
    """

    name: str
    path: str
    stride_px: tuple[float, float]


def layers_of(classifier: Classifier, image_shape: ImageShape) -> tuple[Layer, ...]:
    """The layers of a model that runs each of them once; none where it cannot be followed.

    No other thread may run any module meanwhile.

    Example:
        >>> from shiftproof.adapters import load_classifier
        >>> [layer.name for layer in layers_of(load_classifier("zoo:cnn2"), (1, 28, 28))][2::3]
        ['body.pool1', 'body.pool2']
    """
    module = classifier.pipeline
    steps = None if module is None else read_network(module, image_shape)
    if not isinstance(steps, Steps):
        return ()
    places = find_places(steps)
    called = [str(step.node.target) for step in steps.steps if step.node.op == "call_module"]
    return tuple(
        Layer(step.layer, str(step.node.target), (float(place.stride_px[0]), float(place.stride_px[1])))
        for step in steps.steps
        if isinstance(place := places[step.node], Place)
        and step.node.op == "call_module"
        and called.count(str(step.node.target)) == 1
        and place.axes == (2, 3)
    )


def feature_maps(
    classifier: Classifier, layer: Layer, image: Tensor, moved: Tensor, offset_px: tuple[float, float]
) -> list[dict[str, Any]]:
    """The maps of a layer, as pictures with the place of their maximum.

    Args:
        classifier: A module.
        layer: One of `layers_of`.
        image: float32 (1, C, H, W) in [0, 1].
        moved: The same, moved.
        offset_px: By how much, (dy, dx).

    Returns:
        For each channel `still` and `back`, pictures of one scale of grey: the maps of the image, and those
        of the moved image, moved back by offset ÷ stride, black where nothing came from; and `still_at` and
        `back_at`, the place (row, column) of the maximum of each, in positions of `still`.

    Raises:
        ModelError: The layer has no maps.
    """
    maps = _run(classifier, layer, torch.cat([image, moved]))
    back_by = (-offset_px[0] / layer.stride_px[0], -offset_px[1] / layer.stride_px[1])
    low, high = maps.amin((0, 2, 3)), maps.amax((0, 2, 3))
    shown = (maps - low[:, None, None]) / (high - low).clamp(min=1e-12)[:, None, None]
    back = translate(shown[1:], back_by, border="zeros")
    channels = maps[0].amax((1, 2)).argsort(descending=True, stable=True)[:MOST_CHANNELS]
    return [
        {
            "channel": channel,
            "still": png_address(shown[0, channel][None]),
            "back": png_address(back[0, channel][None]),
            "still_at": _maximum(maps[0, channel], (0.0, 0.0)),
            "back_at": _maximum(maps[1, channel], back_by),
        }
        for channel in channels.tolist()
    ]


def layer_named(layers: tuple[Layer, ...], name: str) -> Layer:
    """The layer of that name; `OptionError` where there is none."""
    for layer in layers:
        if layer.name == name:
            return layer
    raise OptionError("a layer of the model", repr(name), fix="Choose one that the page offers.")


def _maximum(values: Tensor, back_by: tuple[float, float]) -> list[float]:
    """Where it is; of several that rounding alone tells apart, the first, so that it moves with them."""
    least = values.max() - ROUNDING * values.abs().max()
    row, column = (values >= least).nonzero()[0].tolist()
    return [row + back_by[0], column + back_by[1]]


def _run(classifier: Classifier, layer: Layer, images: Tensor) -> Tensor:
    """The maps that a layer gives: float32 (N, C, h, w), on the CPU."""
    module = classifier.pipeline
    assert module is not None, "only a module has layers"
    seen: list[Any] = []
    handle = module.get_submodule(layer.path).register_forward_hook(lambda *call: seen.append(call[2]))
    try:
        with torch.inference_mode(), classifier.wall(images):
            module(images)
    finally:
        handle.remove()
    maps = seen[-1] if seen else None
    if not isinstance(maps, Tensor) or maps.ndim != 4 or not maps.is_floating_point():
        raise ModelError(f"maps from {layer.name}", "something else")
    return maps.float().cpu()
