"""A head that forgets positions, from the weights of one that does not."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from shiftproof._text import said
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import Record, copied, put
from shiftproof.edits._trace import finished, insert_layer, is_pointwise, layer_of, traced
from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import GlobalMeanPool
from shiftproof.records import Change


def global_mean_head(model: nn.Module, images: Tensor | None = None) -> Edited:
    """Flatten and a dense layer as the mean over positions and a dense layer.

    The new weights of a channel are the sum of its old ones over positions, so that maps that are the same
    everywhere have the answer that they had.

    Args:
        model: A module that torch.fx can follow.
        images: One or more, to learn the size of the maps.
    """
    if images is None:
        raise OptionError(
            "`images` for the edit global-mean-head",
            "none",
            cause="The size of the maps is not known without.",
        )
    found = traced(copied(model))
    shapes = _Shapes(found)
    with torch.no_grad():
        try:
            shapes.run(images[:1])
        except (RuntimeError, ValueError) as error:
            raise ShapeError("images that the model takes", tuple(images.shape), cause=said(error)) from error
    record = Record()
    for node in list(found.graph.nodes):
        size = shapes.of.get(node.all_input_nodes[0]) if node.all_input_nodes else None
        dense = _dense_after(found, node) if _flattens(found, node) else None
        if dense is None or size is None or len(size) != 4 or size[2] * size[3] == 1:
            continue
        linear = found.get_submodule(str(dense.target))
        assert isinstance(linear, nn.Linear)
        if linear.in_features != size[1] * size[2] * size[3]:
            continue
        put(found, str(dense.target), _summed(linear, size[1]))
        flatten = str(node.target) if node.op == "call_module" else node.name
        record.changes += [
            Change(flatten, "flatten", "GlobalMeanPool"),
            Change(
                str(dense.target), f"{linear.in_features:,} inputs", f"{size[1]:,} inputs, weights summed"
            ),
        ]
        insert_layer(found, node, GlobalMeanPool(), f"{node.name}_mean")
    return record.of(finished(found), "global-mean-head")


class _Shapes(fx.Interpreter):
    """Runs a graph and remembers the shape of what each step gives."""

    def __init__(self, found: fx.GraphModule) -> None:
        super().__init__(found)
        self.of: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> object:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.of[n] = tuple(value.shape)
        return value


def _flattens(found: fx.GraphModule, node: fx.Node) -> bool:
    if isinstance(layer_of(found, node), nn.Flatten):
        return True
    named = node.target in ("flatten", "view", "reshape")
    return node.target is torch.flatten or (node.op == "call_method" and named)


def _dense_after(found: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    while len(node.users) == 1:
        (node,) = node.users
        if isinstance(layer_of(found, node), nn.Linear):
            return node
        if not is_pointwise(found, node):
            return None
    return None


def _summed(linear: nn.Linear, channels: int) -> nn.Linear:
    new = nn.Linear(channels, linear.out_features, linear.bias is not None)
    new.to(linear.weight.device, linear.weight.dtype)
    with torch.no_grad():
        new.weight.copy_(linear.weight.view(linear.out_features, channels, -1).sum(2))
        if linear.bias is not None:
            new.bias.copy_(linear.bias)
    return new.train(linear.training)


edits.register(
    "global-mean-head",
    Edit(
        "global-mean-head",
        "surgery",
        global_mean_head,
        "the mean over positions in place of flatten, the weights of each channel summed",
        "Lin, Chen and Yan 2014, arXiv:1312.4400 (global average pooling)",
        "fewer weights",
        "training",
    ),
)
