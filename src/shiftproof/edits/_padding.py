"""Another border: what convolutions and pools see outside of their maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from shiftproof.edits._dense import pair
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import New, Record, copied, replace_layers

Padding = Literal["circular", "reflect", "replicate"]
_PADS = {"circular": nn.CircularPad2d, "reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d}


def padding(model: nn.Module, layers: Sequence[str] | None = None, *, mode: Padding) -> Edited:
    """Something else than zeros outside, for every layer that pads; sizes stay as they are."""
    network = copied(model)
    return pad_layers(network, mode, layers=layers).of(network, f"padding-{mode}")


def pad_layers(
    network: nn.Module, mode: Padding, *, layers: Sequence[str] | None = None, record: Record | None = None
) -> Record:
    """The same in a network that is a copy already."""

    def rule(layer: nn.Module) -> New | str | None:
        if isinstance(layer, nn.Conv2d):
            return _conv(layer, mode)
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d) and pair(layer.padding) != (0, 0):
            return _pool(layer, mode)
        return None

    return replace_layers(network, rule, layers=layers, record=record)


def _conv(layer: nn.Conv2d, mode: Padding) -> New | str | None:
    if "Same" in type(layer).__name__:
        return "It pads in its own way."
    if not any(layer._reversed_padding_repeated_twice) or layer.padding_mode == mode:
        return None
    changed: Any = layer
    changed.padding_mode = mode
    return New(layer, f"{mode} padding")


def _pool(layer: nn.MaxPool2d | nn.AvgPool2d, mode: Padding) -> New | str:
    if getattr(layer, "ceil_mode", False):
        return "It rounds the size of its answer up (`ceil_mode`)."
    down, right = pair(layer.padding)
    changed: Any = layer
    changed.padding = 0
    return New(nn.Sequential(_PADS[mode]((right, right, down, down)), layer), f"{mode} padding")


def full_padding(model: nn.Module, layers: Sequence[str] | None = None) -> Edited:
    """Convolutions with every window that sees anything of their maps, so that no pixel is seen less often.

    Maps grow, so that this is for networks whose branches grow alike and whose head takes maps of any size.
    """

    def rule(layer: nn.Module) -> New | str | None:
        if not isinstance(layer, nn.Conv2d) or pair(layer.kernel_size) == (1, 1):
            return None
        if "Same" in type(layer).__name__:
            return "It pads in its own way."
        taps = [d * (k - 1) for d, k in zip(pair(layer.dilation), pair(layer.kernel_size), strict=True)]
        if layer.padding_mode == "zeros" and layer.padding == tuple(taps):
            return None
        changed: Any = layer
        changed.padding, changed.padding_mode = tuple(taps), "zeros"
        changed._reversed_padding_repeated_twice = [taps[1], taps[1], taps[0], taps[0]]
        return New(layer, f"full padding, {taps[0]} and {taps[1]} px")

    network = copied(model)
    return replace_layers(network, rule, layers=layers).of(network, "padding-full")


for _mode, _summary in (
    ("circular", "the opposite side"),
    ("reflect", "the maps themselves, mirrored,"),
    ("replicate", "the nearest position"),
):
    edits.register(
        f"padding-{_mode}",
        Edit(
            f"padding-{_mode}",
            "surgery",
            padding,
            f"{_summary} in place of zeros outside of the maps",
            "Kayhan and van Gemert 2020, arXiv:2003.07064, on what zeros tell of positions",
            "next to nothing",
            fixed={"mode": _mode},
        ),
    )

edits.register(
    "padding-full",
    Edit(
        "padding-full",
        "surgery",
        full_padding,
        "zeros so wide that each pixel meets each weight; maps grow, for heads that take any size",
        "Kayhan and van Gemert 2020, arXiv:2003.07064 (full convolution)",
        "larger maps",
        "training",
    ),
)
