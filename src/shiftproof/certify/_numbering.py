"""Value numbering: a proof about rolls that follows every single number.

Compilers tell that two expressions are the same by *value numbering* (Alpern, Wegman, Zadeck 1988). Here a
network is run once, and each of its numbers gets a label, for the images as they are and for the rolled
ones (`_labels.py`). Pixels have labels of their own, which go around with them; a rule says for each
operation from which labels, in which order or in none, a number is computed (`_label_rules.py`). By
induction over the run, what has the same label is the same function of the images. If the answer has the
same labels for the images and for the rolled images, it is the same for all images; and if that holds for a
roll, then for all its multiples.

A run is a run for all images only where what is run does not depend on the numbers in them. So it is only
asked about a network that torch.fx could follow, without functions that are not torch's; a step whose
answer has no size, or another size for other numbers, ends it, and so does one that draws at random.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shiftproof._digest import digest_of_bytes
from shiftproof.adapters import of_others
from shiftproof.anatomy import BATCH, Pair, Trace
from shiftproof.certify._asked import Asked, Found
from shiftproof.certify._label_rules import labels_after
from shiftproof.certify._labels import Labels, NotFollowedError
from shiftproof.zoo import ImageShape

# Larger images than this, in pixels, have too many numbers.
LARGEST_PX = 64 * 64
# What a roll may change for a proof to be looked for: relative to the largest number of an answer, by the
# bytes of its numbers, and to the difference of the answers to two images.
LIKELY = {8: 1e-9}
LIKELY_OTHERWISE, LIKELY_OF_TWO = 1e-4, 1e-2
_WITHOUT_RULES = (torch.Tag.nondeterministic_seeded, torch.Tag.data_dependent_output)
_HARMLESS = ("torch", "_operator", "builtins", "math")


def finer_steps(traced: Trace, image_shape: ImageShape, step_px: Pair) -> Pair:
    """The finest steps of rolls that are proved not to change the answer.

    Args:
        traced: The network.
        image_shape: (C, H, W).
        step_px: What is known already, (down, right).

    Returns:
        Steps that divide those.
    """
    height, width = image_shape[1:]
    if height * width > LARGEST_PX or not _is_of_torch(traced):
        return step_px
    likely = [_likely_steps(traced, image_shape, axis, step_px[axis]) for axis in (0, 1)]
    rolls = [(step, 0) for step in likely[0]] + [(0, step) for step in likely[1]]
    same = _unchanged(traced, image_shape, rolls) if rolls else []
    proved = [roll for roll, stays in zip(rolls, same, strict=True) if stays]
    down = math.gcd(step_px[0], *(roll[0] for roll in proved))
    right = math.gcd(step_px[1], *(roll[1] for roll in proved))
    return down, right


def _is_of_torch(traced: Trace) -> bool:
    """Whether nothing but torch computes, and nothing that it computes is read as a number of Python."""
    depending = {node for node in traced.nodes if node.op == "placeholder"}
    for node in traced.nodes:
        if not any(source in depending for source in node.all_input_nodes) or _asks_for_size(node):
            continue
        depending.add(node)
        if not _is_known(node, traced.module) or not _is_tensors(traced.numbers.get(node)):
            return False
    return True


def _is_known(node: fx.Node, module: fx.GraphModule) -> bool:
    if node.op == "call_module":
        home = type(module.get_submodule(str(node.target))).__module__
        return home.startswith(("torch.nn.", "shiftproof.layers."))
    home = getattr(node.target, "__module__", None) or "builtins"
    ours = home.startswith("shiftproof.anatomy.")
    return node.op != "call_function" or ours or home.partition(".")[0] in _HARMLESS


def _is_tensors(number: Any) -> bool:
    """Whether what a step gives, if it is no tensor, is several."""
    several = number.values() if isinstance(number, Mapping) else number
    return several is None or (
        isinstance(several, list | tuple) and all(isinstance(one, Tensor) for one in several)
    )


_SIZES = ("device", "dim", "dtype", "is_cuda", "ndim", "numel", "shape", "size")


def _asks_for_size(node: fx.Node) -> bool:
    """Whether it is the same for all images of a size."""
    if node.target is getattr:
        return node.args[1] in _SIZES
    return node.op == "call_method" and node.target in _SIZES


@torch.no_grad()
def _likely_steps(traced: Trace, image_shape: ImageShape, axis: int, known: int) -> list[int]:
    """Divisors of a known step by which two random images roll without a change of the answer."""
    images = traced.images(BATCH, image_shape)
    still = traced.module(images.clone())
    most = LIKELY.get(still.element_size(), LIKELY_OTHERWISE) * float(still.abs().max())
    between = float((still[0] - still[1]).abs().max())
    most = min(most, LIKELY_OF_TWO * between) if between else most
    for step in (n for n in range(1, known) if known % n == 0):
        answer = traced.module(torch.roll(images, step, 2 + axis))
        if float((answer - still).abs().max()) <= most:
            return [n for n in range(step, known, step) if known % n == 0]
    return []


def _unchanged(traced: Trace, image_shape: ImageShape, rolls: Sequence[Pair]) -> list[bool]:
    """For each roll whether it is proved that the answer stays."""
    images = traced.images(BATCH, image_shape)
    pixels = np.arange(1, images.numel() + 1).reshape(images.shape)
    labels = Labels(1 + len(rolls))
    labels.start(images, np.stack([pixels, *(np.roll(pixels, roll, (2, 3)) for roll in rolls)]))
    numbering = Numbering(labels)
    try:
        with numbering.watching():
            answer = traced.module(images)
        found = labels.of(answer)
    except BaseException as error:  # Whatever happens, nothing is proved.
        of_others(error)
        return [False] * len(rolls)
    if numbering.ended:
        return [False] * len(rolls)
    return [bool(np.array_equal(found[0], world)) for world in found[1:]]


class Numbering(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the operations of a run, and labels what each gives.

    Args:
        labels: Of the images.
    """

    def __init__(self, labels: Labels) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ended = False
        self._labels = labels
        self._known: dict[tuple[Any, ...], list[Found]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While it runs, attention is made of products and softmax."""
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), self:
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return self._after(func, args, dict(kwargs or {}))
        except BaseException:
            self.ended = True  # Also where the network catches what is raised.
            raise

    def _after(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if any(tag in func.tags for tag in _WITHOUT_RULES):
            raise NotFollowedError(f"{func} is not the same for all images.")
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(self._labels.knows(tensor) for tensor in inputs):
            return func(*args, **kwargs)
        if func.namespace != "aten":
            raise NotFollowedError(f"{func} is not torch's own.")
        if func._schema.is_mutable:
            return self._in_place(func, args, kwargs)
        answer = func(*args, **kwargs)
        outputs = [answer] if isinstance(answer, Tensor) else answer
        if not isinstance(outputs, list | tuple) or not all(isinstance(one, Tensor) for one in outputs):
            raise NotFollowedError(f"{func} gives no tensor.")
        if all(self._labels.knows(one) for one in outputs):
            return answer  # A view, or the same memory.
        found = self._found(Asked(func, args, kwargs, self._labels, tuple(outputs)))
        for one, (labels, strengths) in zip(outputs, found, strict=True):
            if labels is not None:
                self._labels.write(one, labels, strengths)
        return answer

    def _found(self, asked: Asked) -> list[Found]:
        """Labels of outputs: the same ones for the same operation of the same numbers."""
        key = (asked.func, *map(self._identity, tree_leaves((asked.args, asked.kwargs))))
        if key not in self._known:
            self._known[key] = labels_after(asked)
        return self._known[key]

    def _identity(self, argument: Any) -> Any:
        if not isinstance(argument, Tensor):
            return type(argument), repr(argument)
        return argument.shape, argument.dtype, digest_of_bytes([self._labels.of(argument).tobytes()])

    def _in_place(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation that overwrites its first argument, and nothing else."""
        written = [
            place
            for place, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        if written != [0] or not func._schema.name.endswith("_"):
            raise NotFollowedError(f"{func} overwrites more than its first argument.")
        ((labels, strengths),) = labels_after(Asked(func, args, kwargs, self._labels, (args[0],)))
        assert labels is not None
        answer = func(*args, **kwargs)
        self._labels.write(args[0], labels, strengths)
        return answer
