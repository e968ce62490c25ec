"""Running a study: units of training and measuring, put together in one record."""

from __future__ import annotations

import re
import time
from concurrent.futures import Executor
from functools import partial
from typing import Protocol

import torch

from shiftproof._digest import Json
from shiftproof._files import make_folder
from shiftproof._threads import worker_pool
from shiftproof.engine import HERE, Channel, Engine, Run, Shared, StopSignal, Unit, execute
from shiftproof.errors import DataError, ShiftproofError, Stopped
from shiftproof.probe import Response
from shiftproof.records import StudyRecord
from shiftproof.report import write_html
from shiftproof.study._costs import Costs, measure_costs
from shiftproof.study._materials import Materials
from shiftproof.study._record import Curves, Responses, study_record
from shiftproof.study._spec import Arm, Study
from shiftproof.study._units import measured, train_arm, training_unit
from shiftproof.train import Progress, load_history, load_network
from shiftproof.zoo import build_network, read_checkpoint, write_weights

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


def pass_on(watcher: Watcher, event: Event) -> None:
    """Tell a watcher what a task sent: how far a training is, or that it has ended."""
    label, progress = event
    if progress is None:
        watcher.finished(label)
    else:
        watcher.training(label, progress)


Results = list[list[Responses | ShiftproofError]]
# By the name of a protocol.
Units = dict[str, Unit]


def run_study(
    materials: Materials,
    run: Run,
    *,
    engine: Engine = HERE,
    threads: int | None = None,
    watcher: Watcher | None = None,
    stop: StopSignal | None = None,
) -> StudyRecord:
    """Train and measure every arm of a study with every seed; write and return its record.

    Args:
        materials: Study, data and device.
        run: Where units are kept; those that are there are not computed again.
        engine: Where networks are trained, one at a time by each worker; in this process by default.
        threads: Cores that one network may use; all by default, so that the last one has them; on a cluster
            those that its worker was given.
        watcher: Told how far things are.
        stop: Set by someone else to make this raise `Stopped`.

    Returns:
        The record, also written to `report.json`: the same bytes for the same configuration,
        wherever it was computed, and however often it was interrupted. Times, where a study asks
        for them, are those of the first measurement in this run.

    Raises:
        Stopped: On request; finished units are kept.
        ShiftproofError: Every arm failed; the first one's error. If only some failed, the record
            says which, and its status is `incomplete`.
    """
    results = measure_study(materials, run, engine=engine, threads=threads, watcher=watcher, stop=stop)
    costs = _all_costs(materials, run, stop) if materials.study.costs else None
    record = study_record(materials, results, costs, _curves(materials, run))
    run.write_report(record.to_json())
    write_html(run.folder, record)
    return record


def measure_study(
    materials: Materials,
    run: Run,
    *,
    engine: Engine = HERE,
    threads: int | None = None,
    watcher: Watcher | None = None,
    stop: StopSignal | None = None,
) -> Results:
    """Train and measure every arm of a study with every seed; arguments and errors as in `run_study`.

    Returns:
        For each arm and seed what the network answered under each protocol, or the error that ended it.
    """
    study = materials.study
    watcher = watcher or Silent()
    threads = threads or (engine.cores_each if engine.kind == "ray" else None)
    pairs = [(arm, seed) for arm in study.arms for seed in study.seeds]
    tasks = [partial(_arm, run=run, arm=arm, seed=seed, threads=threads) for arm, seed in pairs]
    found = execute(tasks, shared_by(materials), engine=engine, stop=stop, on_event=partial(pass_on, watcher))
    kept = [each for each in found if not isinstance(each, ShiftproofError)]
    run.units.take([unit for units in kept for unit in units.values()])
    results = [each if isinstance(each, ShiftproofError) else loaded(run, each) for each in found]
    if run.address is not None:
        _publish_all(materials, run)
    errors = [result for result in results if isinstance(result, ShiftproofError)]
    for error in errors:
        if isinstance(error, Stopped) or len(errors) == len(results):
            raise error
    n_seeds = len(study.seeds)
    return [results[i : i + n_seeds] for i in range(0, len(results), n_seeds)]


def _curves(materials: Materials, run: Run) -> Curves:
    """What every training that ended measured in each epoch."""
    found: Curves = {}
    for arm in materials.study.arms:
        units = [training_unit(materials, arm, seed) for seed in materials.study.seeds]
        if all(map(run.units.has, units)):
            found[arm.name] = [load_history(run.units.path(unit)) for unit in units]
    return found


def _all_costs(materials: Materials, run: Run, stop: StopSignal | None) -> dict[str, Costs]:
    """Of each network, in this process and after all training, when nothing else wants the cores."""
    (found,) = execute([partial(_costs, run=run)], Shared.of(materials), stop=stop)
    if isinstance(found, ShiftproofError):
        raise found
    return found


def _costs(materials: Materials, channel: Channel, *, run: Run) -> dict[str, Costs]:
    shape, n_classes = materials.training.image_shape, len(materials.training.class_names)
    spec: dict[str, Json] = {"image_shape": [*shape], "n_classes": n_classes}
    spec["environment"] = materials.environment()
    names = dict.fromkeys(arm.network for arm in materials.study.arms)
    units = {name: Unit("costs", {**spec, "network": name}, {}) for name in names}
    if missing := [name for name, unit in units.items() if not run.units.has(unit)]:
        networks = [build_network(name, image_shape=shape, n_classes=n_classes) for name in missing]
        measured = measure_costs(networks, materials.device, check_stop=channel.check_stop)
        for name, costs in zip(missing, measured, strict=True):
            run.units.keep(units[name], costs.to_bytes())
    return {name: Costs.load(run.units.path(unit)) for name, unit in units.items()}


def shared_by(materials: Materials) -> Shared[Materials]:
    """What the tasks of a study share; another process loads the data itself instead of being sent it."""
    return Shared(materials, partial(_loaded_there, materials.study, materials.digests()))


def _loaded_there(study: Study, digests: dict[str, Json], device: str) -> Materials:
    materials = Materials.load(study, torch.device(device))
    if materials.digests() != digests:
        raise DataError.cannot("go on", "the data have changed during the run")
    return materials


def _arm(
    materials: Materials, channel: Channel, *, run: Run, arm: Arm, seed: int, threads: int | None
) -> Units:
    """The units with what one trained network answers under each protocol, computed or found."""
    label = f"{arm.name}, seed {seed}"
    with worker_pool(threads) as pool:
        trained = _trained(materials, run, arm, seed, label, pool, channel)
        _publish(run, trained, arm, seed)
        load = partial(load_network, run.units.path(trained))
        units = {}
        for name in materials.study.protocols:
            channel.check_stop()
            units[name] = measured(materials, run, trained.key, load, name, threads=threads)
    channel.send((label, None))
    return units


def loaded(run: Run, units: Units) -> Responses:
    """The responses that these units are."""
    return {name: Response.load(run.units.path(unit)) for name, unit in units.items()}


def _publish_all(materials: Materials, run: Run) -> None:
    """Of a run on a store: workers on other machines have published theirs there."""
    pairs = [(arm, seed) for arm in materials.study.arms for seed in materials.study.seeds]
    units = [training_unit(materials, arm, seed) for arm, seed in pairs]
    for (arm, seed), unit, is_there in zip(pairs, units, run.units.has_each(units), strict=True):
        if is_there:
            _publish(run, unit, arm, seed)


def _publish(run: Run, trained: Unit, arm: Arm, seed: int) -> None:
    """Put the network where people look for it: weights alone, under a name; `zoo:NAME@RUN` finds it."""
    plain = re.sub(r"[^\w.+-]+", "-", arm.name).strip("-")
    path = make_folder(run.folder / "networks") / f"{plain}-seed{seed}.safetensors"
    write_weights(read_checkpoint(run.units.path(trained)), path)


def _trained(
    materials: Materials, run: Run, arm: Arm, seed: int, label: str, pool: Executor, channel: Channel
) -> Unit:
    unit = training_unit(materials, arm, seed)
    if run.units.has(unit):
        return unit

    train = partial(
        train_arm,
        materials,
        arm,
        seed,
        pool=pool,
        on_progress=lambda progress: channel.send((label, progress)),
        check_stop=channel.check_stop,
    )
    resumed = run.units.partial_path(unit).is_file()
    start = time.monotonic()
    history = run.units.finish(unit, train)
    run.log(
        {
            "event": "trained",
            "what": label,
            "unit": unit.key,
            "epochs": len(history),
            "seconds": round(time.monotonic() - start, 3),
            "resumed": resumed,
        }
    )
    return unit
