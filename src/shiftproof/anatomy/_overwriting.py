"""Whether a step of a network writes over what another one reads."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping

from torch import Tensor, fx


def memory_of(tensor: Tensor) -> int:
    """The same for all tensors that show the same numbers."""
    return tensor.untyped_storage().data_ptr()


def overwrites_what_others_read(
    node: fx.Node, module: fx.GraphModule, results: Mapping[fx.Node, Tensor]
) -> bool:
    """Whether a step changes its first input in place, and not it alone reads that memory.

    Args:
        node: The step.
        module: Holds the layers.
        results: What each step that gives a tensor gave.
    """
    return _overwrites(node, module) and _is_shared(node, results)


def _overwrites(node: fx.Node, module: fx.GraphModule) -> bool:
    """Whether a step changes its first input in place."""
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    if node.op != "call_function":
        return False
    return node.target is operator.setitem or "out" in node.kwargs or _says_in_place(node)


def _says_in_place(node: fx.Node) -> bool:
    function = node.target
    assert callable(function)
    if getattr(function, "__name__", "").endswith("_"):
        return True
    try:
        bound = inspect.signature(function).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):  # Builtins without a signature; none of them has the argument.
        return False
    return bool(bound.arguments.get("inplace", False))


def _is_shared(node: fx.Node, results: Mapping[fx.Node, Tensor]) -> bool:
    """Whether anything but this step reads the memory that it changes."""
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source not in results or node.kwargs.get("out") is not None:
        return True
    memory = memory_of(results[source])
    for other, value in results.items():
        if other is node:
            break
        readers = [user for user in other.users if not _asks_size(user)]
        if memory_of(value) == memory and (len(readers) > 1 or other.op == "get_attr"):
            return True
    return False


def _asks_size(node: fx.Node) -> bool:
    return node.target == "size" or (node.target is getattr and node.args[1] == "shape")
