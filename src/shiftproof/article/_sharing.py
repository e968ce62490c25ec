"""Weight sharing and pooling: what they save, and whether networks that have them overfit less.

All networks learn the same few images with one recipe and the same seeds. Parameters, multiply-adds, sizes
of maps and the memory of a training step are counted; learning curves and time are measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from shiftproof._device import describe_environment
from shiftproof._digest import Json
from shiftproof.article._check import Effect
from shiftproof.article._curves import epochs_until, learning_curves
from shiftproof.article._lab import Lab, Tensors
from shiftproof.article._resampling import Floats, resampled_estimate, resampled_shares
from shiftproof.article._sharing_figure import Curve, draw_sharing
from shiftproof.article._step_memory import count_step_memory
from shiftproof.data import LabelledImages, load_data
from shiftproof.engine import Unit
from shiftproof.metrics import Estimate, estimate_mean, estimate_share
from shiftproof.records import CurvesRecord, SharingNetworkRecord, SharingRecord, StepMemory
from shiftproof.study import count_multiply_adds
from shiftproof.train import INPUT_SCALES, Recipe, fit
from shiftproof.zoo import ImageShape, Network, build_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Dropout holds a network back from overfitting: against one without it, only the weights differ.
WITHOUT_DROPOUT = " without dropout"
Bits = npt.NDArray[np.bool_]
Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")


class SharingSettings(BaseModel):
    """How much is trained. The defaults take about a minute and a half on two cores.

    Args:
        dense: A network whose layers have a weight for each pair of cells; also without its dropout.
        convolutional: Networks that share weights.
        pooled: Networks that differ in their number of pools only, from none.
        n_train: Training images: few, so that networks overfit.
        n_test: Test images, and as many of the training images, that are asked about after each epoch.
        recipe: Of all networks.
        n_seeds: Trainings of each network.
        goal: Test accuracy to which epochs are counted.
        n_repeats: Epochs of each network whose time is measured, by turns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dense: str = "dense-nn"
    convolutional: tuple[str, ...] = ("cnn1", "cnn2")
    pooled: tuple[str, ...] = ("pooled-0-flatten", "pooled-1-flatten", "pooled-2-flatten")
    n_train: Annotated[int, Field(ge=1)] = 1000
    n_test: Annotated[int, Field(ge=2)] = 600
    recipe: Recipe = Recipe(epochs=12, learning_rate=1e-3, batch_size=32, input_scale="unit")
    n_seeds: Annotated[int, Field(ge=1)] = 3
    goal: Annotated[float, Field(gt=0, lt=1)] = 0.85
    n_repeats: Annotated[int, Field(ge=3)] = 7

    @classmethod
    def full(cls) -> SharingSettings:
        """Enough for every network to learn its training images: about half an hour on two cores."""
        return cls(
            n_train=2000,
            n_test=2000,
            recipe=Recipe(epochs=40, learning_rate=1e-3, batch_size=32, input_scale="unit"),
            n_seeds=5,
            goal=0.9,
            n_repeats=11,
        )

    @property
    def unshared(self) -> str:
        """The dense network that is compared with: the same recipe, no dropout on either side."""
        return self.dense + WITHOUT_DROPOUT

    @property
    def timed(self) -> tuple[str, ...]:
        """Networks whose time is measured."""
        return (self.dense, self.unshared, *self.convolutional)


@dataclass(frozen=True, eq=False)
class Measured:
    """One network.

    Args:
        n_parameters: Numbers that it learns.
        multiply_adds: Of one image, see `count_multiply_adds`.
        memory: Of one training step.
        map_px: (height, width) of its maps after the last convolution or pool; None without maps.
        train: bool (epochs + 1, seeds, N), which of the watched training images are right.
        test: The same of test images.
        epoch_s: Seconds of an epoch, one for each repeat; empty where they are not measured.
    """

    n_parameters: int
    multiply_adds: int
    memory: StepMemory
    map_px: tuple[int, int] | None
    train: Bits
    test: Bits
    epoch_s: Floats

    def accuracy(self, part: Part) -> Estimate:
        """Share of these images that are right after the last epoch."""
        return estimate_share(self._right(part)[-1])

    def curve(self, part: Part) -> Floats:
        """Share of these images that are right before training and after each epoch, over all seeds."""
        return np.asarray(self._right(part).mean((1, 2)))

    def gap_scores(self) -> Floats:
        """Numbers (seeds, 2N) whose means are accuracy on training images minus that on test images.

        Two samples of images as one: each image stands for how far it moves the difference of the two
        means, so that an interval for a mean of these is one for the difference.
        """
        rows = []
        for train, test in zip(self.train[-1].astype(float), self.test[-1].astype(float), strict=True):
            n = len(train) + len(test)
            gap = train.mean() - test.mean()
            of_train = (train - train.mean()) * n / len(train)
            of_test = (test - test.mean()) * n / len(test)
            rows.append(np.concatenate([gap + of_train, gap - of_test]))
        return np.stack(rows)

    def _right(self, part: Part) -> Bits:
        return self.train if part == "train" else self.test


@dataclass(frozen=True, eq=False)
class Sharing:
    """What weight sharing and pooling save.

    Args:
        settings: How much was trained.
        environment: Versions and machine, which the times depend on.
        networks: By name what was counted and measured.
    """

    settings: SharingSettings
    environment: Mapping[str, Json]
    networks: Mapping[str, Measured]

    def gap(self, name: str) -> Effect:
        """Accuracy on training images minus accuracy on test images: how far a network overfits."""
        return _mean(self.networks[name].gap_scores(), 1)

    def gap_difference(self, name: str, other: str) -> Effect:
        """By how much the gap of `name` is the larger one, paired by image and seed."""
        return _mean(self.networks[name].gap_scores() - self.networks[other].gap_scores(), 2)

    def epochs(self, name: str) -> tuple[float, bool]:
        """Epochs to the goal on test images, and whether it is reached; if not, all epochs."""
        epochs, reached = epochs_until(self.networks[name].curve("test"), self.settings.goal)
        return float(epochs), bool(reached)

    def epochs_saved(self, name: str, other: str) -> Estimate:
        """Epochs of `other` to the goal minus those of `name`; at least, if `other` does not reach it."""
        draws = [
            epochs_until(resampled_shares(self.networks[each].test, images="test"), self.settings.goal)[0]
            for each in (other, name)
        ]
        value = self.epochs(other)[0] - self.epochs(name)[0]
        n_seeds, n_images = self.networks[name].test.shape[1:]
        return resampled_estimate(
            value, draws[0] - draws[1], unit="epochs", n_images=n_images, n_seeds=n_seeds
        )

    def epoch_s(self, name: str) -> Estimate:
        """Seconds of an epoch: the median of the repeats, between the least and the largest."""
        return self._median(self.networks[name].epoch_s, "s")

    def times_slower(self, name: str, other: str) -> Estimate:
        """Seconds of an epoch of `name` divided by those of `other`, measured right after each other."""
        return self._median(self.networks[name].epoch_s / self.networks[other].epoch_s, "ratio")

    def record(self) -> SharingRecord:
        """All numbers, as the record of the claims holds them."""
        return SharingRecord(
            settings=self.settings.model_dump(mode="json"),
            environment=self.environment,
            networks={name: self._network_record(name) for name in self.networks},
        )

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The one figure by name."""
        yield "sharing", self.plot()[0]

    def plot(self) -> tuple[Figure, list[Axes]]:
        """Learning curves on training and test images, and what each network costs.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        panels = {"weight sharing": self.settings.timed, "pooling": self.settings.pooled}
        curves = {
            title: {name: Curve(*(self.networks[name].curve(part) for part in PARTS)) for name in names}
            for title, names in panels.items()
        }
        found = self.networks.items()
        gaps = {name: self.gap(name) for name in self.networks}
        bars: dict[str, Mapping[str, Estimate | float]] = {
            "train − test (points)": {n: gap for n, gap in gaps.items() if isinstance(gap, Estimate)},
            "parameters (millions)": {name: each.n_parameters / 1e6 for name, each in found},
            "multiply-adds (millions)": {name: each.multiply_adds / 1e6 for name, each in found},
            "memory of a step (MB)": {name: each.memory.total / 1e6 for name, each in found},
        }
        return draw_sharing(curves, bars, self.settings.goal)

    def _median(self, values: Floats, unit: str) -> Estimate:
        # The median lies outside of all n values with probability 2 / 2^n.
        return Estimate(
            value=float(np.median(values)),
            low=float(values.min()),
            high=float(values.max()),
            n_images=self.settings.n_train,
            n_seeds=len(values),
            unit=unit,
            confidence=1 - 2 / 2 ** len(values),
            method=f"median of {len(values)} epochs, by turns; from the least to the largest",
        )

    def _network_record(self, name: str) -> SharingNetworkRecord:
        measured = self.networks[name]
        epochs, reached = self.epochs(name)
        return SharingNetworkRecord(
            n_parameters=measured.n_parameters,
            multiply_adds=measured.multiply_adds,
            memory_bytes=measured.memory,
            map_px=measured.map_px,
            train=measured.accuracy("train"),
            test=measured.accuracy("test"),
            gap=self.gap(name),
            epochs_to_goal=epochs,
            reached=reached,
            epoch_s=self.epoch_s(name) if len(measured.epoch_s) else None,
            curves=CurvesRecord(**{part: measured.curve(part).tolist() for part in PARTS}),
        )


def sharing(settings: SharingSettings, lab: Lab) -> Sharing:
    """Train, count and time all networks.

    Args:
        settings: How much.
        lab: Where what is finished is kept; times are those of the first measurement.

    Raises:
        UnknownNameError: A network that is not in the zoo.
        Stopped: On request; what is finished is kept.
    """
    training = load_data("mnist", "train").head(settings.n_train)
    watched = {
        "train": training.head(settings.n_test),
        "test": load_data("mnist", "test").head(settings.n_test),
    }
    environment = describe_environment(lab.device)
    names = dict.fromkeys((*settings.timed, *settings.pooled))
    lessons = {name: _lessons(name, settings, training, watched) for name in names}
    lab.ahead([lesson for each in lessons.values() for lesson in each])
    right = {name: _right([lesson(lab) for lesson in each]) for name, each in lessons.items()}
    seconds = _epoch_seconds(settings, training, environment, lab)
    networks = {}
    for name in names:
        network = _build(name, settings, training.image_shape, 0)
        networks[name] = Measured(
            n_parameters=sum(parameter.numel() for parameter in network.parameters()),
            multiply_adds=count_multiply_adds(network.eval(), torch.zeros(1, *training.image_shape)),
            memory=count_step_memory(network, settings.recipe.batch_size),
            map_px=_map_px(network),
            train=right[name]["train"],
            test=right[name]["test"],
            epoch_s=seconds.get(name, np.empty(0)),
        )
    return Sharing(settings, environment, networks)


def _build(name: str, settings: SharingSettings, image_shape: ImageShape, seed: int) -> Network:
    network = build_network(
        name.removesuffix(WITHOUT_DROPOUT),
        seed=seed,
        input_scale=INPUT_SCALES[settings.recipe.input_scale],
        image_shape=image_shape,
    )
    if name.endswith(WITHOUT_DROPOUT):
        for layer_name, layer in network.body.named_children():
            if isinstance(layer, nn.Dropout):
                setattr(network.body, layer_name, nn.Identity())
    return network


def _lessons(
    name: str, settings: SharingSettings, training: LabelledImages, watched: Mapping[str, LabelledImages]
) -> list[Callable[[Lab], Tensors]]:
    """The trainings of a network, one for each seed."""
    return [
        partial(
            learning_curves,
            build=partial(_build, name, settings, training.image_shape, seed),
            data=training,
            watched=watched,
            recipe=settings.recipe,
            seed=seed,
            label=f"{name}, seed {seed}",
            start={"seed": seed, "dropout": not name.endswith(WITHOUT_DROPOUT)},
        )
        for seed in range(settings.n_seeds)
    ]


def _right(by_seed: Sequence[Tensors]) -> dict[str, Bits]:
    """Which of the watched images are right: by name bool (epochs + 1, seeds, N)."""
    return {part: torch.stack([each[part] for each in by_seed], 1).numpy() for part in by_seed[0]}


def _epoch_seconds(
    settings: SharingSettings, training: LabelledImages, environment: Mapping[str, Json], lab: Lab
) -> dict[str, Floats]:
    """Seconds of an epoch (repeats,) of each network that is timed; by turns, the first not counted."""
    spec: dict[str, Json] = {
        "networks": list(settings.timed),
        "recipe": settings.recipe.model_dump(mode="json"),
        "n_repeats": settings.n_repeats,
        "environment": dict(environment),
    }

    def measure() -> Tensors:
        one_epoch = settings.recipe.model_copy(update={"epochs": 1})
        seconds = torch.empty(settings.n_repeats + 1, len(settings.timed), dtype=torch.float64)
        for turn in seconds:
            for place, name in enumerate(settings.timed):
                network = _build(name, settings, training.image_shape, 0)
                turn[place] = _seconds(network, training, one_epoch, lab)
        return {"seconds": seconds[1:]}

    seconds = lab.found_or_made(Unit("epoch-times", spec, {"data": training.digest}), measure)["seconds"]
    return dict(zip(settings.timed, seconds.t().numpy(), strict=True))


def _seconds(network: Network, training: LabelledImages, recipe: Recipe, lab: Lab) -> float:
    start = time.perf_counter()
    fit(
        network,
        training,
        recipe,
        device=lab.device,
        pool=lab.pool,
        check_stop=lab.channel.check_stop,
    )
    return time.perf_counter() - start


def _map_px(network: Network) -> tuple[int, int] | None:
    """(height, width) of the maps that the dense layers are given."""
    found = None
    features: Tensor = torch.zeros(1, *network.image_shape)
    with torch.no_grad():
        for layer in network.body.eval():
            features = layer(features)
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                found = features.shape[2], features.shape[3]
    return found


def _mean(scores: Floats, largest: float) -> Effect:
    return estimate_mean(scores, unit="share of images", bounds=(-largest, largest))
