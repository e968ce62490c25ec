"""What a position of a layer sees, found by putting NaN into one row of its input after another.

A number that depends on a NaN is NaN. So one learns of any layer, whoever wrote it, which positions of
its input each position of its answer depends on: stride and window, padding included, since the positions
near a border see what lies beyond it where those in the middle see a neighbour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from shiftproof.adapters import of_others
from shiftproof.explain._space import Pair, Space, arranged
from shiftproof.explain._watching import WatchedCall, tensors_in

# Larger maps are cut to their middle, and longer windows than that count as the whole map.
PROBED_PX = 32


@dataclass(frozen=True, slots=True)
class AxisWindow:
    """Along one axis: output i sees inputs stride · i + first … stride · i + last, in positions."""

    stride: Fraction
    first: Fraction
    last: Fraction


def located(
    call: WatchedCall, spaces: Mapping[str, Space], n_images: int, *, opaque: Container[str] = ()
) -> Space | None:
    """Where the answer of a call lies in the image, from where its inputs lie; None where it has no place.

    Args:
        call: One that can be repeated.
        spaces: Of its inputs, by name.
        n_images: Images in the batch.
        opaque: Inputs without a layout of their own, whose space is that of what came before them.
    """
    parents = {name: spaces[name] for name in call.inputs if name in spaces}
    shape = tuple(call.answer.shape)
    if not parents or shape[:1] != (n_images,):
        return None
    parent = max(parents.values(), key=lambda space: space.size)
    found = arranged(shape, parent)
    if found is None or found.size == (1, 1):
        return None
    seen = [_seen_by(call, name, space, found, name in opaque) for name, space in parents.items()]
    return _together(seen, found, all(name in parents for name in call.inputs))


def _seen_by(call: WatchedCall, name: str, parent: Space, found: Space, opaque: bool) -> Space | None:
    """The answer's place as this input alone has it."""
    down, right = (None if opaque else _window(call, name, parent, found, axis) for axis in (0, 1))
    if down is None or right is None:
        sizes = zip(parent.size, found.size, parent.stride, strict=True)
        strides = [stride for each in sizes if (stride := _stride_of_sizes(*each)) is not None]
        return _placed(replace(found, by_sizes=True), strides) if len(strides) == 2 else None
    found = replace(found, by_sizes=parent.by_sizes)
    scaled = (parent.stride[0] * down.stride, parent.stride[1] * right.stride)
    if parent.first is None or parent.last is None:
        return _placed(found, scaled)
    (sy, sx), (top, left), (bottom, end) = parent.stride, parent.first, parent.last
    first = (top + sy * down.first, left + sx * right.first)
    last = (bottom + sy * down.last, end + sx * right.last)
    return _placed(found, scaled, first, last)


def _placed(
    space: Space, stride: Sequence[Fraction], first: Pair | None = None, last: Pair | None = None
) -> Space:
    return replace(space, stride=(stride[0], stride[1]), first=first, last=last)


def _stride_of_sizes(before: int, after: int, stride: Fraction) -> Fraction | None:
    if before % after == 0 or after % before == 0:
        return stride * Fraction(before, after)
    return None


def _together(seen: list[Space | None], found: Space, all_known: bool) -> Space | None:
    """One place for an answer of several inputs: it sees what any of them sees."""
    known = [space for space in seen if space is not None]
    if not known or len({space.stride for space in known}) > 1:
        return None
    firsts = [space.first for space in known if space.first is not None]
    lasts = [space.last for space in known if space.last is not None]
    one = replace(known[0], by_sizes=any(space.by_sizes for space in known))
    if not all_known or len(firsts) < len(seen):
        return one.blind
    first = (min(f[0] for f in firsts), min(f[1] for f in firsts))
    last = (max(e[0] for e in lasts), max(e[1] for e in lasts))
    return _placed(one, one.stride, first, last)


def _window(call: WatchedCall, name: str, parent: Space, found: Space, axis: int) -> AxisWindow | None:
    """What the answer sees along one axis; None where it sees everything, or cannot be asked."""
    before, after = parent.size[axis], found.size[axis]
    if before == 1 or after == 1:
        return None
    if parent.layout == "nchw" and found.layout == "nchw" and min(parent.size) > PROBED_PX:
        ratio = -(-before // after)
        longest = max(PROBED_PX, 6 * ratio)
        cut = (min(parent.size[0], longest), min(parent.size[1], longest))
        asked = _asked(call, name, parent, axis, cut)
        if asked is not None and _grows(asked, before - cut[axis], after):
            return asked.window
    asked = _asked(call, name, parent, axis, parent.size)
    return None if asked is None else asked.window


class _Asked(NamedTuple):
    """A window, and how many outputs there were when it was seen."""

    window: AxisWindow
    n_outputs: int


def _grows(asked: _Asked, more: int, after: int) -> bool:
    """Whether so many inputs more give as many outputs more as the stride says, whatever the border."""
    stride = asked.window.stride
    return abs(stride * (after - asked.n_outputs) - more) < max(stride, Fraction(1))


def _asked(call: WatchedCall, name: str, parent: Space, axis: int, cut: tuple[int, int]) -> _Asked | None:
    size = cut[axis]
    ask = _probe(call, name, parent, axis, cut)
    middle = (size - 1) // 2
    try:
        first_look = ask([middle, middle + 1])
        if first_look is None:
            return None
        near, far = (row.nonzero().flatten().tolist() for row in first_look)
        if len(near) == len(far) == 1 and first_look.shape[1] == size and far[0] == near[0] + 1:
            ahead = Fraction(middle - near[0])
            return _Asked(AxisWindow(Fraction(1), ahead, ahead), size)
        if bool(first_look.all()) and first_look.shape[1] > 2:
            return None
        rows = ask(list(range(size)))
    except BaseException as error:  # A function of others may refuse NaN, or another size.
        of_others(error)
        return None
    window = None if rows is None else _fitted(rows)
    return None if rows is None or window is None else _Asked(window, rows.shape[1])


def _probe(
    call: WatchedCall, name: str, parent: Space, axis: int, cut: tuple[int, int]
) -> Callable[[list[int]], Tensor | None]:
    """A function of rows to bool (rows, outputs): which outputs are NaN where this row of the input is."""

    def ask(rows: list[int]) -> Tensor | None:
        found = []
        for index in range(0, len(rows), 2):
            pair = [rows[index], rows[min(index + 1, len(rows) - 1)]]
            answer = _same_answer(call, call.again(_inputs(call, name, parent, axis, cut, pair)))
            space = arranged(answer.shape, replace(parent, size=cut))
            if space is None:
                return None
            found.append(space.maps(answer).isnan().any(1).any(2 - axis)[:2])
        return torch.cat(found)[: len(rows)].cpu()

    return ask


def _same_answer(call: WatchedCall, answers: object) -> Tensor:
    """The tensor that this call stands for, where a layer or function gives several."""
    index = int(call.name.rpartition("[")[2][:-1]) if call.name.endswith("]") else 0
    return [tensor for tensor in tensors_in(answers) if tensor.is_floating_point()][index]


def _inputs(
    call: WatchedCall, name: str, parent: Space, axis: int, cut: tuple[int, int], pair: list[int]
) -> dict[str, Tensor]:
    """Copies of all inputs, cut to their middle; a row of each image is NaN in that asked about."""
    inputs = {}
    for source, tensor in call.sources:
        top, left = ((parent.size[a] - cut[a]) // 2 for a in (0, 1))
        is_cut = tensor.ndim == 4 and tuple(tensor.shape[2:]) == parent.size
        middle = tensor[:, :, top : top + cut[0], left : left + cut[1]] if is_cut else tensor
        inputs[source] = middle.clone()
    maps = parent.maps(inputs[name]) if cut == parent.size else inputs[name]
    for image, row in enumerate(pair):
        maps[image].select(1 + axis, row).fill_(torch.nan)
    return inputs


def _fitted(rows: Tensor) -> AxisWindow | None:
    """Stride and window from which input each output depends on: bool (inputs, outputs).

    Example:
        >>> two_by_two = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=torch.bool)
        >>> _fitted(two_by_two)
        AxisWindow(stride=Fraction(2, 1), first=Fraction(0, 1), last=Fraction(1, 1))
    """
    n_inputs, n_outputs = rows.shape
    seeing = rows.any(0).nonzero().flatten().tolist()  # The others see nothing but the border.
    if len(seeing) < 2 or seeing != list(range(seeing[0], seeing[-1] + 1)):
        return None
    windows = [
        _unrolled(rows[:, i].nonzero().flatten().tolist(), n_inputs, i < n_outputs / 2) for i in seeing
    ]
    if all(window == (0, n_inputs - 1) for window in windows):
        return None
    window = _most_likely(seeing, windows, round(n_outputs / n_inputs))
    if window is None:
        return None
    # Near a border, which may be wide, outputs see other inputs.
    agreeing = (
        window.stride * i + window.first <= low <= high <= window.stride * i + window.last
        for i, (low, high) in zip(seeing, windows, strict=True)
    )
    return window if 2 * sum(agreeing) >= len(seeing) else None


def _most_likely(
    seeing: Sequence[int], windows: Sequence[tuple[int, int]], most_upsampled: int
) -> AxisWindow | None:
    """The stride and the window that most outputs agree with; more outputs may also be a wide border."""
    ends = list(zip(*windows, strict=True))
    upsampled = min(most_upsampled, _outputs_for_one_input([low for low, _ in windows]))
    if upsampled > 1:
        stride = Fraction(1, upsampled)
        first, last = ([value - stride * i for i, value in zip(seeing, end, strict=True)] for end in ends)
        return AxisWindow(stride, min(first), max(last))
    steps = [after - before for end in ends for before, after in pairwise(end) if after > before]
    if not steps:
        return None
    # A window that reaches beyond the border is cut there, which makes steps shorter, never longer.
    stride = Fraction(_most_common(steps))
    first, last = ([value - stride * i for i, value in zip(seeing, end, strict=True)] for end in ends)
    low = _most_common(first, least=True)
    # A layer may choose among the positions of a stride, for other images another one.
    return AxisWindow(stride, low, max(_most_common(last), low + stride - 1))


def _outputs_for_one_input(lows: Sequence[int]) -> int:
    """How many outputs begin at one input, in the middle, which no border reaches; at most 1 for strides.

    Example:
        >>> _outputs_for_one_input([0, 0, 1, 1, 2, 2]), _outputs_for_one_input([0, 0, 0, 1, 2, 3, 4, 5])
        (2, 1)
    """
    middle = lows[len(lows) // 4 : len(lows) - len(lows) // 4]
    return round((len(middle) - 1) / max(1, middle[-1] - middle[0]))


def _unrolled(inputs: list[int], size: int, near: bool) -> tuple[int, int]:
    """First and last input of a window; one that goes around is continued beyond the end.

    Example:
        >>> _unrolled([0, 1, 7], 8, True), _unrolled([0, 6, 7], 8, False), _unrolled([1, 3], 8, True)
        ((-1, 1), (6, 8), (1, 3))
    """
    gaps = [after - before for before, after in pairwise(inputs)]
    around = inputs[0] + size - inputs[-1]
    if not gaps or max(gaps) <= around:
        return inputs[0], inputs[-1]
    cut = gaps.index(max(gaps)) + 1
    return (inputs[cut] - size, inputs[cut - 1]) if near else (inputs[cut], inputs[cut - 1] + size)


def _most_common(values: Sequence[Fraction | int], *, least: bool = False) -> Fraction:
    """Of values that are equally common the largest, or the least."""
    counts = Counter(values)
    most = max(counts.values())
    common = [value for value, count in counts.items() if count == most]
    return Fraction(min(common) if least else max(common))
