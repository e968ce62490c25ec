"""What a network computes, as a list of steps: traced or recorded, with every doubt turned into a reason."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn

from shiftproof.adapters import MODEL, Pipeline, of_others
from shiftproof.anatomy._overwriting import memory_of, overwrites_what_others_read
from shiftproof.anatomy._randomness import Randomness
from shiftproof.anatomy._reasons import Reason
from shiftproof.anatomy._recording import CONSTANT, Methods, record, replaced
from shiftproof.anatomy._unite import NotRecorded
from shiftproof.zoo import ImageShape

# The least number of images of which one could change the answer to another.
BATCH = 2
AT_RANDOM = "Its forward draws at random, so that it does not give the same answer twice."
UNSEEN = "Its forward does something that does not show in its steps."
MIXED = "It answers an image alone otherwise than among others."


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The steps of a network in evaluation mode, in the order in which they run.

    Args:
        module: Holds the layers and tensors that the nodes name.
        nodes: All steps that the answer depends on, the answer last.
        shapes: Of each step that gives a tensor, for a batch of `BATCH` images.
        constants: Tensors that do not depend on the images.
        name: Of the network's class.
        numbers: What other steps give, such as sizes; where it is one, the number of images is `BATCH`.
        mixed: Why nothing is said about one image, where its answer depends on the others.
        recorded: Why torch.fx could not follow it, where the steps are those of a run: for images of other
            sizes it may take others.
    """

    module: fx.GraphModule
    nodes: tuple[fx.Node, ...]
    shapes: Mapping[fx.Node, tuple[int, ...]]
    constants: Mapping[fx.Node, Tensor]
    name: str
    numbers: Mapping[fx.Node, Any]
    mixed: Reason | None
    recorded: Reason | None

    def images(self, n: int, image_shape: ImageShape) -> Tensor:
        """Random images, with dtype and device of the network; the same at each call."""
        return _images(self.module, n, image_shape)

    def layer_of(self, node: fx.Node) -> str:
        """The path of the innermost layer that a step belongs to."""
        if node.op == "call_module":
            return path_in_model(str(node.target))
        return path_in_model(next(reversed(node.meta.get("nn_module_stack") or {}), "")) or self.name


def trace(
    module: nn.Module,
    image_shape: ImageShape,
    *,
    leaves: Sequence[type[nn.Module]] = (),
    methods: Methods = (),
    any_answer: bool = False,
) -> Trace | Reason:
    """Write down what a network does to a batch of images.

    By torch.fx, and where that cannot follow, while it runs. The steps are then run beside the network
    itself, on other images: what escapes, such as a random number drawn in `forward`, shows in the answer.

    Args:
        module: Images (N, C, H, W) to an answer, in evaluation mode. No other thread may run any
            module meanwhile.
        image_shape: (C, H, W).
        leaves: Layers that are one step each, beside those of torch.
        methods: Methods of layers, by class and name, that are one step each: a call of the method
            as a function, of which the layer is the first argument.
        any_answer: Whether the answer may be any tensor of one entry for each image; else it has to
            be a row of logits.

    Returns:
        The steps, or what stands in the way.
    """
    name = _name_of(module)
    objection = _objection_to_state(module, name)
    if objection is not None:
        return objection
    traced = _traced(module, _Tracer(leaves), methods, name)
    found = traced if isinstance(traced, Reason) else _checked(module, traced, image_shape, any_answer)
    if isinstance(found, Trace):
        return found
    graph_module = _recorded(module, image_shape, _Tracer(leaves), methods, name)
    if isinstance(graph_module, Reason):
        return graph_module
    return _checked(module, graph_module, image_shape, any_answer, recorded=found)


def _traced(module: nn.Module, tracer: _Tracer, methods: Methods, name: str) -> fx.GraphModule | Reason:
    own = set(vars(module))
    try:
        with torch.no_grad(), tracer.recording(methods):
            graph = tracer.trace(module, _left_out(module))
            return fx.GraphModule(module, graph, name)
    except BaseException as error:  # Anything can happen in the forward of others.
        return Reason(
            path_in_model(tracer.innermost) or name,
            f"torch.fx cannot follow its forward ({of_others(error)}).",
        )
    finally:
        for added in set(vars(module)) - own:  # Constants that the tracer has put there.
            delattr(module, added)


def _recorded(
    module: nn.Module, image_shape: ImageShape, tracer: _Tracer, methods: Methods, name: str
) -> fx.GraphModule | Reason:
    batches = [_images(module, n, image_shape, seed=n) for n in (BATCH, BATCH + 1)]
    added: dict[str, Tensor] = {}
    randomness = Randomness()
    try:
        with torch.no_grad(), randomness:
            graph, added = record(module, batches, tracer.is_leaf_module, methods)
        for path, tensor in added.items():
            setattr(module, path, tensor)
        return fx.GraphModule(module, graph, name)
    except NotRecorded as refused:
        layer, text = path_in_model(refused.reason.layer) or name, refused.reason.text
        return Reason(name, AT_RANDOM) if randomness.was_asked else Reason(layer, text)
    except BaseException as error:  # As above.
        return Reason(name, f"It does not take images of shape {tuple(image_shape)} ({of_others(error)}).")
    finally:
        for path in added:
            vars(module).pop(path, None)


def _left_out(module: nn.Module) -> dict[str, Any]:
    """Inputs of a forward that nobody gives, with what they are then."""
    _, *others = inspect.signature(module.forward).parameters.values()
    return {other.name: other.default for other in others if other.default is not inspect.Parameter.empty}


class _Tracer(fx.Tracer):
    """Remembers the path of the layer that was entered last, for the error message."""

    innermost = ""

    def __init__(self, leaves: Sequence[type[nn.Module]] = ()) -> None:
        super().__init__()
        self._leaves = tuple(leaves)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self._leaves or super().is_leaf_module(m, module_qualified_name)

    def recording(self, methods: Methods) -> AbstractContextManager[None]:
        """Have methods write down that they were called, wherever they are asked about a traced value."""
        return replaced(methods, self._recorded)

    def _recorded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not any(isinstance(value, fx.Proxy) for value in (*args, *kwargs.values())):
                return method(layer, *args, **kwargs)
            itself = self.create_proxy("get_attr", self.path_of_module(layer), (), {})
            return self.create_proxy("call_function", method, (itself, *args), kwargs)

        return call

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        before, self.innermost = self.innermost, self.path_of_module(m)
        answer = super().call_module(m, forward, args, kwargs)
        self.innermost = before
        return answer


def path_in_model(path: str) -> str:
    """The path of a layer, as if its model stood without preprocessing; empty for the model itself.

    Example:
        >>> path_in_model("model.body.conv1"), path_in_model("model"), path_in_model("body.conv1")
        ('body.conv1', '', 'body.conv1')
    """
    return "" if path == MODEL else path.removeprefix(f"{MODEL}.")


def _name_of(module: nn.Module) -> str:
    return type(getattr(module, MODEL) if isinstance(module, Pipeline) else module).__name__


def _objection_to_state(module: nn.Module, name: str) -> Reason | None:
    for whole_path, layer in module.named_modules():
        path = path_in_model(whole_path)
        if layer.training:
            return Reason(path or name, "It is in training mode; call `.eval()`.")
        if layer._forward_hooks or layer._forward_pre_hooks:
            return Reason(path or name, "A forward hook may change its input or answer.")
        if "forward" in vars(layer):
            return Reason(path or name, "Its forward was replaced by another function.")
    return None


def _checked(
    module: nn.Module,
    traced: fx.GraphModule,
    image_shape: ImageShape,
    any_answer: bool,
    recorded: Reason | None = None,
) -> Trace | Reason:
    name = _name_of(module)
    # Those with a default are left out.
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder" and not node.args]
    if len(inputs) != 1:
        return Reason(name, f"It takes {len(inputs)} inputs rather than one batch of images.")
    images = _images(module, BATCH, image_shape)
    randomness = Randomness()
    try:
        with torch.no_grad(), randomness:
            expected, again = module(images.clone()), module(images.clone())
            if not any_answer and _has_one_place(expected):
                _give_rows(traced)
                expected, again = expected.flatten(1), again.flatten(1)
            interpreter = fx.Interpreter(traced, garbage_collect_values=False)
            answer = interpreter.run(images.clone())
    except BaseException as error:  # As above.
        return Reason(name, f"It does not take images of shape {tuple(image_shape)} ({of_others(error)}).")
    shaped = isinstance(answer, Tensor) and answer.ndim > 0 and len(answer) == BATCH
    if not shaped or not (any_answer or answer.ndim == 2):
        return Reason(name, "Its answer is not one row of logits for each image.")
    if randomness.was_asked or not (isinstance(again, Tensor) and _agree(expected, again, rounding=True)):
        return Reason(name, AT_RANDOM)
    if not (isinstance(expected, Tensor) and _agree(expected, answer)):
        return Reason(name, UNSEEN)
    mixes = _mixes_images(module, images, expected)
    if recorded is not None and not mixes and not _answers_alone(traced, images[:1], expected[:1]):
        return Reason(name, UNSEEN)
    results = {node: value for node, value in interpreter.env.items() if isinstance(value, Tensor)}
    varying = _depending_on(inputs[0])
    facts = Trace(
        traced,
        tuple(_needed(traced.graph)),
        {node: tuple(value.shape) for node, value in results.items()},
        {node: value.detach() for node, value in results.items() if node not in varying},
        name,
        {node: value for node, value in interpreter.env.items() if not isinstance(value, Tensor)},
        Reason(name, MIXED) if mixes else None,
        recorded,
    )
    return _objection_to_nodes(module, facts, results) or facts


def _has_one_place(answer: object) -> bool:
    """Whether it is maps of one place, (N, K, 1, 1), which count as rows."""
    return isinstance(answer, Tensor) and answer.ndim > 2 and set(answer.shape[2:]) == {1}


def _give_rows(traced: fx.GraphModule) -> None:
    """Flatten the answer, as whoever reads logits does."""
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    with traced.graph.inserting_before(output):
        output.args = (traced.graph.call_function(torch.flatten, (output.args[0], 1)),)
    traced.recompile()


def _answers_alone(traced: fx.GraphModule, image: Tensor, expected: Tensor) -> bool:
    """Whether steps that were recorded of other numbers of images hold for a single one."""
    try:
        with torch.no_grad():
            return _agree(expected, fx.Interpreter(traced).run(image.clone()))
    except BaseException as error:  # As above.
        of_others(error)
        return False


def _images(module: nn.Module, n: int, image_shape: ImageShape, *, seed: int = 0) -> Tensor:
    tensors = chain(module.parameters(), module.buffers())
    first = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.zeros(()))
    images = torch.rand(n, *image_shape, generator=torch.Generator().manual_seed(seed))
    return images.to(first.device, first.dtype)


def _agree(expected: Tensor, answer: Tensor, *, rounding: bool = False) -> bool:
    """Up to the order of sums, which may differ from one call to the next on some devices.

    Args:
        expected, answer: Of one shape, if they are to agree.
        rounding: Whether they may differ by no more than a few roundings.
    """
    if expected.shape != answer.shape or expected.dtype != answer.dtype:
        return False
    if not (expected.is_floating_point() or expected.is_complex()):
        return torch.equal(expected, answer)
    scale = float(expected.abs().max().nan_to_num()) if expected.numel() else 0.0
    eps = torch.finfo(expected.dtype).eps
    half_of_the_digits = math.sqrt(eps)
    loose = (half_of_the_digits, half_of_the_digits * scale / 4)
    if rounding:
        loose = (0.0, 64 * eps * scale)
    return torch.allclose(expected, answer, *loose, equal_nan=True)


def _mixes_images(module: nn.Module, images: Tensor, expected: Tensor) -> bool:
    try:
        with torch.no_grad():
            alone = [module(image[None].clone()) for image in images]
        if expected.ndim == 2 and all(map(_has_one_place, alone)):
            alone = [one.flatten(1) for one in alone]
    except BaseException as error:  # Made for a number of images, it mixes them by its shapes.
        of_others(error)
        return True
    return not all(
        isinstance(one, Tensor) and _agree(row[None], one) for one, row in zip(alone, expected, strict=True)
    )


def _depending_on(source: fx.Node) -> set[fx.Node]:
    found = {source}
    for node in source.graph.nodes:
        if any(before in found for before in node.all_input_nodes):
            found.add(node)
    return found


def _needed(graph: fx.Graph) -> list[fx.Node]:
    """The nodes that the answer depends on, in order."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or any(user in needed for user in node.users):
            needed.add(node)
    return [node for node in graph.nodes if node in needed]


def _objection_to_nodes(module: nn.Module, facts: Trace, results: Mapping[fx.Node, Tensor]) -> Reason | None:
    own = {memory_of(tensor) for tensor in chain(module.parameters(), module.buffers())}
    for node in facts.module.graph.nodes:
        if node.op == "get_attr" and node in results and memory_of(results[node]) not in own:
            return Reason(
                facts.layer_of(node),
                f"{_name_in_model(node)} is a tensor that is neither a parameter nor a buffer, "
                "so that another call may see another one.",
            )
        if overwrites_what_others_read(node, facts.module, results):
            return Reason(facts.layer_of(node), "It overwrites a value that another layer reads.")
    return None


def _name_in_model(node: fx.Node) -> str:
    path = str(node.target)
    return "Something that it reads" if path.startswith(CONSTANT) else f"`{path}`"
