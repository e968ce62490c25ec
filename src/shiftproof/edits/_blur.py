"""Edits that take away what a stride aliases: in the place of each layer that has one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeGuard

from torch import nn

from shiftproof.edits._dense import Pair, at_stride_one, pair, stride_of
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import New, Rule, behind, copied, layer_before, replace_layers
from shiftproof.edits._trace import with_pools_as_layers
from shiftproof.layers import AdaptiveBlurPool2d, BlurPool2d, LowPassPool2d, MaxBlurPool2d
from shiftproof.shifts import Border

ZHANG = "Zhang 2019, arXiv:1904.11486"
# A convolution whose windows of this size or more do not overlap cuts the image into patches.
LEAST_PATCH_PX = 4
# What is blurred and subsampled: the stride, and the channels where they are known.
Sampler = Callable[[Pair, int | None], nn.Module]


def max_blur_pool(
    model: nn.Module,
    layers: Sequence[str] | None = None,
    *,
    kernel_size: int = 3,
    border: Border = "reflect",
) -> Edited:
    """Max pools as a maximum at every position, then a blur and the stride."""

    def rule(layer: nn.Module) -> New | str | None:
        if not isinstance(layer, nn.MaxPool2d):
            return None
        return _sampled(
            layer, lambda stride, _: _blur(None, kernel_size, stride, border), kernel_size, border
        )

    return _edited(model, rule, layers, "max-blur-pool")


def avg_blur_pool(
    model: nn.Module,
    layers: Sequence[str] | None = None,
    *,
    kernel_size: int = 3,
    border: Border = "reflect",
) -> Edited:
    """Average pools as blurs with the same stride, whose taps fall off towards the sides."""

    def rule(layer: nn.Module) -> New | str | None:
        if not isinstance(layer, nn.AvgPool2d):
            return None
        return _sampled(layer, lambda stride, _: _blur(None, kernel_size, stride, border))

    return _edited(model, rule, layers, "avg-blur-pool")


def blur_strides(
    model: nn.Module,
    layers: Sequence[str] | None = None,
    *,
    kernel_size: int = 3,
    border: Border = "reflect",
) -> Edited:
    """Strided convolutions at stride 1, then a blur and the stride, before the norm and the activation."""

    def rule(layer: nn.Module) -> New | str | None:
        if not isinstance(layer, nn.Conv2d) or is_patches(layer):
            return None
        return _sampled(layer, lambda stride, channels: _blur(channels, kernel_size, stride, border))

    return _edited(model, rule, layers, "blur-strides")


def low_pass_pool(model: nn.Module, layers: Sequence[str] | None = None) -> Edited:
    """Strides as ideal low-pass filters: what the coarser grid cannot hold is cut off in frequency."""

    def rule(layer: nn.Module) -> New | str | None:
        return None if is_patches(layer) else _sampled(layer, lambda stride, _: LowPassPool2d(stride))

    return _edited(model, rule, layers, "low-pass-pool")


def adaptive_blur(
    model: nn.Module, layers: Sequence[str] | None = None, *, kernel_size: int = 3, groups: int = 8
) -> Edited:
    """Strides after a blur whose kernel follows the content at each position."""

    def rule(layer: nn.Module) -> New | str | None:
        if not isinstance(layer, nn.Conv2d) or is_patches(layer):
            return None

        def sampler(stride: Pair, channels: int | None) -> nn.Module:
            assert channels is not None
            n_groups = max(n for n in range(1, min(groups, channels) + 1) if channels % n == 0)
            return AdaptiveBlurPool2d(channels, groups=n_groups, kernel_size=kernel_size, stride=stride)

        return _sampled(layer, sampler)

    return _edited(model, rule, layers, "adaptive-blur")


def composer_blurpool(
    model: nn.Module, layers: Sequence[str] | None = None, *, min_channels: int = 16
) -> Edited:
    """What the library Composer does: blur before strided convolutions of enough channels, zeros outside."""

    network = _copied(model)
    blurred = behind(network, "blur", BlurPool2d)

    def rule(layer: nn.Module) -> New | str | None:
        if isinstance(layer, nn.MaxPool2d):
            return _sampled(layer, lambda stride, _: _blur(None, 3, stride, "zeros"))
        if not isinstance(layer, nn.Conv2d) or stride_of(layer) is None or id(layer) in blurred:
            return None
        return _blurred_first(layer, 3, "zeros") if layer.in_channels >= min_channels else None

    return replace_layers(network, rule, layers=layers).of(network, "composer-blurpool")


def patch_blur(
    model: nn.Module, layers: Sequence[str] | None = None, *, kernel_size: int = 5, border: Border = "reflect"
) -> Edited:
    """A blur of the image before it is cut into patches."""

    network = _copied(model)
    blurred = behind(network, "blur", BlurPool2d)

    def rule(layer: nn.Module) -> New | None:
        if not is_patches(layer) or id(layer) in blurred:
            return None
        return _blurred_first(layer, kernel_size, border)

    return replace_layers(network, rule, layers=layers).of(network, "patch-blur")


def is_patches(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a convolution cuts its maps into patches that do not overlap."""
    if not isinstance(layer, nn.Conv2d):
        return False
    size = pair(layer.kernel_size)
    return size == pair(layer.stride) and min(size) >= LEAST_PATCH_PX


def _edited(model: nn.Module, rule: Rule, layers: Sequence[str] | None, edit: str) -> Edited:
    network = _copied(model)
    return replace_layers(network, rule, layers=layers).of(network, edit)


def _copied(model: nn.Module) -> nn.Module:
    return with_pools_as_layers(copied(model))


def _sampled(
    layer: nn.Module, sampler: Sampler, max_kernel: int | None = None, border: Border | None = None
) -> New | str | None:
    """The layer at every position, and then what takes the place of its stride."""
    stride = stride_of(layer)
    if stride is None:
        return None
    dense = at_stride_one(layer)
    if isinstance(dense, str):
        return dense
    if isinstance(layer, nn.MaxPool2d) and max_kernel is not None and border is not None:
        size, rest = pair(layer.kernel_size), (pair(layer.padding), pair(layer.dilation))
        if size[0] == size[1] and rest == ((0, 0), (1, 1)):
            new = MaxBlurPool2d(None, pool_size=size[0], kernel_size=max_kernel, stride=stride, border=border)
            return New(new, "MaxBlurPool2d")
    channels = layer.out_channels if isinstance(layer, nn.Conv2d) else None
    parts: OrderedDict[str, nn.Module] = OrderedDict(dense=dense, sample=sampler(stride, channels))
    if isinstance(layer, nn.AvgPool2d):
        del parts["dense"]  # A blur is a mean itself.
        if pair(layer.padding) != (0, 0) or pair(layer.kernel_size) != stride:
            return "Its windows overlap, so that a blur would give maps of another size."
    new_layer = nn.Sequential(parts)
    return New(new_layer, f"stride 1 and then {type(parts['sample']).__name__}")


def _blurred_first(layer: nn.Conv2d, kernel_size: int, border: Border) -> New:
    blur = _blur(layer.in_channels, kernel_size, (1, 1), border)
    return New(layer_before(layer, "blur", blur), "a blur before it")


def _blur(channels: int | None, kernel_size: int, stride: Pair, border: Border) -> BlurPool2d:
    return BlurPool2d(channels, kernel_size=kernel_size, stride=stride, border=border)


for _edit in (
    Edit(
        "max-blur-pool",
        "surgery",
        max_blur_pool,
        "a blur between the maximum and the stride of max pools",
        f"{ZHANG}, MaxBlurPool; 3 taps where theirs are 4",
        "one maximum and one blur at every position",
    ),
    Edit(
        "avg-blur-pool",
        "surgery",
        avg_blur_pool,
        "blurs in the place of average pools",
        f"{ZHANG}; 3 taps where theirs are 4",
        "a wider mean",
    ),
    Edit(
        "blur-strides",
        "surgery",
        blur_strides,
        "strided convolutions at every position, then a blur and the stride",
        f"{ZHANG}; the blur comes before the norm and the activation, where Zhang found it worse",
        "those convolutions, stride² times",
    ),
    Edit(
        "low-pass-pool",
        "surgery",
        low_pass_pool,
        "strides as ideal low-pass filters in frequency, on a circle",
        "Grabinski, Jung, Keuper and Keuper 2022, arXiv:2204.00491 (FLC pooling); ours also leaves out the "
        "highest frequency of the coarse grid, which has no half-pixel shift, and keeps odd sizes",
        "those layers, stride² times, and two matrix products",
    ),
    Edit(
        "adaptive-blur",
        "surgery",
        adaptive_blur,
        "strided convolutions at every position, then a blur whose kernel follows the content",
        "Zou, Xiao, Yu and Lee 2020, arXiv:2008.09604; starts as a binomial blur, before the norm",
        "those convolutions, stride² times, and one small convolution each",
        "training",
    ),
    Edit(
        "composer-blurpool",
        "surgery",
        composer_blurpool,
        "a blur with zeros outside, before strided convolutions of 16 channels or more, and in max pools",
        "MosaicML Composer, apply_blurpool with its defaults, written anew from its description",
        "one blur at every position",
    ),
    Edit(
        "patch-blur",
        "surgery",
        patch_blur,
        "a blur of the image before it is cut into patches",
        f"{ZHANG}, for patch embeddings of transformers, where the blur commutes with the convolution",
        "one blur of the image",
    ),
):
    edits.register(_edit.name, _edit)
