"""What windows do to positions: convolutions, pools, borders, and maps that become finer."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from torch import Tensor

from shiftproof.anatomy._operations import Border, Finer, Grid, Pair, Reduce, Resample, Slide, Spread
from shiftproof.anatomy._question import LINEAR, Question, Reading, Rule, not_known, pair, unknown

BORDERS: dict[str, Border] = {
    "zeros": "zeros",
    "constant": "zeros",
    "replicate": "edge",
    "reflect": "reflect",
    "circular": "circular",
}


def slid(slide: Slide, question: Question) -> Reading:
    """A window over maps (N, C, H, W), with the size that it leaves checked against what torch gave."""
    if not question.grid.is_maps or len(question.after) != 4:
        return unknown(f"`{question.name}` slides over other axes than those of images.")
    size = (slide.n_outputs(0, question.grid.size[0]), slide.n_outputs(1, question.grid.size[1]))
    if size != question.after[2:]:
        return unknown(f"The size after `{question.name}` is not what its numbers say.")
    return (slide,), Grid(size, (2, 3))


def _conv(question: Question) -> Reading:
    weight = question.arguments["weight"]
    if not isinstance(weight, Tensor) or weight.ndim != 4:
        return not_known(question.name)
    taps = (weight.shape[2], weight.shape[3])
    dilation = pair(question.number("dilation", 1))
    padding = question.number("padding", 0)
    border = BORDERS.get(question.number("padding_mode", "zeros"))
    if border is None:
        return not_known(question.name)
    before = after = (0, 0)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, taps, strict=True)]
        before = (total[0] // 2, total[1] // 2)
        after = (total[0] - before[0], total[1] - before[1])
    elif padding != "valid":
        before = after = pair(padding)
    slide = Slide(taps, pair(question.number("stride", 1)), before, after, border, dilation, linear=True)
    return slid(slide, question)


def _pool(question: Question) -> Reading:
    if question.number("return_indices", False):
        return unknown("It also returns where its maxima are.")
    taps, padding = pair(question.number("kernel_size")), pair(question.number("padding", 0))
    slide = Slide(
        taps,
        pair(question.number("stride") or taps),
        padding,
        padding,
        dilation=pair(question.number("dilation", 1)),
        ceil=bool(question.number("ceil_mode", False)),
        linear=question.name == "avg_pool2d",
    )
    slides = slid(slide, question)
    if slides[1] is None or slide.dilation != (1, 1):
        return slides
    sizes = zip(taps, padding, question.grid.size, strict=True)
    alone = pair([kernel == length and not border for kernel, border, length in sizes])
    whole = (bool(alone[0]), bool(alone[1]))
    if not any(whole):
        return slides
    reduce = Reduce(whole, slide.linear)
    if all(whole):
        return (reduce,), None
    rest = replace(slide, taps=_without(taps, whole), stride=_without(slide.stride, whole))
    return (reduce, rest), slides[1]


def _without(numbers: Pair, gone: tuple[bool, bool]) -> Pair:
    """1 for an axis that is gone."""
    down, right = (1 if alone else number for number, alone in zip(numbers, gone, strict=True))
    return down, right


def _adaptive_pool(question: Question) -> Reading:
    if question.number("return_indices", False):
        return unknown("It also returns where its maxima are.")
    if not question.grid.is_maps or len(question.after) != 4:
        return not_known(question.name)
    size, kept = question.grid.size, (question.after[2], question.after[3])
    linear = question.name == "adaptive_avg_pool2d"
    if kept == (1, 1):
        return (Reduce(linear=linear),), None
    if kept == size:
        return (LINEAR,), question.grid
    if any(length % n for length, n in zip(size, kept, strict=True)):
        return unknown(f"Windows over {_of(size)} positions that leave {_of(kept)} differ in size.")
    alone = (kept[0] == 1, kept[1] == 1)
    windows = tuple(1 if one else length // n for one, length, n in zip(alone, size, kept, strict=True))
    slide = Slide(pair(windows), pair(windows), linear=linear)
    operations = (Reduce(alone, linear), slide) if any(alone) else (slide,)
    return operations, Grid(kept, (2, 3))


def _of(size: Pair) -> str:
    return f"{size[0]} × {size[1]}"


def _pad(question: Question) -> Reading:
    amounts = list(question.arguments["pad"])
    border = BORDERS.get(question.number("mode", "constant"))
    if border is None or len(amounts) % 2:
        return not_known("pad")
    by_axis = {
        len(question.before) - 1 - place: (amounts[2 * place], amounts[2 * place + 1])
        for place in range(len(amounts) // 2)
    }
    if by_axis.get(question.grid.images, (0, 0)) != (0, 0):
        return unknown("It adds images.")
    if border != "zeros" and any(min(margin) < 0 < max(margin) for margin in by_axis.values()):
        # What is repeated are then the positions that are left.
        return unknown("It crops one side and repeats positions on the other.")
    if question.grid.is_joint:
        return not_known("pad")
    margins = [by_axis.get(axis, (0, 0)) if axis is not None else (0, 0) for axis in question.grid.axes]
    if not any(any(margin) for margin in margins):
        return (LINEAR,), question.grid
    slide = Slide(
        before=(margins[0][0], margins[1][0]),
        after=(margins[0][1], margins[1][1]),
        border=border,
        linear=True,
    )
    size = (slide.n_outputs(0, question.grid.size[0]), slide.n_outputs(1, question.grid.size[1]))
    return (slide,), Grid(size, question.grid.axes, question.grid.images)


# How many positions are read on either side, by the mode of torch.
_RADIUS = {"nearest": 0, "nearest-exact": 0, "bilinear": 1, "bicubic": 2}


def _interpolate(question: Question) -> Reading:
    mode = question.number("mode", "nearest")
    if mode not in _RADIUS or not question.grid.is_maps or question.number("antialias", False):
        return not_known(question.name)
    size, after = question.grid.size, (question.after[2], question.after[3])
    axes = [_scaled(question, axis, size[axis], after[axis]) for axis in (0, 1)]
    blocks = not any(new % old for old, new in zip(size, after, strict=True))
    if mode.startswith("nearest") and blocks and all(scale.numerator == 1 for scale, _ in axes):
        return _finer(question)
    (down, top), (right, left) = axes
    return (Resample(after, (down, right), (top, left), _RADIUS[mode]),), Grid(after, (2, 3))


def _scaled(question: Question, axis: int, old: int, new: int) -> tuple[Fraction, Fraction]:
    """Old positions from one new one to the next, and where the first one lies, as torch has it."""
    if question.number("align_corners", False):
        return (Fraction(old - 1, new - 1) if new > 1 and old > 1 else Fraction(old, new)), Fraction(0)
    scale = Fraction(old, new)
    factor = question.number("scale_factor")
    if factor is not None and not question.number("recompute_scale_factor", False):
        given = factor[axis] if isinstance(factor, list | tuple) else factor
        scale = 1 / Fraction(given).limit_denominator(1024)
    centred = question.number("mode", "nearest") != "nearest"
    exact = question.number("mode", "nearest") == "nearest-exact"
    start = (scale - 1) / 2 if centred else Fraction(0)
    return scale, start + Fraction(1, 2) if exact else start


def _transposed(question: Question) -> Reading:
    weight = question.arguments["weight"]
    if not isinstance(weight, Tensor) or weight.ndim != 4 or not question.grid.is_maps:
        return not_known(question.name)
    taps, stride = (weight.shape[2], weight.shape[3]), pair(question.number("stride", 1))
    before, dilation = pair(question.number("padding", 0)), pair(question.number("dilation", 1))
    after = (question.after[2], question.after[3])
    blocks = [size * step for size, step in zip(question.grid.size, stride, strict=True)]
    if taps == stride and dilation == (1, 1) and before == (0, 0) and list(after) == blocks:
        return _finer(question)
    return (Spread(after, taps, stride, before, dilation),), Grid(after, (2, 3))


def _finer(question: Question) -> Reading:
    if not question.grid.is_maps or len(question.after) != 4:
        return not_known(question.name)
    size, after = question.grid.size, (question.after[2], question.after[3])
    if any(n % length for length, n in zip(size, after, strict=True)):
        return unknown(f"{_of(size)} positions do not become {_of(after)} in the same way everywhere.")
    return (Finer((after[0] // size[0], after[1] // size[1])),), Grid(after, (2, 3))


def _unshuffle(question: Question) -> Reading:
    block = pair(question.arguments["downscale_factor"])
    return slid(Slide(block, block), question)


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
    "pixel_shuffle": _finer,
    "pixel_unshuffle": _unshuffle,
}
