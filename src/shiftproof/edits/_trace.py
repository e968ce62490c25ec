"""A network as a graph of its layers, where torch.fx can follow it: for edits between layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx, nn

from shiftproof._text import said
from shiftproof.edits._dense import stride_of
from shiftproof.errors import ModelError

# What looks at each number, or each position, alone: a blur may as well come after it.
_POINTWISE_LAYERS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish,
    nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.PReLU, nn.Identity, nn.Dropout, nn.Dropout2d,
)  # fmt: skip
_POINTWISE_FUNCTIONS = (
    torch.relu, torch.sigmoid, torch.tanh, F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish,
    F.hardswish, F.hardtanh, F.dropout,
)  # fmt: skip
_POINTWISE_METHODS = ("relu", "relu_", "sigmoid", "tanh", "contiguous")
_POOLS: dict[Callable[..., Any], Callable[..., nn.Module]] = {
    F.max_pool2d: nn.MaxPool2d,
    torch.max_pool2d: nn.MaxPool2d,
    F.avg_pool2d: nn.AvgPool2d,
}
_ARGUMENTS = {
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    nn.AvgPool2d: (
        "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    ),
}  # fmt: skip


class _Images(fx.Proxy):
    """Images whose number of channels is known: many libraries look whether it is the right one."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, channels: int) -> None:
        super().__init__(node, tracer)
        self._channels = channels

    @property
    def shape(self) -> tuple[Any, int, Any, Any]:
        return self.size(0), self._channels, self.size(2), self.size(3)


def _channels_of_images(network: nn.Module) -> int | None:
    """As many as the first convolution takes; another number would not run."""
    return next((layer.in_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)


class _Tracer(fx.Tracer):
    """Keeps whole what an edit may be about, and what comes after it: convolutions and norms.

    Args:
        whole: Paths of other parts that are kept whole.
    """

    def __init__(self, whole: Set[str] = frozenset()) -> None:
        super().__init__()
        self.whole, self.innermost = whole, ""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        channels = _channels_of_images(self.root) if node.op == "placeholder" else None
        return super().proxy(node) if channels is None else _Images(node, self, channels)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = type(m).__module__.startswith(("shiftproof.layers", "shiftproof.edits"))
        kept = isinstance(m, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) or is_norm(m)
        named = module_qualified_name in self.whole
        return ours or kept or named or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        before, self.innermost = self.innermost, self.path_of_module(m)
        answer = super().call_module(m, forward, args, kwargs)
        self.innermost = before  # Not where it fails: then it is known where.
        return answer


@contextmanager
def _asked_for_images_alone(network: nn.Module) -> Iterator[None]:
    """What its forward could take beside them is then as where nobody gives it, and no part of the graph.

    Args:
        network: A copy of somebody's.
    """
    kind = type(network)
    # Without a hint of its type, which the graph would keep as a word and could not be pickled with.
    forward = {"forward": lambda self, images: kind.forward(self, images)}  # noqa: PLW0108  # it takes more
    network.__class__ = type(kind.__name__, (kind,), forward)
    try:
        yield
    finally:
        network.__class__ = kind


def _graph_of(network: nn.Module) -> fx.Graph:
    """The graph of a network; a part that cannot be followed, and has no stride, is one step of it."""
    whole: set[str] = set()
    while True:
        tracer = _Tracer(whole)
        try:
            with _asked_for_images_alone(network):
                return tracer.trace(network)
        except Exception as error:  # anything can happen in the forward of others
            part = tracer.innermost
            parts = network.get_submodule(part).modules() if part else ()
            if not part or part in whole or any(map(stride_of, parts)):
                raise ModelError.cannot(
                    "follow the network with torch.fx",
                    f"{type(error).__name__}: {said(error)}",
                    cause="This edit is made between layers, and needs to know which reads which.",
                    fix="Use an edit that replaces single layers, such as blur-strides.",
                ) from error
            whole.add(part)


def traced(network: nn.Module) -> fx.GraphModule:
    """The graph of a network, with its own layers, under their names.

    What `forward` decides by Python is decided as in the mode that the network is in.

    Args:
        network: A copy of somebody's; it gives its layers to the graph.

    Raises:
        ModelError: torch.fx cannot follow its forward.
    """
    graph = _graph_of(network)
    found = fx.GraphModule(network, graph, type(network).__name__)
    for path, part in found.named_modules():
        part.training = network.get_submodule(path).training
    return found


def with_pools_as_layers(network: nn.Module) -> nn.Module:
    """The network itself, or, where it calls pools as functions, its graph with layers in their place.

    Args:
        network: A copy of somebody's.
    """
    try:
        found = traced(network)
    except ModelError:  # Then its pools are those that are layers.
        return network
    calls = [node for node in found.graph.nodes if node.op == "call_function" and node.target in _POOLS]
    for node in calls:
        layer = _pool(node)
        if layer is not None:
            insert_layer(found, node, layer, f"{node.name}_layer")
    if not any(node.op == "call_module" and node.target.endswith("_layer") for node in found.graph.nodes):
        return network
    return finished(found)


def _pool(node: fx.Node) -> nn.Module | None:
    kind = _POOLS[node.target]  # type: ignore[index]  # it is one of them
    names = _ARGUMENTS[kind]  # type: ignore[index]  # as above
    given = dict(zip(("input", *names), node.args, strict=False)) | dict(node.kwargs)
    given.pop("input")
    if any(isinstance(value, fx.Node) for value in given.values()):
        return None
    return kind(**given)


def insert_layer(found: fx.GraphModule, node: fx.Node, layer: nn.Module, name: str) -> fx.Node:
    """Have a layer do what a call did, with the first input of the call."""
    found.add_submodule(name, layer.train(found.training))
    with found.graph.inserting_after(node):
        new = found.graph.call_module(name, (node.all_input_nodes[0],))
    node.replace_all_uses_with(new)
    found.graph.erase_node(node)
    return new


def layer_after(found: fx.GraphModule, node: fx.Node, layer: nn.Module, name: str) -> fx.Node:
    """Put a layer behind a step: whatever read the step now reads the layer."""
    found.add_submodule(name, layer.train(found.training))
    with found.graph.inserting_after(node):
        new = found.graph.call_module(name, (node,))
    node.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
    return new


def finished(found: fx.GraphModule) -> fx.GraphModule:
    """The graph, checked and compiled."""
    found.graph.lint()
    found.recompile()
    return found


def layer_of(found: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer that a step calls, if it calls one."""
    return found.get_submodule(str(node.target)) if node.op == "call_module" else None


def end_of_chain(found: fx.GraphModule, node: fx.Node) -> fx.Node:
    """The last of the norms and pointwise functions that follow a step and nothing else reads."""
    while len(node.users) == 1:
        (user,) = node.users
        if not (len(user.all_input_nodes) == 1 and is_pointwise(found, user)):
            break
        node = user
    return node


def is_pointwise(found: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a step mixes no positions."""
    layer = layer_of(found, node)
    if layer is not None:
        return isinstance(layer, _POINTWISE_LAYERS) or is_norm(layer)
    if node.op == "call_function":
        return node.target in _POINTWISE_FUNCTIONS
    return node.op == "call_method" and node.target in _POINTWISE_METHODS


def is_norm(layer: nn.Module) -> bool:
    """Whether a layer is a normalisation, of torch or of a library that has the word in its name."""
    return "Norm" in type(layer).__name__ and not any(
        isinstance(part, nn.Conv2d | nn.Linear) for part in layer.modules()
    )
