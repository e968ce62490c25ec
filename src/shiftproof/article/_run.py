"""All experiments that the claims need, one after the other, and the record with the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch

from shiftproof._device import describe_environment
from shiftproof._threads import worker_pool
from shiftproof.article._lab import Lab, bench_at
from shiftproof.article._letter import count_letter, letter_checks
from shiftproof.article._presets import ClaimsPreset
from shiftproof.article._scrambled import scrambled_checks, scrambled_parts
from shiftproof.article._sharing import sharing
from shiftproof.article._sharing_checks import pooling_cost_checks, sharing_checks
from shiftproof.article._substitutes import substitute_checks
from shiftproof.article._table import (
    Table,
    augmentation_checks,
    definition_checks,
    plummet_checks,
    replacement_checks,
)
from shiftproof.article._transfer import transfer
from shiftproof.article._transfer_checks import transfer_checks
from shiftproof.article._verdict import CLAIMS, verdict_on
from shiftproof.engine import HERE, Channel, Engine, Run, Shared, StopSignal, workers_of
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.records import Check, ClaimsRecord, ExperimentsRecord, StrictRecord
from shiftproof.report import write_html
from shiftproof.study import Materials, Silent, Study, Watcher, measure_study, pass_on, study_record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Checks = Mapping[int, Sequence[Check]]


class Result(Protocol):
    """What an experiment gives."""

    def record(self) -> StrictRecord:
        """Its part of the record of the claims, which is checked against that of its name."""

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Name and figure, one after the other; none where there are none."""


Found = TypeVar("Found", bound=Result)


@dataclass(frozen=True)
class Experiment:
    """Something that is done once and speaks to some of the claims.

    Args:
        name: Short; that of its part of the record.
        claims: Numbers of the claims that it speaks to.
        run: Does it; gives what was found, and the statements of its claims.
    """

    name: str
    claims: tuple[int, ...]
    run: Callable[[], tuple[Result, Checks]]


@dataclass(frozen=True, eq=False)
class ClaimsResult:
    """The record of all claims, and the results behind it.

    Args:
        record: As in `report.json`.
        results: What each experiment gave, by its name; without those that failed.
    """

    record: ClaimsRecord
    results: Mapping[str, Result] = field(default_factory=dict)

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Name and figure of every experiment that has one.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        for result in self.results.values():
            yield from result.figures()


def run_claims(
    preset: ClaimsPreset,
    run: Run,
    *,
    device: torch.device | None = None,
    engine: Engine = HERE,
    watcher: Watcher | None = None,
    stop: StopSignal | None = None,
) -> ClaimsResult:
    """Run every experiment, judge every claim, and write `report.json`.

    Args:
        preset: How much of everything.
        run: Where finished work is kept; what is there is not computed again.
        device: The CPU by default.
        engine: Where networks are trained. What remains is counted, or is a matter of the clock, and is done
            in this process.
        watcher: Told how far things are.
        stop: Set by someone else to make this raise `Stopped`.

    Returns:
        The record and the results. An experiment that fails leaves its claims open, and says why.

    Raises:
        Stopped: On request; what is finished is kept.
    """
    device = device or torch.device("cpu")
    watcher = watcher or Silent()
    results: dict[str, Result] = {}
    checks: dict[int, list[Check]] = {number: [] for number in CLAIMS}
    errors: dict[str, str] = {}
    for experiment in _experiments(preset, run, device, engine, watcher, stop):
        try:
            result, found = experiment.run()
        except Stopped:
            raise
        except ShiftproofError as error:
            errors[experiment.name] = str(error)
            found = {number: [_failed(experiment, error)] for number in experiment.claims}
        else:
            results[experiment.name] = result
        for number, statements in found.items():
            checks[number] += statements
    record = ClaimsRecord(
        schema_version=1,
        kind="claims",
        status="incomplete" if errors else "complete",
        preset=preset.name,
        preset_summary=preset.summary,
        environment=describe_environment(device),
        config=preset.config(),
        claims=tuple(verdict_on(number, found) for number, found in checks.items()),
        experiments=ExperimentsRecord.model_validate(
            {name: result.record() for name, result in results.items()}
        ),
        errors=errors,
    )
    run.write_report(record.to_json())
    write_html(run.folder, record)
    return ClaimsResult(record, results)


def _failed(experiment: Experiment, error: ShiftproofError) -> Check:
    return Check(f"The experiment “{experiment.name}” ends.", None, str(error), None, experiment.name)


def _experiments(
    preset: ClaimsPreset,
    run: Run,
    device: torch.device,
    engine: Engine,
    watcher: Watcher,
    stop: StopSignal | None,
) -> list[Experiment]:
    def tables(study: Study) -> Table:
        return _table(study, run, device, engine, watcher, stop)

    def in_lab(experiment: Callable[[Lab], Found]) -> Found:
        return _in_lab(experiment, run, device, engine, watcher, stop)

    def letter() -> tuple[Result, Checks]:
        counts = count_letter(preset.letter)
        return counts, letter_checks(counts)

    def article() -> tuple[Result, Checks]:
        table = tables(preset.article)
        return table, {3: definition_checks(table), 7: plummet_checks(table), 8: augmentation_checks(table)}

    def alternatives() -> tuple[Result, Checks]:
        table = tables(preset.alternatives)
        return table, _alternatives_checks(table)

    def shared() -> tuple[Result, Checks]:
        found = in_lab(partial(sharing, preset.sharing))
        return found, {1: sharing_checks(found), 10: pooling_cost_checks(found)}

    def transferred() -> tuple[Result, Checks]:
        found = in_lab(partial(transfer, preset.transfer))
        return found, {2: transfer_checks(found)}

    def scrambled() -> tuple[Result, Checks]:
        found = in_lab(partial(scrambled_parts, preset.scrambled))
        return found, {9: scrambled_checks(found), 12: substitute_checks(found)}

    return [
        Experiment("letter", (4, 5, 6), letter),
        Experiment("article", (3, 7, 8), article),
        Experiment("alternatives", (11, 12), alternatives),
        Experiment("sharing", (1, 10), shared),
        Experiment("transfer", (2,), transferred),
        Experiment("scrambled", (9, 12), scrambled),
    ]


def _alternatives_checks(table: Table) -> Checks:
    strided = {"strided-cnn": "A convolution of 3 × 3 with stride 2", "all-cnn": "All-CNN"}
    others = {
        "cnn2-dpp": "Detail-preserving pooling",
        "capsnet-small": "A small capsule network",
        "capsnet": "The capsule network",
    }
    return {
        number: [
            check
            for row, what in rows.items()
            if table.has(row)
            for check in replacement_checks(table, row, what)
        ]
        for number, rows in ((11, strided), (12, others))
    }


def _table(
    study: Study,
    run: Run,
    device: torch.device,
    engine: Engine,
    watcher: Watcher,
    stop: StopSignal | None,
) -> Table:
    materials = Materials.load(study, device)
    results = measure_study(materials, run, engine=engine, watcher=watcher, stop=stop)
    for error in (seed for arm in results for seed in arm if isinstance(seed, ShiftproofError)):
        raise error
    responses = {
        arm.name: [seed for seed in seeds if not isinstance(seed, ShiftproofError)]
        for arm, seeds in zip(study.arms, results, strict=True)
    }
    return Table(study_record(materials, results), responses)


def _in_lab(
    experiment: Callable[[Lab], Found],
    run: Run,
    device: torch.device,
    engine: Engine,
    watcher: Watcher,
    stop: StopSignal | None,
) -> Found:
    tell, stop = partial(pass_on, watcher), stop or StopSignal()
    channel = Channel(tell, stop.is_set)
    channel.check_stop()
    with ExitStack() as stack:
        workers = None
        if not engine.is_here:
            bench = Shared(None, partial(bench_at, run, engine.threads_there))
            workers = stack.enter_context(workers_of(engine, bench, stop=stop, on_event=tell))
        pool = stack.enter_context(worker_pool())
        return experiment(Lab(run, device, channel, pool, workers))
