"""What windows do to positions: convolutions, pools, borders, upsampling."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from torch import Tensor

from shiftproof.anatomy._map_call import LINEAR, Effect, MapCall, Rule, not_known, pair, unknown
from shiftproof.anatomy._operations import (
    Border,
    Pair,
    PositionGrid,
    Reduce,
    Resample,
    Slide,
    TransposedConv,
    Upsample,
)

BORDERS: dict[str, Border] = {
    "zeros": "zeros",
    "constant": "zeros",
    "replicate": "edge",
    "reflect": "reflect",
    "circular": "circular",
}


def slid(slide: Slide, call: MapCall) -> Effect:
    """A window over maps (N, C, H, W), with the size that it leaves checked against what torch gave."""
    if not call.grid.is_maps or len(call.after) != 4:
        return unknown(f"`{call.name}` slides over other axes than those of images.")
    size = (slide.n_outputs(0, call.grid.size[0]), slide.n_outputs(1, call.grid.size[1]))
    if size != call.after[2:]:
        return unknown(f"The size after `{call.name}` is not what its numbers say.")
    return (slide,), PositionGrid(size, (2, 3))


def _conv(call: MapCall) -> Effect:
    weight = call.arguments["weight"]
    if not isinstance(weight, Tensor) or weight.ndim != 4:
        return not_known(call.name)
    kernel_size = (weight.shape[2], weight.shape[3])
    dilation = pair(call.number("dilation", 1))
    padding = call.number("padding", 0)
    border = BORDERS.get(call.number("padding_mode", "zeros"))
    if border is None:
        return not_known(call.name)
    before = after = (0, 0)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True)]
        before = (total[0] // 2, total[1] // 2)
        after = (total[0] - before[0], total[1] - before[1])
    elif padding != "valid":
        before = after = pair(padding)
    slide = Slide(kernel_size, pair(call.number("stride", 1)), before, after, border, dilation, linear=True)
    return slid(slide, call)


def _pool(call: MapCall) -> Effect:
    if call.number("return_indices", False):
        return unknown("It also returns where its maxima are.")
    kernel_size, padding = pair(call.number("kernel_size")), pair(call.number("padding", 0))
    slide = Slide(
        kernel_size,
        pair(call.number("stride") or kernel_size),
        padding,
        padding,
        dilation=pair(call.number("dilation", 1)),
        ceil=bool(call.number("ceil_mode", False)),
        linear=call.name == "avg_pool2d",
    )
    slides = slid(slide, call)
    if slides[1] is None or slide.dilation != (1, 1):
        return slides
    sizes = zip(kernel_size, padding, call.grid.size, strict=True)
    alone = pair([kernel == length and not border for kernel, border, length in sizes])
    whole = (bool(alone[0]), bool(alone[1]))
    if not any(whole):
        return slides
    reduce = Reduce(whole, slide.linear)
    if all(whole):
        return (reduce,), None
    rest = replace(slide, kernel_size=_without(kernel_size, whole), stride=_without(slide.stride, whole))
    return (reduce, rest), slides[1]


def _without(numbers: Pair, gone: tuple[bool, bool]) -> Pair:
    """1 for an axis that is gone."""
    down, right = (1 if alone else number for number, alone in zip(numbers, gone, strict=True))
    return down, right


def _adaptive_pool(call: MapCall) -> Effect:
    if call.number("return_indices", False):
        return unknown("It also returns where its maxima are.")
    if not call.grid.is_maps or len(call.after) != 4:
        return not_known(call.name)
    size, kept = call.grid.size, (call.after[2], call.after[3])
    linear = call.name == "adaptive_avg_pool2d"
    if kept == (1, 1):
        return (Reduce(linear=linear),), None
    if kept == size:
        return (LINEAR,), call.grid
    if any(length % n for length, n in zip(size, kept, strict=True)):
        return unknown(f"Windows over {_of(size)} positions that leave {_of(kept)} differ in size.")
    alone = (kept[0] == 1, kept[1] == 1)
    windows = tuple(1 if one else length // n for one, length, n in zip(alone, size, kept, strict=True))
    slide = Slide(pair(windows), pair(windows), linear=linear)
    operations = (Reduce(alone, linear), slide) if any(alone) else (slide,)
    return operations, PositionGrid(kept, (2, 3))


def _of(size: Pair) -> str:
    return f"{size[0]} × {size[1]}"


def _pad(call: MapCall) -> Effect:
    amounts = list(call.arguments["pad"])
    border = BORDERS.get(call.number("mode", "constant"))
    if border is None or len(amounts) % 2:
        return not_known("pad")
    by_axis = {
        len(call.before) - 1 - place: (amounts[2 * place], amounts[2 * place + 1])
        for place in range(len(amounts) // 2)
    }
    if by_axis.get(call.grid.images, (0, 0)) != (0, 0):
        return unknown("It adds images.")
    if border != "zeros" and any(min(margin) < 0 < max(margin) for margin in by_axis.values()):
        # What is repeated are then the positions that are left.
        return unknown("It crops one side and repeats positions on the other.")
    if call.grid.is_joint:
        return not_known("pad")
    margins = [by_axis.get(axis, (0, 0)) if axis is not None else (0, 0) for axis in call.grid.axes]
    if not any(any(margin) for margin in margins):
        return (LINEAR,), call.grid
    slide = Slide(
        before=(margins[0][0], margins[1][0]),
        after=(margins[0][1], margins[1][1]),
        border=border,
        linear=True,
    )
    size = (slide.n_outputs(0, call.grid.size[0]), slide.n_outputs(1, call.grid.size[1]))
    return (slide,), PositionGrid(size, call.grid.axes, call.grid.images)


# How many positions are read on either side, by the mode of torch.
_RADIUS = {"nearest": 0, "nearest-exact": 0, "bilinear": 1, "bicubic": 2}


def _interpolate(call: MapCall) -> Effect:
    mode = call.number("mode", "nearest")
    if mode not in _RADIUS or not call.grid.is_maps or call.number("antialias", False):
        return not_known(call.name)
    size, after = call.grid.size, (call.after[2], call.after[3])
    axes = [_scaled(call, axis, size[axis], after[axis]) for axis in (0, 1)]
    blocks = not any(new % old for old, new in zip(size, after, strict=True))
    if mode.startswith("nearest") and blocks and all(scale.numerator == 1 for scale, _ in axes):
        return _upsample(call)
    (down, top), (right, left) = axes
    return (Resample(after, (down, right), (top, left), _RADIUS[mode]),), PositionGrid(after, (2, 3))


def _scaled(call: MapCall, axis: int, old: int, new: int) -> tuple[Fraction, Fraction]:
    """Old positions from one new one to the next, and where the first one lies, as torch has it."""
    if call.number("align_corners", False):
        return (Fraction(old - 1, new - 1) if new > 1 and old > 1 else Fraction(old, new)), Fraction(0)
    scale = Fraction(old, new)
    factor = call.number("scale_factor")
    if factor is not None and not call.number("recompute_scale_factor", False):
        given = factor[axis] if isinstance(factor, list | tuple) else factor
        scale = 1 / Fraction(given).limit_denominator(1024)
    centred = call.number("mode", "nearest") != "nearest"
    exact = call.number("mode", "nearest") == "nearest-exact"
    start = (scale - 1) / 2 if centred else Fraction(0)
    return scale, start + Fraction(1, 2) if exact else start


def _transposed(call: MapCall) -> Effect:
    weight = call.arguments["weight"]
    if not isinstance(weight, Tensor) or weight.ndim != 4 or not call.grid.is_maps:
        return not_known(call.name)
    kernel_size, stride = (weight.shape[2], weight.shape[3]), pair(call.number("stride", 1))
    before, dilation = pair(call.number("padding", 0)), pair(call.number("dilation", 1))
    after = (call.after[2], call.after[3])
    blocks = [size * step for size, step in zip(call.grid.size, stride, strict=True)]
    if kernel_size == stride and dilation == (1, 1) and before == (0, 0) and list(after) == blocks:
        return _upsample(call)
    return (TransposedConv(after, kernel_size, stride, before, dilation),), PositionGrid(after, (2, 3))


def _upsample(call: MapCall) -> Effect:
    if not call.grid.is_maps or len(call.after) != 4:
        return not_known(call.name)
    size, after = call.grid.size, (call.after[2], call.after[3])
    if any(n % length for length, n in zip(size, after, strict=True)):
        return unknown(f"{_of(size)} positions do not become {_of(after)} in the same way everywhere.")
    return (Upsample((after[0] // size[0], after[1] // size[1])),), PositionGrid(after, (2, 3))


def _unshuffle(call: MapCall) -> Effect:
    block = pair(call.arguments["downscale_factor"])
    return slid(Slide(block, block), call)


WINDOWS: dict[str, Rule] = {
    "adaptive_avg_pool2d": _adaptive_pool,
    "adaptive_max_pool2d": _adaptive_pool,
    "avg_pool2d": _pool,
    "conv2d": _conv,
    "conv_transpose2d": _transposed,
    "interpolate": _interpolate,
    "lp_pool2d": _pool,
    "max_pool2d": _pool,
    "pad": _pad,
    "pixel_shuffle": _upsample,
    "pixel_unshuffle": _unshuffle,
}
