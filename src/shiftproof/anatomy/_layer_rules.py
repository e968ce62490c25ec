"""What layers do to positions, where that cannot be read from a call of one torch function.

Each rule is proved from the code of its layer, as its docstring says. A new layer is one entry of `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from shiftproof.anatomy._calls import POINTWISE_LAYERS
from shiftproof.anatomy._map_call import Effect, MapCall, not_known, unknown, varying
from shiftproof.anatomy._operations import (
    Adaptive,
    AliasFree,
    Border,
    Flatten,
    LowPass,
    PositionGrid,
    Slide,
)
from shiftproof.anatomy._torch_rules import read_call
from shiftproof.anatomy._whole_map_rules import attended
from shiftproof.layers import (
    AdaptiveBlurPool2d,
    AdaptivePolyphase2d,
    AliasFreeActivation,
    BlurPool2d,
    CircularMaxPool2d,
    DetailPreservingPool2d,
    GlobalMeanPool,
    LearnedPolyphase2d,
    LowPassPool2d,
    MaxBlurPool2d,
    PolyphaseAnchor2d,
    PolyphaseUnpool2d,
    PrimaryCapsules,
    RoutedCapsules,
)

Rule = Callable[[Any, MapCall], Effect]
POINTWISE_FUNCTIONS = (torch.relu, F.relu, torch.tanh, torch.sigmoid, F.gelu, F.silu, torch.square)


def _slides(call: MapCall, *slides: Slide) -> Effect:
    """Windows one after the other; the last one leaves what torch gave."""
    size = call.grid.size
    for slide in slides:
        size = (slide.n_outputs(0, size[0]), slide.n_outputs(1, size[1]))
    if not call.grid.is_maps or call.after[2:] != size:
        return unknown("The size after it is not what its numbers say.")
    return slides, PositionGrid(size, (2, 3))


def _global_mean(layer: GlobalMeanPool, call: MapCall) -> Effect:
    """`maps.mean((2, 3))`."""
    return read_call(replace(call, name="mean", arguments={"dim": (2, 3)}))


def _blur_slide(layer: BlurPool2d, border: Border) -> Slide:
    before, after = layer.margins_px
    return Slide(
        (layer.kernel_size,) * 2,
        layer.stride,
        (before, before),
        (after, after),
        border,
        linear=True,
    )


def _blur(layer: BlurPool2d, call: MapCall) -> Effect:
    """A convolution of each channel with one kernel, after a padding of `margins_px`."""
    return _slides(call, _blur_slide(layer, layer.border))


def _max_blur(layer: MaxBlurPool2d, call: MapCall) -> Effect:
    """A maximum of stride 1 without padding, then the blur; on a circle one padding serves both."""
    window = Slide((layer.pool_size,) * 2)
    blur = _blur_slide(layer.blur, layer.blur.border)
    if layer.blur.border != "circular":
        return _slides(call, window, blur)
    more = blur.after[0] + layer.pool_size - 1
    margin = Slide(before=blur.before, after=(more, more), border="circular", linear=True)
    return _slides(call, margin, window, replace(blur, before=(0, 0), after=(0, 0)))


def _circular_max(layer: CircularMaxPool2d, call: MapCall) -> Effect:
    """A maximum of stride 1 after a circular padding below and to the right."""
    behind = layer.pool_size - 1
    return _slides(call, Slide((layer.pool_size,) * 2, after=(behind, behind), border="circular"))


def _detail(layer: DetailPreservingPool2d, call: MapCall) -> Effect:
    """A function of the pixels of a window, and for `full` of a 3 × 3 filter that begins a pixel before it.

    The filter is padded by a zero pixel, of which the one behind is only seen with a stride of 1.
    """
    if layer.coarse_filter is None:
        return _slides(call, Slide(layer.stride, layer.stride))
    down, right = layer.stride
    kernel_size = (max(down, 2) + 1, max(right, 2) + 1)
    return _slides(call, Slide(kernel_size, layer.stride, (1, 1), (int(down == 1), int(right == 1))))


def _adaptive_blur(layer: AdaptiveBlurPool2d, call: MapCall) -> Effect:
    """A window of which the weights are computed from the same window."""
    kernel_size, margin = (layer.kernel_size,) * 2, (layer.kernel_size // 2,) * 2
    return _slides(call, Slide(kernel_size, layer.stride, margin, margin, layer.border))


def _anchor(layer: PolyphaseAnchor2d, call: MapCall) -> Effect:
    """It rolls maps by fewer positions than the stride, by as many as their content says."""
    return varying("It moves maps by a number of positions that it chooses by their content.", call.grid)


def _adaptive(layer: AdaptivePolyphase2d | LearnedPolyphase2d, call: MapCall) -> Effect:
    """The phase with the largest key, after a blur that is circular and so commutes with rolls.

    Keys of phases change places as phases do, and are whole numbers that have no order of sums. Where
    two are the same, so are the phases, but for a roll (`layers/_exact_keys.py`).
    """
    if layer.training:
        return unknown("In training mode it mixes phases.")
    down, right = layer.stride
    height, width = call.grid.size
    if not call.grid.is_maps:
        return not_known(type(layer).__name__)
    grid = replace(call.grid, size=(height // down, width // right))
    return (Adaptive(layer.stride),), grid


def _alias_free(layer: AliasFreeActivation, call: MapCall) -> Effect:
    """Ideal resampling to a finer grid and back commutes with rolls of whole positions of the finer one."""
    pointwise = type(layer.activation) in POINTWISE_LAYERS or layer.activation in POINTWISE_FUNCTIONS
    if not pointwise:
        return unknown("Whether its activation looks at each number alone is not known.")
    if not call.grid.is_maps:
        return not_known("AliasFreeActivation")
    return (AliasFree(layer.factor),), call.grid


def _low_pass(layer: LowPassPool2d, call: MapCall) -> Effect:
    """Reads the band-limited function through the maps at another number of positions."""
    if not call.grid.is_maps:
        return not_known("LowPassPool2d")
    return (LowPass(layer.stride),), replace(call.grid, size=(call.after[2], call.after[3]))


def _primary_capsules(layer: PrimaryCapsules, call: MapCall) -> Effect:
    """A convolution, whose positions are then capsules of their own, in order."""
    return (Flatten(),), None


def _routed_capsules(layer: RoutedCapsules, call: MapCall) -> Effect:
    """Each capsule has matrices of its own."""
    return (Flatten(),), None


def _padded(layer: Any, call: MapCall) -> Effect:
    """A border, as (left, right, above, below)."""
    modes = {"ReflectionPad2d": "reflect", "ReplicationPad2d": "replicate", "CircularPad2d": "circular"}
    mode = modes.get(type(layer).__name__, "constant")
    return read_call(replace(call, name="pad", arguments={"pad": layer.padding, "mode": mode}))


def _called(name: str, *fields: str, **others: Any) -> Rule:
    """The rule of a torch function, whose arguments the layer keeps under their names."""

    def rule(layer: Any, call: MapCall) -> Effect:
        arguments = {field: getattr(layer, field) for field in fields} | others
        return read_call(replace(call, name=name, arguments=arguments))

    return rule


def _instance_norm(layer: nn.InstanceNorm2d, call: MapCall) -> Effect:
    """Statistics of each image, unless it has kept running ones."""
    arguments = {"running_mean": layer.running_mean, "use_input_stats": not layer.track_running_stats}
    return read_call(replace(call, name="instance_norm", arguments=arguments))


def _transposed(layer: nn.ConvTranspose2d, call: MapCall) -> Effect:
    """`conv_transpose2d`, with the numbers of the layer."""
    if layer.padding_mode != "zeros":
        return not_known("ConvTranspose2d")
    return _called("conv_transpose2d", "weight", "stride", "padding", "dilation")(layer, call)


def _upsample(layer: nn.Upsample, call: MapCall) -> Effect:
    """`interpolate`, with the numbers of the layer."""
    return _called("interpolate", "size", "scale_factor", "mode", "align_corners")(layer, call)


def _encoder_layer(layer: nn.TransformerEncoderLayer, call: MapCall) -> Effect:
    """Attention of all tokens to all tokens, and functions of each token."""
    activation = layer.activation
    if not (activation in POINTWISE_FUNCTIONS or type(activation) in POINTWISE_LAYERS):
        return unknown("Whether its activation looks at each number alone is not known.")
    grid, line = call.grid, 1 if layer.self_attn.batch_first else 0
    return attended(grid, grid, grid, line, len(call.before))


def _encoder(layer: nn.TransformerEncoder, call: MapCall) -> Effect:
    """Layers one after the other."""
    norm = layer.norm
    plain = norm is None or (type(norm) is nn.LayerNorm and len(norm.normalized_shape) == 1)
    if not plain or any(type(each) is not nn.TransformerEncoderLayer for each in layer.layers):
        return not_known(type(layer).__name__)
    readings = [_encoder_layer(each, call) for each in layer.layers]
    return next((each for each in readings if each[1] is None), readings[-1])


RULES: dict[type[nn.Module], Rule] = {
    AdaptiveBlurPool2d: _adaptive_blur,
    AdaptivePolyphase2d: _adaptive,
    AliasFreeActivation: _alias_free,
    BlurPool2d: _blur,
    CircularMaxPool2d: _circular_max,
    DetailPreservingPool2d: _detail,
    GlobalMeanPool: _global_mean,
    LearnedPolyphase2d: _adaptive,
    LowPassPool2d: _low_pass,
    MaxBlurPool2d: _max_blur,
    PolyphaseAnchor2d: _anchor,
    PrimaryCapsules: _primary_capsules,
    RoutedCapsules: _routed_capsules,
    nn.ChannelShuffle: _called("channel_shuffle"),
    nn.CircularPad2d: _padded,
    nn.ConstantPad2d: _padded,
    nn.ConvTranspose2d: _transposed,
    nn.GLU: _called("glu", "dim"),
    nn.GroupNorm: _called("group_norm"),
    nn.InstanceNorm2d: _instance_norm,
    nn.LocalResponseNorm: _called("local_response_norm"),
    nn.PixelShuffle: _called("pixel_shuffle"),
    nn.PixelUnshuffle: _called("pixel_unshuffle", "downscale_factor"),
    nn.RMSNorm: _called("rms_norm", "normalized_shape", "weight"),
    nn.ReflectionPad2d: _padded,
    nn.ReplicationPad2d: _padded,
    nn.Softmax2d: _called("softmax", dim=1),
    nn.Softmin: _called("softmin", "dim"),
    nn.TransformerEncoder: _encoder,
    nn.TransformerEncoderLayer: _encoder_layer,
    nn.Unflatten: _called("unflatten"),
    nn.Upsample: _upsample,
    nn.UpsamplingBilinear2d: _upsample,
    nn.UpsamplingNearest2d: _upsample,
    nn.ZeroPad2d: _padded,
}

# Layers that the trace keeps whole; others of this project are followed into.
LEAVES = (*(kind for kind in RULES if kind.__module__.startswith("shiftproof.")), PolyphaseUnpool2d)
