"""Transfer: layers learned on one task are copied to another, frozen or learned further.

A network learns digits 0 to 4. Its first k layers are copied to a network for a target task with few
labels, whose other layers start anew. Against training from scratch with the same labels, order and
initial head this shows how many steps the copies save, and what they cost or gain in the end.

Source: Yosinski, Clune, Bengio and Lipson 2014, arXiv:1411.1792. Differs: small networks and images, few
labels in the target task, five target tasks from near to far instead of two halves of one data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from shiftproof._digest import derive_seed
from shiftproof._figures import COLOURS, MARKERS, drawing
from shiftproof.article._check import Effect
from shiftproof.article._curves import epochs_until, learning_curves
from shiftproof.article._lab import Lab, Tensors
from shiftproof.article._resampling import Floats, rank_correlation, resampled_estimate, resampled_shares
from shiftproof.article._similarity import window_distance
from shiftproof.article._tasks import N_CLASSES, Task, base_images, target_tasks
from shiftproof.data import LabelledImages
from shiftproof.engine import Unit
from shiftproof.errors import OptionError
from shiftproof.metrics import Estimate, NotApplicable, estimate_mean, estimate_share
from shiftproof.records import CorrelationRecord, TransferArmRecord, TransferRecord, TransferTaskRecord
from shiftproof.train import INPUT_SCALES, Recipe
from shiftproof.zoo import Network, build_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# "Costs nothing": not less accurate than from scratch by more than this.
MARGIN = 0.01

# Number of copied layers, and whether they are frozen.
Arm = tuple[int, bool]
SCRATCH: Arm = (0, False)
Bits = npt.NDArray[np.bool_]


class TransferSettings(BaseModel):
    """How much is trained. The defaults take about two minutes on two cores.

    Args:
        network: A network of the zoo whose layers are a chain with a convolution.
        n_base: Images that the first network learns from.
        base: Its training.
        n_labels: Images that each target task has; another draw for each seed.
        target: Training of the target tasks, from scratch and with copies.
        n_test: Test images of each target task, the same for all seeds.
        n_seeds: Base networks, each with its own targets.
        reach: Share of the final accuracy from scratch that the steps are counted to.
        fashion: Folder with Fashion-MNIST; without it the task "clothes" is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = "cnn2"
    n_base: Annotated[int, Field(ge=1, le=25_000)] = 5000
    base: Recipe = Recipe(epochs=5, learning_rate=1e-3, input_scale="unit")
    n_labels: Annotated[int, Field(ge=1, le=5000)] = 300
    target: Recipe = Recipe(epochs=12, learning_rate=2e-3, batch_size=32, input_scale="unit")
    n_test: Annotated[int, Field(ge=1, le=4500)] = 400
    n_seeds: Annotated[int, Field(ge=1)] = 3
    reach: Annotated[float, Field(gt=0, le=1)] = 0.95
    fashion: str = "/usr/share/datasets/fashion-mnist"

    @classmethod
    def full(cls) -> TransferSettings:
        """Enough for narrow intervals: about a quarter of an hour on two cores."""
        return cls(
            n_base=25_000,
            base=Recipe(epochs=10, learning_rate=1e-3, input_scale="unit"),
            n_labels=500,
            target=Recipe(epochs=30, learning_rate=2e-3, batch_size=32, input_scale="unit"),
            n_test=2000,
            n_seeds=5,
        )


@dataclass(frozen=True, eq=False)
class Transfer:
    """What training with copied layers came to.

    Args:
        settings: How much was trained.
        layers: Names of the layers that can be copied, from the first.
        n_convolutions: How many of them are convolutions: the early layers.
        right: By task, in our order from near to far, and arm: bool (epochs + 1, seeds, N), which test
            images are right before training and after each epoch.
        distance: By task the Fréchet distance of its windows to those of the base, see `window_distance`.
        left_out: By task why it is not there.
    """

    settings: TransferSettings
    layers: tuple[str, ...]
    n_convolutions: int
    right: Mapping[str, Mapping[Arm, Bits]]
    distance: Mapping[str, float]
    left_out: Mapping[str, str]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch of a target task."""
        return math.ceil(self.settings.n_labels / self.settings.target.batch_size)

    @property
    def arms(self) -> list[Arm]:
        """From scratch, then each number of layers, frozen and tuned further."""
        return _arms(len(self.layers))

    def accuracy(self, task: str, arm: Arm) -> Estimate:
        """Share of test images that are right after the last epoch."""
        return estimate_share(self.right[task][arm][-1])

    def change(self, task: str, arm: Arm) -> Effect:
        """Its accuracy minus that from scratch, paired by image and seed."""
        copied, scratch = (self.right[task][each][-1].astype(np.float64) for each in (arm, SCRATCH))
        return estimate_mean(copied - scratch, unit="share of images", bounds=(-1, 1))

    def steps(self, task: str, arm: Arm) -> tuple[float, bool]:
        """Steps to the stated accuracy, and whether it is reached; if not, all steps."""
        epochs, reached = epochs_until(self._curve(task, arm), self._goal(self._curve(task, SCRATCH)))
        return float(epochs) * self.steps_per_epoch, bool(reached)

    def head_start(self, task: str, arm: Arm) -> Estimate:
        """Steps from scratch to the stated accuracy minus steps with copies. Below 0, it is at most this:
        training ends before the copies get there."""
        value = self.steps(task, SCRATCH)[0] - self.steps(task, arm)[0]
        scratch = self._draws[task][SCRATCH]
        goal = self._goal(scratch)
        saved = epochs_until(scratch, goal)[0] - epochs_until(self._draws[task][arm], goal)[0]
        return self._estimate(value, saved * self.steps_per_epoch, "steps")

    def n_transferable(self, task: str) -> int:
        """The most layers that can be copied and frozen at a cost of at most 1 point."""
        curves = {arm: self._curve(task, arm)[-1] for arm in self.arms}
        return int(self._n_transferable(curves))

    def correlation(self, *, measured: bool) -> Estimate | NotApplicable:
        """Kendall's τ-b between the similarity of the tasks to the base and `n_transferable`.

        Args:
            measured: Whether similarity is the distance of the windows; otherwise it is our order.
        """
        if len(self.right) < 2:
            return NotApplicable("one task has no order")
        tasks = list(self.right)
        distance = np.array([self.distance[t] if measured else i for i, t in enumerate(tasks)])
        found = np.array([self.n_transferable(task) for task in tasks], np.float64)
        draws = np.stack([self._n_transferable({a: d[-1] for a, d in self._draws[t].items()}) for t in tasks])
        value = float(rank_correlation(-distance, found))
        return self._estimate(value, rank_correlation(-distance, draws), "rank correlation")

    def record(self) -> TransferRecord:
        """All numbers, as the record of the claims holds them."""
        return TransferRecord(
            settings=self.settings.model_dump(mode="json"),
            layers=self.layers,
            left_out=self.left_out,
            tasks=tuple(self._task_record(task) for task in self.right),
            correlation=CorrelationRecord(
                our_order=self.correlation(measured=False), measured=self.correlation(measured=True)
            ),
        )

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The one figure by name."""
        yield "transfer", self.plot()[0]

    def plot(self) -> tuple[Figure, list[Axes]]:
        """Accuracy and head start against the number of copied layers; frozen layers are dashed.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        with drawing(1, 2, inches=(9.6, 4.2)) as (figure, axes):
            for place, task in enumerate(self.right):
                for frozen in (False, True):
                    arms = [SCRATCH, *((k, frozen) for k in range(1, len(self.layers) + 1))]
                    accuracy = [self.accuracy(task, arm) for arm in arms]
                    saved = [self.head_start(task, arm) for arm in arms]
                    style = "--" if frozen else "-"
                    look = (COLOURS[place], MARKERS[place % len(MARKERS)], style)
                    # Beside each other, so that no interval hides another.
                    x = [k + 0.04 * (2 * place - len(self.right) + 1 + frozen) for k, _ in arms]
                    _draw(axes[0], x, accuracy, 100, look, "" if frozen else task)
                    _draw(axes[1], x, saved, 1, look, "")
            _label(figure, axes, self)
        return figure, axes

    def _curve(self, task: str, arm: Arm) -> Floats:
        return np.asarray(self.right[task][arm].mean((1, 2)))

    def _goal(self, scratch: Floats) -> Floats:
        return np.asarray(self.settings.reach * scratch[-1])

    def _n_transferable(self, accuracy: Mapping[Arm, Floats]) -> Floats:
        n_layers = range(1, len(self.layers) + 1)
        fine = [k * (accuracy[k, True] >= accuracy[SCRATCH] - MARGIN) for k in n_layers]
        return np.asarray(np.max(fine, axis=0), np.float64)

    @cached_property
    def _draws(self) -> dict[str, dict[Arm, Floats]]:
        """Accuracies (epochs + 1, draws) of each task and arm."""
        return {
            task: {arm: resampled_shares(right, images=task) for arm, right in by_arm.items()}
            for task, by_arm in self.right.items()
        }

    def _estimate(self, value: float, draws: Floats, unit: str) -> Estimate:
        n_images = len(next(iter(self.right.values()))[SCRATCH][0, 0])
        return resampled_estimate(value, draws, unit=unit, n_images=n_images, n_seeds=self.settings.n_seeds)

    def _task_record(self, task: str) -> TransferTaskRecord:
        return TransferTaskRecord(
            name=task,
            distance=self.distance[task],
            n_transferable=self.n_transferable(task),
            goal=float(self._goal(self._curve(task, SCRATCH))),
            arms=tuple(self._arm_record(task, arm) for arm in self.arms),
        )

    def _arm_record(self, task: str, arm: Arm) -> TransferArmRecord:
        steps, reached = self.steps(task, arm)
        return TransferArmRecord(
            n_copied=arm[0],
            frozen=arm[1],
            accuracy=self.accuracy(task, arm),
            change=self.change(task, arm),
            steps=steps,
            reached=reached,
            head_start=self.head_start(task, arm),
            curve=self._curve(task, arm).tolist(),
        )


def transfer(settings: TransferSettings, lab: Lab) -> Transfer:
    """Train the base networks and, for each target task and seed, all arms.

    Args:
        settings: How much.
        lab: Where finished trainings are kept.

    Raises:
        OptionError: The network has no convolution whose weights could be copied.
        Stopped: On request; what is finished is kept.
    """
    base = base_images(settings.n_base)
    tasks, left_out = target_tasks(settings.n_base, settings.n_test, settings.fashion)
    example = _build(settings, 0)
    layers = _copyable(example)
    n_convolutions = sum(isinstance(example.body.get_submodule(name), nn.Conv2d) for name in layers)
    if not n_convolutions:
        raise OptionError("a network whose layers include a convolution", repr(settings.network))
    sources = _sources(settings, base, lab)
    lessons = {task.name: _lessons(task, settings, len(layers), sources) for task in tasks}
    lab.ahead([lesson for by_arm in lessons.values() for each in by_arm.values() for lesson in each])
    right = {
        task: {arm: _right([lesson(lab) for lesson in each]) for arm, each in by_arm.items()}
        for task, by_arm in lessons.items()
    }
    return Transfer(
        settings,
        layers,
        n_convolutions,
        right,
        {task.name: window_distance(base, task.training) for task in tasks},
        left_out,
    )


def _arms(n_layers: int) -> list[Arm]:
    return [SCRATCH, *((k, frozen) for k in range(1, n_layers + 1) for frozen in (True, False))]


def _build(settings: TransferSettings, seed: int) -> Network:
    scale = INPUT_SCALES[settings.target.input_scale]
    return build_network(settings.network, seed=seed, input_scale=scale, n_classes=N_CLASSES)


def _copyable(network: Network) -> tuple[str, ...]:
    """Layers with weights, but for the last: that one belongs to the classes."""
    return tuple(name for name, layer in network.body.named_children() if list(layer.parameters()))[:-1]


def _sources(settings: TransferSettings, base: LabelledImages, lab: Lab) -> list[tuple[Network, Unit]]:
    """The network whose layers are copied, and the unit that it is, for each seed."""
    trainings = [
        partial(
            Lab.trained,
            build=partial(_build, settings, seed),
            data=base,
            recipe=settings.base,
            seed=seed,
            label=f"base, seed {seed}",
        )
        for seed in range(settings.n_seeds)
    ]
    lab.ahead(trainings)
    found = [training(lab) for training in trainings]
    return [(network.cpu(), unit) for network, unit in found]


def _lessons(
    task: Task, settings: TransferSettings, n_layers: int, sources: Sequence[tuple[Network, Unit]]
) -> dict[Arm, list[Callable[[Lab], Tensors]]]:
    """The trainings for a task: for each arm one for each seed."""
    by_arm: dict[Arm, list[Callable[[Lab], Tensors]]] = {arm: [] for arm in _arms(n_layers)}
    for seed, (source, unit) in enumerate(sources):
        labelled = _some(task.training, settings.n_labels, seed)
        for (k, frozen), lessons in by_arm.items():
            lessons.append(
                partial(
                    learning_curves,
                    build=partial(_with_copies, source, settings, k, frozen, seed),
                    data=labelled,
                    watched={"test": task.test},
                    recipe=settings.target,
                    seed=seed,
                    label=f"{task.name}, {k} layers {'frozen' if frozen else 'copied'}, seed {seed}",
                    start={"base": unit.key, "n_copied": k, "frozen": frozen},
                )
            )
    return by_arm


def _right(by_seed: Sequence[Tensors]) -> Bits:
    """Which test images are right: bool (epochs + 1, seeds, N)."""
    return np.asarray(torch.stack([each["test"] for each in by_seed], 1))


def _some(data: LabelledImages, n_images: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(derive_seed(seed, "labels"))
    return data.take(torch.randperm(len(data), generator=generator)[:n_images])


def _with_copies(source: Network, settings: TransferSettings, k: int, frozen: bool, seed: int) -> Network:
    """A network for the target task: k copied layers, the others as they are from scratch.

    Its initial weights are not those of the base network, which would then have a head start of its own.
    """
    network = _build(settings, derive_seed(seed, "target"))
    for name in _copyable(network)[:k]:
        layer = network.body.get_submodule(name)
        layer.load_state_dict(source.body.get_submodule(name).state_dict())
        layer.requires_grad_(not frozen)
    return network


def _draw(
    axes: Axes,
    x: list[float],
    found: list[Estimate],
    factor: float,
    look: tuple[str, str, str],
    label: str,
) -> None:
    colour, marker, style = look
    errors = [[factor * (e.value - e.low) for e in found], [factor * (e.high - e.value) for e in found]]
    axes.errorbar(
        x,
        [factor * e.value for e in found],
        yerr=errors,
        color=colour,
        marker=marker,
        linestyle=style,
        label=label or "_",
        markersize=4,
        capsize=2,
        linewidth=1.2,
    )


def _label(figure: Figure, axes: list[Axes], result: Transfer) -> None:
    names = ["none", *(f"to {name}" for name in result.layers)]
    for each in axes:
        each.set_xticks(range(len(names)), names)
        each.set_xlabel("copied layers (dashed: frozen)")
        each.grid(visible=True, alpha=0.25)
    axes[0].set_ylabel(f"accuracy with {result.settings.n_labels} labels (%)")
    axes[1].set_ylabel(f"steps saved until {100 * result.settings.reach:g} % of scratch")
    axes[1].axhline(0, color="0.6", linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=len(result.right), frameon=False)
