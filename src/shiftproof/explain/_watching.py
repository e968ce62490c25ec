"""Watch a network run: every call of a layer, and every function of torch between layers.

Nothing is traced: the network runs as it always does, so that control flow in Python, shared layers and
operations in place are seen as they happen. `torch.compile` is bypassed while one watches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from shiftproof.anatomy import is_compiled


class OneLayer(nn.Sequential):
    """A sequence of layers that counts as one."""


@dataclass(frozen=True, eq=False, slots=True)
class WatchedCall:
    """One call of a layer or function that depends on the images.

    Args:
        name: Path of the layer, or of the module around a function and its name; the second call of one
            name is `name#2`, the second tensor of one call is `name[1]`.
        kind: The class of a layer, or the name of a function.
        layer: Path of the layer; None for functions.
        sources: Name and tensor of each input that depends on the images: the name of the call that gave
            it, or `IMAGES`. Copies from before the call, if calls were to be repeatable.
        answer: What it gave.
        again: Runs it once more with other tensors in place of its inputs, by name.
    """

    name: str
    kind: str
    layer: str | None
    sources: tuple[tuple[str, Tensor], ...]
    answer: Tensor
    again: Callable[[Mapping[str, Tensor]], Any]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, each once."""
        return tuple(dict.fromkeys(name for name, _ in self.sources))


IMAGES = "images"


@contextmanager
def watching(
    network: nn.Module,
    images: Tensor,
    visit: Callable[[WatchedCall], Tensor | None],
    *,
    repeatable: bool = False,
) -> Iterator[None]:
    """WatchedCall `visit` after each step of the network, before the next one may overwrite what it gave.

    Args:
        network: Run inside the block, on `images` themselves.
        images: What the steps depend on.
        visit: May compute with the answer, but must not change it. A tensor that it returns takes the place
            of the answer of a call that gives one tensor.
        repeatable: Whether calls can be repeated; it costs a copy of their inputs.
    """
    watcher = _Watcher(visit, repeatable)
    watcher.names[images] = IMAGES
    with ExitStack() as stack:
        if is_compiled(network):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for path, module in network.named_modules():
            for handle in watcher.attach(module, path, is_leaf=bool(path) and _is_leaf(module)):
                stack.callback(handle.remove)
        stack.enter_context(watcher)
        yield


def _is_leaf(module: nn.Module) -> bool:
    """Whether a module is one layer: it has no parts, or they do not matter here."""
    if isinstance(module, OneLayer | nn.MultiheadAttention | torch.jit.ScriptModule):
        return True
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    ours = type(module).__module__.startswith("shiftproof.layers.")
    return ours or all(name == "parametrizations" for name, _ in module.named_children())


class _Watcher(TorchFunctionMode):
    """Functions come by the mode, layers by hooks; inside a layer, functions are its own business."""

    def __init__(self, visit: Callable[[WatchedCall], Tensor | None], repeatable: bool) -> None:
        super().__init__()
        self.visit, self.repeatable = visit, repeatable
        self.names: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.counts: Counter[str] = Counter()
        self.paths: list[str] = []
        self.inside = 0
        self.given: list[Any] = []

    def attach(self, module: nn.Module, path: str, *, is_leaf: bool) -> list[Any]:
        # A compiled module holds the one that it was made of.
        path = ".".join(part for part in path.split(".") if part != "_orig_mod")

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            if is_leaf:
                self.inside += 1
                if self.inside == 1:
                    self.given.append(self._kept((args, kwargs)))
            elif not self.inside:
                self.paths.append(path)

        def leave(_: nn.Module, args: Any, kwargs: Any, answer: Any) -> Any:
            if not is_leaf:
                if not self.inside:
                    self.paths.pop()
                return None
            if self.inside == 1:
                answer = self._seen(path, type(module).__name__, path, self.given.pop(), answer, module)
            self.inside -= 1
            return answer

        return [
            module.register_forward_pre_hook(enter, with_kwargs=True),
            module.register_forward_hook(leave, with_kwargs=True),
        ]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        self.inside += 1
        try:
            given = self._kept((args, kwargs))
            answer = func(*args, **kwargs)
            name = function_name(func)
            place = ".".join(filter(None, [*self.paths[-1:], name]))
            if name == "setitem":
                self._seen(place, name, None, given, args[0], func)
            else:
                answer = self._seen(place, name, None, given, answer, func)
        finally:
            self.inside -= 1
        return answer

    def _kept(self, arguments: Any) -> Any:
        """The arguments with the names of those that depend on the images, copied where they may change."""
        found = [(self.names[tensor], tensor) for tensor in tensors_in(arguments) if tensor in self.names]
        if not (found and self.repeatable):
            return arguments, found
        copies = {id(tensor): tensor.clone() for _, tensor in found}
        arguments = mapped(arguments, lambda tensor: copies.get(id(tensor), tensor))
        return arguments, [(name, copies[id(tensor)]) for name, tensor in found]

    def _seen(self, name: str, kind: str, layer: str | None, given: Any, answer: Any, function: Any) -> Any:
        """Tell of a call; its answer, or what takes its place."""
        (args, kwargs), found = given
        tensors = [tensor for tensor in tensors_in(answer) if tensor.is_floating_point()]
        if not (found and tensors):
            return answer
        self.counts[name] += 1
        name += f"#{self.counts[name]}" if self.counts[name] > 1 else ""
        again = _repeating(function, args, kwargs, found)
        for index, tensor in enumerate(tensors):
            own = f"{name}[{index}]" if index else name
            self.names[tensor] = own
            other = self.visit(WatchedCall(own, kind, layer, tuple(found), tensor, again))
            if other is not None and answer is tensor:
                self.names[other] = own
                return other
        return answer


def function_name(function: Any) -> str:
    """The name of a function of torch, without the decoration of methods and of those in place."""
    name = str(getattr(function, "__name__", function))
    if name == "__get__":
        name = str(getattr(function.__self__, "__name__", name))
    return name.strip("_")


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dictionaries, in order.

    Example:
        >>> len(tensors_in([torch.ones(1), {"a": (torch.ones(2), 3)}]))
        2
    """
    found: list[Tensor] = []
    mapped(value, found.append)
    return found


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same nest of tuples, lists and dictionaries with another tensor for each.

    Example:
        >>> mapped((torch.ones(1), {"a": 2}), lambda tensor: tensor.item())
        (1.0, {'a': 2})
    """
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple | list):
        parts = [mapped(part, change) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return value


def _repeating(
    function: Any, args: Any, kwargs: Any, found: Sequence[tuple[str, Tensor]]
) -> Callable[[Mapping[str, Tensor]], Any]:
    names = {id(tensor): name for name, tensor in found}

    def again(others: Mapping[str, Tensor]) -> Any:
        here, named = mapped((args, kwargs), lambda tensor: others.get(names.get(id(tensor), ""), tensor))
        answer = function(*here, **named)
        return here[0] if function_name(function) == "setitem" else answer

    return again
