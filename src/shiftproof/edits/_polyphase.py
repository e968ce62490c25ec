"""Strides that follow the content, with one choice for everything that is halved together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, fx, nn

from shiftproof.edits._blur import is_patches
from shiftproof.edits._dense import Pair, at_stride_one, on_a_circle, pair, stride_of
from shiftproof.edits._padding import pad_layers
from shiftproof.edits._patches import anchored
from shiftproof.edits._record import Edit, Edited, edits
from shiftproof.edits._surgery import Record, behind, copied, is_in, put
from shiftproof.edits._trace import end_of_chain, finished, layer_after, layer_of, traced
from shiftproof.layers import AdaptivePolyphase2d, LearnedPolyphase2d, Polyphase2d, PolyphaseAnchor2d
from shiftproof.records import Change, LeftAlone

LEAST_HIDDEN = 4
Maker = Callable[[Pair, int], Polyphase2d]
# Which grid a step's maps lie on: the strides that they have behind them.
Grid = tuple[Pair, ...]


class ChosenPhase(nn.Module):
    """Which phase of maps to keep; see `Polyphase2d.choose`."""

    def __init__(self, phase: Polyphase2d) -> None:
        super().__init__()
        self.phase = phase

    def forward(self, maps: Tensor) -> Tensor:
        return self.phase.choose(maps)


class TakenPhase(nn.Module):
    """That phase of maps; see `Polyphase2d.take`."""

    def __init__(self, phase: Polyphase2d) -> None:
        super().__init__()
        self.phase = phase

    def forward(self, maps: Tensor, choice: Tensor) -> Tensor:
        return self.phase.take(maps, choice)


def aps(
    model: nn.Module, layers: Sequence[str] | None = None, *, blur_size: int = 1, circular: bool = True
) -> Edited:
    """Adaptive polyphase sampling: strides keep the phase with the largest norm."""
    return _edited(
        model,
        layers,
        lambda stride, _: AdaptivePolyphase2d(stride=stride, blur_size=blur_size),
        circular,
        "aps",
    )


def lps(
    model: nn.Module, layers: Sequence[str] | None = None, *, blur_size: int = 1, circular: bool = True
) -> Edited:
    """Learned polyphase sampling: strides keep the phase that a small network names."""

    def make(stride: Pair, channels: int) -> Polyphase2d:
        hidden = max(LEAST_HIDDEN, channels // 4)
        return LearnedPolyphase2d(channels, hidden, stride=stride, blur_size=blur_size)

    return _edited(model, layers, make, circular, "lps")


def _edited(model: nn.Module, layers: Sequence[str] | None, make: Maker, circular: bool, edit: str) -> Edited:
    found = traced(copied(model))
    record = Record()
    _Sampling(found, layers, make, record).run()
    if record.changes and circular:
        pad_layers(found, "circular", record=record)
    return record.of(finished(found), edit)


class _Sampling:
    """Replaces the strides of a graph in order; all that go from one grid to the next share a choice."""

    def __init__(
        self, found: fx.GraphModule, layers: Sequence[str] | None, make: Maker, record: Record
    ) -> None:
        self.found, self.layers, self.make, self.record = found, layers, make, record
        self.anchored = behind(found, "anchor", PolyphaseAnchor2d)
        self.choices: dict[Grid, tuple[Polyphase2d, fx.Node]] = {}

    def run(self) -> None:
        for node, grid in self._strided().items():
            if self.layers is None or is_in(str(node.target), self.layers):
                self._replace(node, self.found.get_submodule(str(node.target)), grid)

    def _strided(self) -> dict[fx.Node, Grid]:
        """The steps that have a stride, and the grid that each leads to."""
        grids: dict[fx.Node, Grid] = {}
        strided: dict[fx.Node, Grid] = {}
        for node in self.found.graph.nodes:
            layer = layer_of(self.found, node)
            stride = None if layer is None or id(layer) in self.anchored else stride_of(layer)
            grids[node] = next((grids[source] for source in node.all_input_nodes if grids[source]), ())
            if stride is not None:
                strided[node] = grids[node] = (*grids[node], stride)
        return strided

    def _replace(self, node: fx.Node, layer: nn.Module, grid: Grid) -> None:
        path, kind = str(node.target), type(layer).__name__
        if is_patches(layer):  # The same phase, without all the others.
            put(self.found, path, anchored(layer))
            self.record.changes.append(Change(path, kind, "PolyphaseAnchor2d before it"))
            return
        is_pointwise = isinstance(layer, nn.Conv2d) and pair(layer.kernel_size) == (1, 1)
        is_shortcut = is_pointwise and grid in self.choices
        dense = at_stride_one(layer) if is_shortcut else on_a_circle(layer)
        if isinstance(dense, str):
            self.record.left_alone.append(LeftAlone(path, dense))
            return
        put(self.found, path, dense)
        if is_shortcut:
            self._take_before(node, *self.choices[grid])
            self.record.changes.append(
                Change(path, kind, "the phase that the main branch keeps, then stride 1")
            )
            return
        if grid in self.choices:
            self._take_after(node, *self.choices[grid])
            self.record.changes.append(Change(path, kind, "stride 1, the phase that the main branch keeps"))
            return
        last = end_of_chain(self.found, node)
        phase = self.make(grid[-1], _channels(self.found, node))
        choice = self._choose(last, phase)
        self.choices[grid] = (phase, choice)
        after = "" if last is node else f" behind {last.target if last.op == 'call_module' else last.name}"
        self.record.changes.append(Change(path, kind, f"stride 1, {type(phase).__name__}{after}"))

    def _choose(self, last: fx.Node, phase: Polyphase2d) -> fx.Node:
        """The phase of what a step gives is chosen, and everything that read the step reads that phase."""
        chosen, taken = f"{last.name}_choice", f"{last.name}_phase"
        self.found.add_submodule(chosen, ChosenPhase(phase).train(self.found.training))
        with self.found.graph.inserting_after(last):
            choice = self.found.graph.call_module(chosen, (last,))
        took = layer_after(self.found, last, TakenPhase(phase), taken)
        choice.args = (last,)  # It was among those that read the step.
        took.args = (last, choice)
        choice.append(took)
        return choice

    def _take_before(self, node: fx.Node, phase: Polyphase2d, choice: fx.Node) -> None:
        name = f"{node.name}_phase"
        self.found.add_submodule(name, TakenPhase(phase).train(self.found.training))
        with self.found.graph.inserting_before(node):
            taken = self.found.graph.call_module(name, (node.args[0], choice))
        node.replace_input_with(node.all_input_nodes[0], taken)

    def _take_after(self, node: fx.Node, phase: Polyphase2d, choice: fx.Node) -> None:
        taken = layer_after(self.found, node, TakenPhase(phase), f"{node.name}_phase")
        taken.args = (node, choice)


def _channels(found: fx.GraphModule, node: fx.Node) -> int:
    """How many channels the maps of a step have: those of the last layer before it that says so."""
    seen: fx.Node | None = node
    while seen is not None:
        layer = layer_of(found, seen)
        ours = layer is None or isinstance(layer, ChosenPhase | TakenPhase)
        for part in () if layer is None or ours else reversed(list(layer.modules())):
            for name in ("out_channels", "num_features"):
                if isinstance(getattr(part, name, None), int):
                    return int(getattr(part, name))
        seen = next(iter(seen.all_input_nodes), None)
    return 1


APS = "Chaman and Dokmanić 2021, arXiv:2011.14214"
LPS = "Rojas-Gomez, Lim, Schwing, Do and Yeh 2022, arXiv:2210.08001"
for _edit in (
    Edit(
        "aps",
        "surgery",
        aps,
        "strides that keep the strongest phase, one choice for all branches, on a circle",
        f"{APS}; any stride; exact for ties",
        "those layers, stride² times",
        "training",
    ),
    Edit(
        "lps",
        "surgery",
        lps,
        "strides that keep the phase that a small network names, one choice for all branches, on a circle",
        f"{LPS}; a softmax without noise in training",
        "those layers, stride² times, and two small convolutions each",
        "training",
    ),
):
    edits.register(_edit.name, _edit)
