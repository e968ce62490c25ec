"""What a network computes, written down while it runs: for what torch.fx cannot follow.

A run is only one of those that a network may make. So what decides in Python by the numbers of its maps is
refused, and what was written down of some images is compared with what was of another number of others: what
grows with it, such as how many windows there are, becomes a multiple of it. Sizes of images are those of the
run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode, is_tensor_method_or_property

from shiftproof.anatomy._unite import NotRecorded, unite

# What may be asked about a tensor without looking at its numbers.
_ABOUT_SHAPES = (
    "__len__", "dim", "element_size", "get_device", "is_complex", "is_contiguous", "is_floating_point",
    "is_inference", "is_signed", "ndimension", "nelement", "numel", "size", "storage_offset", "stride",
    "_assert", "__hash__",
)  # fmt: skip
_PROPERTIES = (
    "device", "dtype", "grad", "grad_fn", "is_cpu", "is_cuda", "is_leaf", "is_meta", "is_mkldnn", "is_mps",
    "is_nested", "is_quantized", "is_sparse", "is_xpu", "itemsize", "layout", "names", "nbytes", "ndim",
    "requires_grad", "shape",
)  # fmt: skip
# How many numbers these give depends on the numbers that they get.
_OF_UNKNOWN_LENGTH = ("argwhere", "bincount", "masked_select", "nonzero", "unique", "unique_consecutive")
_PLAIN = (
    fx.Node, bool, int, float, complex, str, type(None), type(Ellipsis), torch.dtype, torch.device,
    torch.layout, torch.memory_format,
)  # fmt: skip

_OPERATORS: dict[str, Callable[..., Any]] = {
    "abs": operator.abs, "add": operator.add, "and": operator.and_, "div": operator.truediv,
    "eq": operator.eq, "floordiv": operator.floordiv, "ge": operator.ge, "getitem": operator.getitem,
    "gt": operator.gt, "invert": operator.invert, "le": operator.le, "lt": operator.lt,
    "matmul": operator.matmul, "mod": operator.mod, "mul": operator.mul, "ne": operator.ne,
    "neg": operator.neg, "or": operator.or_, "pow": operator.pow, "sub": operator.sub,
    "truediv": operator.truediv, "xor": operator.xor,
}  # fmt: skip

# Names for tensors that are neither parameters nor buffers.
CONSTANT = "_recorded_constant_"

IsLeaf = Callable[[nn.Module, str], bool]
Methods = Sequence[tuple[type[nn.Module], str]]


class _Recorder(TorchFunctionMode):
    """The calls of one run, as a graph: functions are seen by the mode, leaves by hooks."""

    def __init__(self, module: nn.Module, is_leaf: IsLeaf) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.refusal: NotRecorded | None = None
        self.constants: dict[str, Tensor] = {}
        self.paths: list[str] = [""]
        self._is_leaf = is_leaf
        self._inside = 0
        self._nodes: dict[int, fx.Node] = {}
        self._depending: set[fx.Node] = set()
        self._stale: set[int] = set()  # Those that show what was written into another one.
        self._kept: list[Tensor] = []  # So that no other tensor gets the id of one of these.
        self._own = {id(tensor): path for path, tensor in module.named_buffers()}
        self._own |= {id(tensor): path for path, tensor in module.named_parameters()}
        self._layers = {id(layer): path for path, layer in module.named_modules()}

    def start(self, images: Tensor) -> None:
        node = self.graph.placeholder("images")
        self._depending.add(node)
        self._bind(images, node)

    def end(self, answer: Any) -> None:
        self.graph.output(self._argument(answer, "the answer"))

    def hooks(self, path: str, layer: nn.Module) -> list[Any]:
        """See each call of a layer: as one step if it is a leaf, else for the paths of those inside."""
        is_leaf = bool(path) and self._is_leaf(layer, path)

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            self.paths.append(path)
            self._inside += is_leaf

        def leave(_: nn.Module, args: Any, kwargs: Any, answer: Any) -> None:
            self._inside -= is_leaf
            if is_leaf and not self._inside:
                self._step("call_module", path, args, kwargs, answer)
            self.paths.pop()

        return [
            layer.register_forward_pre_hook(enter, with_kwargs=True),
            layer.register_forward_hook(leave, with_kwargs=True),
        ]

    def method(self, own: Callable[..., Any]) -> Callable[..., Any]:
        """A method of a layer that is a step: a function, of which the layer is the first argument."""

        @wraps(own)
        def call(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
            path = self._layers.get(id(layer))
            if self._inside or path is None:
                return own(layer, *args, **kwargs)
            self._inside += 1
            answer = own(layer, *args, **kwargs)
            self._inside -= 1
            itself = self.graph.get_attr(path)
            self._step("call_function", own, (itself, *args), kwargs, answer)
            return answer

        return call

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        name = str(getattr(func, "__name__", func))
        if name == "__iter__":
            return iter(self.__torch_function__(Tensor.unbind, types, (args[0], 0)))
        answer = func(*args, **kwargs)
        if _holds_tensors(answer) or name == "__setitem__":
            self._function(func, name, args, kwargs, answer)
        else:
            self._ask(func, name, (args, kwargs))
        return answer

    def _ask(self, func: Any, name: str, arguments: Any) -> None:
        """Something that gives no tensor: sizes can be asked for, numbers not."""
        found = [self._nodes.get(id(tensor)) for tensor in _tensors_in(arguments)]
        if not any(node in self._depending for node in found):
            return
        if name == "__set__":
            self._refuse("It puts other numbers into a tensor that others may read.")
        if name == "__get__":
            name = str(getattr(func.__self__, "__name__", ""))
            harmless = name in _PROPERTIES
        else:
            harmless = name in _ABOUT_SHAPES
        if not harmless:
            self._refuse(
                f"It looks at the numbers of its maps in Python (`{name.strip('_')}`), "
                "so that it may do something else for other images."
            )

    def _function(self, func: Any, name: str, args: Any, kwargs: Any, answer: Any) -> None:
        if name == "__setitem__":
            self._step("call_function", with_item, args, kwargs, args[0], overwrites=True)
        elif name == "__get__":
            self._step("call_function", getattr, (args[0], func.__self__.__name__), {}, answer)
        elif not is_tensor_method_or_property(func):
            inplace = {"inplace": False} if kwargs.get("inplace") else {}
            self._step("call_function", func, args, kwargs | inplace, answer, overwrites=bool(inplace))
        elif (spelled := _operator(name)) is not None:
            function, is_swapped = spelled
            self._step("call_function", function, args[::-1] if is_swapped else args, kwargs, answer)
        else:
            # What is written over is a new value here, so that nobody who has read the old one is concerned.
            plain = name.strip("_") if name.endswith("_") else name
            plain = plain[1:] if name.startswith("__i") else plain
            found = plain if callable(getattr(Tensor, plain, None)) else name
            self._step("call_method", found, args, kwargs, answer, overwrites=found != name)

    def _step(
        self, op: str, target: Any, args: Any, kwargs: Any, answer: Any, *, overwrites: bool = False
    ) -> None:
        name = target if isinstance(target, str) else str(getattr(target, "__name__", target))
        here, named = self._argument(tuple(args), name), self._argument(dict(kwargs), name)
        node = self.graph.create_node(op, target, here, named)
        path = self.paths[-1]
        node.meta["nn_module_stack"] = {path: (path, nn.Module)}
        depends = any(source in self._depending for source in node.all_input_nodes)
        if depends and (name in _OF_UNKNOWN_LENGTH or _picks(name, args, self._depends)):
            self._refuse(f"How many numbers `{name}` gives depends on its maps.")
        if overwrites and isinstance(here[0], fx.Node) and here[0].op == "get_attr":
            self._refuse("It writes over a parameter, a buffer or another tensor that it keeps.")
        if overwrites:
            self._stale.update(id(tensor) for tensor in self._sharing_memory_with(args[0]))
        if depends:
            self._depending.add(node)
        self._bind(answer, node)

    def _sharing_memory_with(self, written: Tensor) -> Iterator[Tensor]:
        """Other tensors that show what is written into one: here they would keep their old numbers."""
        place = written.untyped_storage().data_ptr()
        for tensor in self._kept:
            if tensor is not written and tensor.untyped_storage().data_ptr() == place:
                yield tensor

    def _depends(self, value: Any) -> bool:
        return isinstance(value, Tensor) and self._nodes.get(id(value)) in self._depending

    def _bind(self, answer: Any, node: fx.Node) -> None:
        """All tensors of an answer are known from here on as what this node gives."""
        if isinstance(answer, Tensor):
            self._nodes[id(answer)] = node
            self._kept.append(answer)
            return
        parts = answer.items() if isinstance(answer, dict) else enumerate(answer or ())
        for key, part in parts:
            if _holds_tensors(part):
                child = self.graph.call_function(operator.getitem, (node, key))
                child.meta.update(node.meta)
                if node in self._depending:
                    self._depending.add(child)
                self._bind(part, child)

    def _argument(self, value: Any, name: str) -> Any:
        """What a graph can hold in the place of an argument."""
        if isinstance(value, Tensor):
            return self._node_of(value)
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, tuple):
            return tuple(self._argument(part, name) for part in value)
        if isinstance(value, list):
            return [self._argument(part, name) for part in value]
        if isinstance(value, dict):
            return {key: self._argument(part, name) for key, part in value.items()}
        if isinstance(value, slice):
            return slice(*(self._argument(part, name) for part in (value.start, value.stop, value.step)))
        self._refuse(f"`{name}` gets a {type(value).__name__}, of which nothing is known.")
        raise AssertionError  # It was refused.

    def _node_of(self, tensor: Tensor) -> fx.Node:
        if id(tensor) in self._stale:
            self._refuse("It reads a tensor after it has written into another one, such as a slice of it.")
        if id(tensor) not in self._nodes:
            path = self._own.get(id(tensor))
            if path is None:
                path = f"{CONSTANT}{len(self.constants)}"
                self.constants[path] = tensor.detach().clone()
            node = self.graph.get_attr(path)
            node.meta["nn_module_stack"] = {self.paths[-1]: (self.paths[-1], nn.Module)}
            self._bind(tensor, node)
        return self._nodes[id(tensor)]

    def _refuse(self, text: str) -> None:
        self.refusal = NotRecorded(self.paths[-1], text)
        raise self.refusal


def record(
    module: nn.Module, batches: Sequence[Tensor], is_leaf: IsLeaf, methods: Methods
) -> tuple[fx.Graph, dict[str, Tensor]]:
    """The calls of a network, for any number of images.

    Args:
        module: In evaluation mode.
        batches: Two of different lengths, each of other images.
        is_leaf: Whether a layer, of some path, is one step.
        methods: As in `trace`.

    Returns:
        A graph, and those of its tensors that are neither parameters nor buffers, by name.

    Raises:
        NotRecorded: It may do something else for other images, or does for another number of images.
    """
    module(batches[0].clone())  # What it keeps for later is there from now on.
    first, second = (_recorded(module, batch, is_leaf, methods) for batch in batches)
    unite(first.graph, second.graph, first.constants, second.constants, [len(batch) for batch in batches])
    return first.graph, first.constants


def _recorded(module: nn.Module, images: Tensor, is_leaf: IsLeaf, methods: Methods) -> _Recorder:
    recorder = _Recorder(module, is_leaf)
    recorder.start(images)
    with ExitStack() as stack:
        if is_compiled(module):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(replaced(methods, recorder.method))
        for path, layer in module.named_modules():
            for handle in recorder.hooks(path, layer):
                stack.callback(handle.remove)
        with recorder:
            answer = module(images)
    if recorder.refusal is not None:
        raise recorder.refusal
    recorder.end(answer)
    return recorder


@contextmanager
def replaced(methods: Methods, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Other functions in the place of methods of layers."""
    originals = {(kind, name): vars(kind)[name] for kind, name in methods}
    for (kind, name), original in originals.items():
        setattr(kind, name, by(original))
    try:
        yield
    finally:
        for (kind, name), original in originals.items():
            setattr(kind, name, original)


def is_compiled(network: nn.Module) -> bool:
    """Whether any part was given to `torch.compile`, which takes seconds to import."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in network.modules()
    )


def with_item(tensor: Tensor, index: Any, value: Any) -> Tensor:
    """A copy of a tensor with other numbers at some places.

    Example:
        >>> with_item(torch.zeros(3), slice(1, None), 2.0)
        tensor([0., 2., 2.])
    """
    copy = tensor.clone()
    copy[index] = value
    return copy


def _operator(name: str) -> tuple[Callable[..., Any], bool] | None:
    """Python's operator of that spelling, and whether what it calls first is what was written last.

    Example:
        >>> _operator("__rsub__"), _operator("__getitem__"), _operator("add")
        ((<built-in function sub>, True), (<built-in function getitem>, False), None)
    """
    if not (name.startswith("__") and name.endswith("__")):
        return None
    plain = name.strip("_")
    for own, is_swapped in ((plain, False), (plain.removeprefix("r"), plain.startswith("r"))):
        found = _OPERATORS.get(own)
        if found is not None:
            return found, is_swapped
    return None


def _picks(name: str, args: Any, depends: Callable[[Any], bool]) -> bool:
    """Whether it takes as many numbers as the images say."""
    if name == "where":
        return len(args) == 1
    if name == "repeat_interleave":
        return len(args) > 1 and depends(args[1])
    if name != "getitem" or len(args) < 2:
        return False
    indices = args[1] if isinstance(args[1], tuple) else (args[1],)
    return any(depends(index) and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _tensors_in(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in parts for tensor in _tensors_in(part)]


def _holds_tensors(value: Any) -> bool:
    return bool(_tensors_in(value))
