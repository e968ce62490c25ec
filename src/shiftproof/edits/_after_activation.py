"""Blurs where they were published: behind the activation that follows a strided convolution."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from shiftproof.edits._blur import ZHANG, is_patches
from shiftproof.edits._dense import at_stride_one, pair, stride_of
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import Record, copied, is_in, layer_before, put
from shiftproof.edits._trace import end_of_chain, finished, layer_after, layer_of, traced
from shiftproof.layers import BlurPool2d
from shiftproof.records import Change, LeftAlone
from shiftproof.shifts import Border


def conv_blur_pool(
    model: nn.Module,
    layers: Sequence[str] | None = None,
    *,
    kernel_size: int = 3,
    border: Border = "reflect",
    stem: bool = True,
    shortcuts: bool = True,
) -> Edited:
    """Strided convolutions at stride 1, then their norm and activation, then a blur and the stride.

    A 1 × 1 convolution, as in shortcuts, commutes with the blur, which then comes before it.

    Args:
        model: A module that torch.fx can follow.
        layers: Only these.
        kernel_size, border: Of the blur.
        stem: Whether to change the first strided convolution too.
        shortcuts: Whether to change 1 × 1 convolutions too.
    """
    found = traced(copied(model))
    record = Record()
    is_first = True
    for node in list(found.graph.nodes):
        layer = layer_of(found, node)
        stride = None if layer is None else stride_of(layer)
        if not isinstance(layer, nn.Conv2d) or stride is None or is_patches(layer):
            continue
        first, is_first = is_first, False
        path, is_shortcut = str(node.target), pair(layer.kernel_size) == (1, 1)
        if (
            (first and not stem)
            or (is_shortcut and not shortcuts)
            or not (layers is None or is_in(path, layers))
        ):
            continue
        dense = at_stride_one(layer)
        if isinstance(dense, str):
            record.left_alone.append(LeftAlone(path, dense))
            continue
        if is_shortcut:
            blur = BlurPool2d(layer.in_channels, kernel_size=kernel_size, stride=stride, border=border)
            put(found, path, layer_before(dense, "blur", blur))
            record.changes.append(Change(path, type(layer).__name__, "BlurPool2d and then stride 1"))
            continue
        put(found, path, dense)
        last = end_of_chain(found, node)
        blur = BlurPool2d(layer.out_channels, kernel_size=kernel_size, stride=stride, border=border)
        layer_after(found, last, blur, f"{node.name}_blur")
        after = "" if last is node else f" behind {last.target if last.op == 'call_module' else last.name}"
        record.changes.append(Change(path, type(layer).__name__, f"stride 1, BlurPool2d{after}"))
    return record.of(finished(found), "conv-blur-pool")


edits.register(
    "conv-blur-pool",
    Edit(
        "conv-blur-pool",
        "surgery",
        conv_blur_pool,
        "strided convolutions at every position; a blur and the stride behind their activation",
        f"{ZHANG}, ConvBlurPool; the stem too, which theirs leaves out; 3 taps where theirs are 4",
        "those convolutions, norms and activations, stride² times",
    ),
)
