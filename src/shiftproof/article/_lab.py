"""Where an experiment keeps what it has finished, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from shiftproof._digest import Json
from shiftproof._threads import worker_pool
from shiftproof.data import LabelledImages
from shiftproof.engine import Channel, Run, Unit, Workers
from shiftproof.errors import ShiftproofError
from shiftproof.train import Recipe, fit, load_network
from shiftproof.zoo import Network

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Lab:
    """What an experiment is given.

    Args:
        run: Holds finished units; what is there is not computed again.
        device: Where to compute.
        channel: Takes news of the progress, and passes on a request to stop.
        pool: Workers, one thread per operation.
        workers: Have parts of experiments done elsewhere, each in a lab of its own; None for all of it here.
    """

    run: Run
    device: torch.device
    channel: Channel
    pool: Executor
    workers: Workers | None = None

    def ahead(self, parts: Sequence[Callable[[Lab], object]]) -> None:
        """Have parts of an experiment done by workers, where there are some: whoever asks then finds them.

        Args:
            parts: None depends on another. Each is pickled, and keeps what it finds as units.
        """
        if self.workers is None:
            return
        for result in self.workers.run([partial(_in_own_lab, part=part) for part in parts]):
            if isinstance(result, ShiftproofError):
                raise result

    def found_or_made(self, unit: Unit, make: Callable[[], Mapping[str, Tensor]]) -> Tensors:
        """The tensors of a unit: read, or else made and kept.

        Args:
            unit: Names everything that the tensors depend on.
            make: Computes them; called only where they are not there.
        """
        if not self.run.units.has(unit):
            self.channel.check_stop()
            made = {name: tensor.detach().cpu().contiguous() for name, tensor in make().items()}
            self.run.units.keep(unit, save(made))
        return load_file(self.run.units.path(unit))

    def training_spec(
        self, network: Network, recipe: Recipe, seed: int, start: Mapping[str, Json] | None
    ) -> dict[str, Json]:
        """All settings that a training depends on beside its data; see `trained`."""
        return {
            "network": network.name,
            "recipe": recipe.model_dump(mode="json"),
            "seed": seed,
            "device": self.device.type,
            "torch": torch.__version__,
            "start": dict(start or {}),
        }

    def trained(
        self,
        build: Callable[[], Network],
        data: LabelledImages,
        recipe: Recipe,
        *,
        seed: int,
        label: str,
        start: Mapping[str, Json] | None = None,
    ) -> tuple[Network, Unit]:
        """A trained network and the unit that it is, found or trained; resumes after its last epoch.

        Args:
            build: Makes the network as it is before training.
            data: Training images.
            recipe: Settings of the training.
            seed: Of order and dropout.
            label: What is trained, for whoever watches.
            start: What else `build` depends on than the network's name, the seed and the data.
        """
        spec = self.training_spec(build(), recipe, seed, start)
        unit = Unit("train", spec, {"data": data.digest})
        if not self.run.units.has(unit):

            def train(checkpoint: Path) -> None:
                fit(
                    build(),
                    data,
                    recipe,
                    seed=seed,
                    device=self.device,
                    pool=self.pool,
                    checkpoint=checkpoint,
                    on_progress=lambda progress: self.channel.send((label, progress)),
                    check_stop=self.channel.check_stop,
                )

            self.run.units.finish(unit, train)
            self.channel.send((label, None))
        return load_network(self.run.units.path(unit)).to(self.device), unit


@dataclass(frozen=True, eq=False)
class Bench:
    """What a worker needs to have a lab of its own.

    Args:
        run: Where it finds and keeps units.
        device: Where it computes.
        threads: Of its pool.
    """

    run: Run
    device: torch.device
    threads: int | None


def bench_at(run: Run, threads: int | None, device: str) -> Bench:
    """The bench of a worker on the device that it was given."""
    return Bench(run, torch.device(device), threads)


def _in_own_lab(bench: Bench, channel: Channel, *, part: Callable[[Lab], object]) -> None:
    with worker_pool(bench.threads) as pool:
        part(Lab(bench.run, bench.device, channel, pool))
