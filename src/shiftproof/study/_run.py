"""Running a study: units of training and measuring, put together in one record."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Protocol

import torch

from shiftproof._device import describe_machine
from shiftproof._digest import Json
from shiftproof._threads import available_cores, worker_pool
from shiftproof.data import LabelledImages, load_data
from shiftproof.engine import Channel, Run, StopSignal, Unit, execute
from shiftproof.errors import DataError, ShiftproofError, Stopped
from shiftproof.metrics import metrics
from shiftproof.probe import Response, measure_response
from shiftproof.shifts import protocols
from shiftproof.study._spec import Arm, Study
from shiftproof.train import INPUT_SCALES, Progress, fit, load_network
from shiftproof.zoo import build_network

SCHEMA_VERSION = 1
Responses = dict[str, Response]
Event = tuple[str, Progress | None]


class Watcher(Protocol):
    """Whoever shows how far a study is."""

    def training(self, label: str, progress: Progress) -> None:
        """A network is being trained."""

    def finished(self, label: str) -> None:
        """A network is trained and measured."""


class Silent:
    """A watcher that shows nothing."""

    def training(self, label: str, progress: Progress) -> None: ...

    def finished(self, label: str) -> None: ...


@dataclass(frozen=True, eq=False)
class Materials:
    """What all units of a study share.

    Args:
        study: What to do.
        training: Training images.
        test: Test images.
        device: Where to compute.
    """

    study: Study
    training: LabelledImages
    test: LabelledImages
    device: torch.device

    @classmethod
    def load(cls, study: Study, device: torch.device) -> Materials:
        """Load the data of a study."""
        training = load_data(study.data, "train").head(study.limit)
        return cls(study, training, load_data(study.data, "test").head(study.limit), device)

    def digests(self) -> dict[str, Json]:
        """The contents of the data."""
        return {"train": self.training.digest, "test": self.test.digest}

    def config(self) -> dict[str, Json]:
        """Everything that the result depends on, and by which its run is known."""
        return {
            "study": self.study.config(),
            "data": self.digests(),
            "environment": self.environment(),
        }

    def environment(self) -> dict[str, Json]:
        """Versions and machine: on another one the last bits may differ."""
        return {
            "shiftproof": version("shiftproof"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": self.device.type,
            "machine": describe_machine(self.device),
        }


def run_study(
    materials: Materials,
    run: Run,
    *,
    workers: int = 1,
    threads: int | None = None,
    watcher: Watcher | None = None,
    stop: StopSignal | None = None,
) -> dict[str, Json]:
    """Train and measure every arm of a study with every seed; write and return its record.

    Args:
        materials: Study, data and device.
        run: Where units are kept; those that are there are not computed again.
        workers: Processes, each with one network at a time; 1 for this process itself.
        threads: Cores that one network uses at a time; by default an equal part of all.
        watcher: Told how far things are.
        stop: Set by someone else to make this raise `Stopped`.

    Returns:
        The record, also written to `report.json`: the same bytes for the same configuration,
        whatever the number of workers, and however often it was interrupted.

    Raises:
        Stopped: On request; finished units are kept.
        ShiftproofError: Every arm failed; the first one's error. If only some failed, the record
            says which, and its status is `incomplete`.
    """
    study = materials.study
    watcher = watcher or Silent()
    pairs = [(arm, seed) for arm in study.arms for seed in study.seeds]
    workers = min(workers, len(pairs))
    threads = threads or max(1, available_cores() // workers)
    if workers == 1:
        tasks = [partial(_arm, materials, run, arm, seed, threads) for arm, seed in pairs]
    else:
        about = study, str(materials.device), materials.digests()
        tasks = [partial(_arm_elsewhere, *about, run, arm, seed, threads) for arm, seed in pairs]

    def pass_on(event: Event) -> None:
        label, progress = event
        if progress is None:
            watcher.finished(label)
        else:
            watcher.training(label, progress)

    results = execute(tasks, workers=workers, stop=stop, on_event=pass_on)
    errors = [result for result in results if isinstance(result, ShiftproofError)]
    for error in errors:
        if isinstance(error, Stopped) or len(errors) == len(results):
            raise error
    n_seeds = len(study.seeds)
    rows: list[Json] = [
        _row(materials, arm, results[i * n_seeds : (i + 1) * n_seeds]) for i, arm in enumerate(study.arms)
    ]
    record: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "study",
        "status": "incomplete" if errors else "complete",
        "name": study.name,
        "title": study.title,
        "source": study.source,
        "preset": study.preset,
        "preset_summary": study.preset_summary,
        "protocols": [
            {
                "name": name,
                "summary": protocols.get(name).summary,
                "source": protocols.get(name).source,
            }
            for name in study.protocols
        ],
        "data": {
            split: {"name": data.name, "n_images": len(data), "digest": data.digest}
            for split, data in (("train", materials.training), ("test", materials.test))
        },
        "environment": materials.environment(),
        "config": study.config(),
        "rows": rows,
    }
    run.write_report(record)
    return record


def _arm_elsewhere(
    study: Study,
    device: str,
    digests: dict[str, Json],
    run: Run,
    arm: Arm,
    seed: int,
    threads: int,
    channel: Channel,
) -> Responses:
    """`_arm` in another process, which loads the data itself."""
    materials = _materials(study.model_dump_json(), device)
    if materials.digests() != digests:
        raise DataError("the data to stay the same during a run", "other contents")
    return _arm(materials, run, arm, seed, threads, channel)


@lru_cache(maxsize=1)
def _materials(study: str, device: str) -> Materials:
    return Materials.load(Study.model_validate_json(study), torch.device(device))


def _arm(materials: Materials, run: Run, arm: Arm, seed: int, threads: int, channel: Channel) -> Responses:
    """One trained network and its response under each protocol, computed or found."""
    label = f"{arm.name}, seed {seed}"
    with worker_pool(threads) as pool:
        trained = _trained(materials, run, arm, seed, label, pool, channel)
        responses = {}
        for name in materials.study.protocols:
            channel.check_stop()
            responses[name] = _measured(materials, run, trained, name, pool)
    channel.send((label, None))
    return responses


def _trained(
    materials: Materials, run: Run, arm: Arm, seed: int, label: str, pool: Executor, channel: Channel
) -> Unit:
    data = materials.training
    unit = Unit(
        "train",
        {
            "network": arm.network,
            "recipe": arm.recipe.model_dump(mode="json"),
            "seed": seed,
            "device": materials.device.type,
            "torch": torch.__version__,
        },
        {"data": data.digest},
    )
    if run.units.has(unit):
        return unit
    network = build_network(
        arm.network,
        seed=seed,
        input_scale=INPUT_SCALES[arm.recipe.input_scale],
        image_shape=(data.images.shape[1], *data.size_px),
        n_classes=len(data.class_names),
    )
    partial_path = run.units.partial_path(unit)
    start = time.monotonic()
    history = fit(
        network,
        data,
        arm.recipe,
        seed=seed,
        device=materials.device,
        pool=pool,
        checkpoint=partial_path,
        on_progress=lambda progress: channel.send((label, progress)),
        check_stop=channel.check_stop,
    )
    partial_path.replace(run.units.path(unit))
    run.log(
        {
            "event": "trained",
            "what": label,
            "unit": unit.key,
            "epochs": len(history),
            "seconds": round(time.monotonic() - start, 3),
        }
    )
    return unit


def _measured(materials: Materials, run: Run, trained: Unit, protocol_name: str, pool: Executor) -> Response:
    protocol = protocols.get(protocol_name)
    unit = Unit(
        "probe",
        {
            "protocol": protocol.name,
            "law": repr(protocol.law),
            "border": protocol.border,
            "interpolation": protocol.interpolation,
            "seed": materials.study.shift_seed,
        },
        {"network": trained.key, "data": materials.test.digest},
    )
    path = run.units.path(unit)
    if not run.units.has(unit):
        response = measure_response(
            load_network(run.units.path(trained)).to(materials.device),
            materials.test,
            protocol,
            seed=materials.study.shift_seed,
            device=materials.device,
            pool=pool,
            provenance={"network": trained.key, "data": materials.test.digest},
        )
        response.save(path)
    return Response.load(path)


def _row(materials: Materials, arm: Arm, results: Sequence[Responses | ShiftproofError]) -> dict[str, Json]:
    data = materials.training
    shape = (data.images.shape[1], *data.size_px)
    network = build_network(arm.network, image_shape=shape, n_classes=len(data.class_names))
    row: dict[str, Json] = {
        "name": arm.name,
        "network": arm.network,
        "title": arm.title,
        "note": arm.note,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "recipe": arm.recipe.model_dump(mode="json"),
        "seeds": list(materials.study.seeds),
        "cells": [],
        "error": None,
    }
    errors = [result for result in results if isinstance(result, ShiftproofError)]
    if errors:
        return {**row, "error": str(errors[0])}
    responses = [result for result in results if not isinstance(result, ShiftproofError)]
    cells: list[Json] = []
    for name in materials.study.protocols:
        seeds = [response[name] for response in responses]
        cells.append(_cell(name, materials.study.metrics, seeds, arm.published.get(name)))
    return {**row, "cells": cells}


def _cell(
    protocol: str, metric_names: Sequence[str], seeds: Sequence[Response], published: float | None
) -> dict[str, Json]:
    estimates = {name: metrics.get(name).estimate(*seeds) for name in metric_names}
    accuracy = metrics.get("accuracy").estimate(*seeds)
    inside = None if published is None else accuracy.low <= published <= accuracy.high
    return {
        "protocol": protocol,
        "metrics": {name: asdict(estimate) for name, estimate in estimates.items()},
        "accuracy_per_seed": [metrics.get("accuracy").estimate(seed).value for seed in seeds],
        "published": published,
        "difference": None if published is None else accuracy.value - published,
        "published_inside_interval": inside,
    }
