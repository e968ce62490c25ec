"""The article's table from the networks in the package, and whether this machine trains as theirs did.

Training for the article's 100 epochs takes hours on a laptop, and a short training shows another table than
the article's. So the networks come trained; here they are measured, and a short training of the same recipe
is held against the curve that was recorded when they were trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from shiftproof._threads import worker_pool
from shiftproof.engine import HERE, Channel, Engine, Run, StopSignal, Unit, execute
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.records import EpochPairRecord, PackagedRecord, ReproductionRecord, TodayRecord
from shiftproof.report import write_html
from shiftproof.study import (
    Arm,
    Materials,
    Overrides,
    Silent,
    Units,
    Watcher,
    load_study,
    loaded,
    measured,
    pass_on,
    shared_by,
    study_record,
    train_arm,
    training_unit,
)
from shiftproof.train import EpochRecord, Progress, load_history
from shiftproof.zoo import load_trained, trained_network

T = TypeVar("T")
FOLLOWS_POINTS = 1.0
"""A training follows a recorded one if the accuracy while training differs by no more than this in any
epoch. Another processor rounds differently, and the difference grows from epoch to epoch; another seed
differs by more than this in the first ones."""


def article_materials(device: torch.device, networks: tuple[str, ...] | None = None) -> Materials:
    """What the packaged networks of the article were trained for: its recipe, with one seed.

    Args:
        device: Where to compute.
        networks: Rows to keep; all by default.

    Raises:
        UnknownNameError: No such row.
    """
    overrides = Overrides(seeds=1, networks=networks)
    return Materials.load(load_study("article", preset="article", overrides=overrides), device)


def reproduce(
    materials: Materials,
    run: Run,
    *,
    seconds: float = 120.0,
    engine: Engine = HERE,
    watcher: Watcher | None = None,
    stop: StopSignal | None = None,
) -> ReproductionRecord:
    """Measure the packaged networks on the article's test sets, and train each row for a while.

    Args:
        materials: The article's study, see `article_materials`.
        run: Where finished units are kept.
        seconds: Time for all trainings together, if each worker has a core of its own; every row is
            trained for one epoch at least. 0: nothing is trained.
        engine: Local, with one network at a time for each worker.
        watcher: Told how far things are.
        stop: Set by someone else to make this raise `Stopped`.

    Returns:
        The record, also written to `report.json`.

    Raises:
        Stopped: On request; finished units are kept.
        ShiftproofError: The first error of a row.
    """
    arms = materials.study.arms
    watcher = watcher or Silent()
    share = seconds * min(engine.n_local, len(arms)) / len(arms)

    def all_rows(part: Callable[..., T], **settings: Any) -> list[T]:
        tasks = [partial(part, run=run, arm=arm, **settings) for arm in arms]
        results = execute(
            tasks, shared_by(materials), engine=engine, stop=stop, on_event=partial(pass_on, watcher)
        )
        return [_or_raise(result) for result in results]

    answers = [loaded(run, units) for units in all_rows(_measured)]
    curves = all_rows(_trained_today, seconds=share) if seconds else []
    record = ReproductionRecord(
        schema_version=1,
        kind="reproduction",
        table=study_record(materials, [[answer] for answer in answers]),
        packaged=tuple(
            PackagedRecord.model_validate(trained_network(arm.name), from_attributes=True) for arm in arms
        ),
        today=tuple(_beside(arm, curve) for arm, curve in zip(arms, curves, strict=False)),
        follows_points=FOLLOWS_POINTS,
    )
    run.write_report(record.to_json())
    write_html(run.folder, record)
    return record


def _or_raise(result: T | ShiftproofError) -> T:
    if isinstance(result, ShiftproofError):
        raise result
    return result


def _measured(materials: Materials, channel: Channel, *, run: Run, arm: Arm) -> Units:
    """The units with what the packaged network of a row answers under each protocol, computed or found."""
    key, load = trained_network(arm.name).weights_digest, partial(load_trained, arm.name)
    units = {}
    for name in materials.study.protocols:
        channel.check_stop()
        units[name] = measured(materials, run, key, load, name, threads=1)
    channel.send((f"{arm.name}, packaged", None))
    return units


class _Enough(Stopped):
    """The time of a training is used up."""


class _Allowance:
    """Lets a training go on while its time lasts: whole epochs only, and at least one."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = self.epoch_start = time.monotonic()
        self.longest = float("inf")

    def epoch_done(self) -> None:
        now = time.monotonic()
        self.longest = now - self.epoch_start
        self.epoch_start = now

    def check(self) -> None:
        used = self.epoch_start - self.start
        if self.longest < float("inf") and used + self.longest > self.seconds:
            raise _Enough.cannot("train longer", "the time for it is used up")


def _trained_today(
    materials: Materials, channel: Channel, *, run: Run, arm: Arm, seconds: float
) -> list[EpochRecord]:
    """What each epoch of a short training measured: as many epochs as fit, at least one."""
    whole = training_unit(materials, arm, 0)
    unit = Unit("curve", {**whole.spec, "seconds": seconds}, whole.inputs)
    if not run.units.has(unit):
        _train_a_while(materials, channel, run, arm, unit, seconds)
    channel.send((f"{arm.name}, today", None))
    return load_history(run.units.path(unit))


def _train_a_while(
    materials: Materials, channel: Channel, run: Run, arm: Arm, unit: Unit, seconds: float
) -> None:
    allowance = _Allowance(seconds)

    def watch(progress: Progress) -> None:
        if progress.epoch_done:
            allowance.epoch_done()
        channel.send((f"{arm.name}, today", progress))

    def check_stop() -> None:
        channel.check_stop()
        allowance.check()

    def train(checkpoint: Path) -> None:
        with suppress(_Enough), worker_pool(1) as pool:
            train_arm(materials, arm, 0, checkpoint, pool=pool, on_progress=watch, check_stop=check_stop)

    run.units.finish(unit, train)


def _beside(arm: Arm, curve: list[EpochRecord]) -> TodayRecord:
    """A training of today beside the recorded one, epoch by epoch."""
    recorded = trained_network(arm.name).curve
    pairs = (
        EpochPairRecord(
            epoch=today.epoch,
            loss=today.loss,
            accuracy=today.accuracy,
            recorded_loss=loss,
            recorded_accuracy=accuracy,
        )
        for today, (_, loss, accuracy) in zip(curve, recorded, strict=False)
    )
    return TodayRecord(name=arm.name, epochs=tuple(pairs))
