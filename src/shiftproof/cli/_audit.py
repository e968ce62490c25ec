"""`shiftproof audit`: how the answers of any model change when the image moves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._figures import check_drawable, write_figures
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import Exit, messages, print_json, results, run_directory, stoppable
from shiftproof.cli._request import model_request, reading_request

if TYPE_CHECKING:
    from shiftproof.audits import Audit, AuditQuestion
    from shiftproof.engine import Run
    from shiftproof.metrics import Gate

# Typer keeps the line breaks of a docstring, so what is longer than a line is said here.
HELP = (
    "Measure how a model's predictions change when the image is shifted, and check gates.\n\n"
    "You can stop it at any time; the same command resumes it. Every option can also be set in "
    "\\[tool.shiftproof] of pyproject.toml.\n\n"
    "Exit codes: 0 all gates passed, 1 a gate failed, 2 an error in the command, the model or the data, 3 a "
    "gate is undecided."
)


@grouped
def audit(
    model: o.Model,
    data: o.Data,
    *,
    protocol: o.Protocols = None,
    border: o.Border = None,
    limit: o.Limit = None,
    precision: o.Precision = None,
    seed: o.Seed = 0,
    max_bad: o.MaxBad = 0.01,
    files: o.ReadingOptions,
    confidence: o.Confidence = 0.95,
    method: o.Method = "auto",
    described: o.ModelOptions,
    gate: o.Gates = None,
    stop_when_decided: o.StopWhenDecided = False,
    baseline: o.Baseline = None,
    margin: o.Margin = 0.005,
    inconclusive: o.Inconclusive = "undecided",
    out: o.Out = None,
    figures: o.Figures = False,
    pictures: o.Pictures = True,
    fresh: o.Fresh = False,
    device: o.Device = "auto",
    computed: o.EngineOptions,
    batch_size: o.BatchSize = None,
    threads: o.Threads = None,
    decoders: o.Decoders = 0,
    allow_noise: o.AllowNoise = False,
    dry_run: o.DryRun = False,
    shown: o.Shown,
) -> None:
    """Measure how a model's predictions change when the image is shifted, and check gates."""
    from shiftproof.audits import DEFAULT_PROTOCOL, AuditOptions, ask, check_gates, load_audit
    from shiftproof.metrics import parse_gate

    if figures:
        check_drawable()
    exits = _exits(inconclusive)
    gates = [parse_gate(text) for text in gate or ()]
    earlier = load_audit(baseline) if baseline is not None else None
    options = AuditOptions(
        protocols=tuple(protocol or (DEFAULT_PROTOCOL,)),
        border=border,  # type: ignore[arg-type]  # whatever is made of it checks its name
        seed=seed,
        method=method,  # type: ignore[arg-type]  # as above
        precision=precision,
        stop_when_decided=stop_when_decided,
        limit=limit,
        max_bad=max_bad,
        confidence=confidence,
        device=device,
        engine=computed.engine,
        gpus_per_worker=computed.gpus_per_worker,
        batch_size=batch_size,
        threads=threads,
        decoders=decoders,
        allow_noise=allow_noise,
        reading=reading_request(files),
        pictures=pictures,
    )
    question = ask(model, data, options, request=model_request(described))
    check_gates(gates, question)
    if dry_run:
        _show_plan(question, shown.as_json)
        return
    done, run = _run(question, gates, earlier, margin, out, fresh, figures, shown.quiet)
    _show(done, run, shown.as_json)
    raise typer.Exit(exits[done.outcome])


def _run(
    question: AuditQuestion,
    gates: list[Gate],
    baseline: Audit | None,
    margin: float,
    out: str | None,
    fresh: bool,
    figures: bool,
    quiet: bool,
) -> tuple[Audit, Run]:
    from shiftproof.audits import run_audit
    from shiftproof.cli._progress import auditing
    from shiftproof.engine import Channel

    with run_directory("audit", question.config(), out=out, fresh=fresh) as run:
        with stoppable() as stop, auditing(messages, quiet=quiet) as show:
            done = run_audit(
                question,
                run=run,
                gates=gates,
                baseline=baseline,
                margin=margin,
                on_progress=show,
                check_stop=Channel(show, stop.is_set).check_stop,
            )
        _write_renderings(done, run)
        if figures:
            _write_figures(done, run.folder / "figures")
    return done, run


def _write_renderings(done: Audit, run: Run) -> None:
    from shiftproof._files import write_atomically
    from shiftproof.report import audit_junit, audit_markdown

    summary = audit_markdown(done.record)
    write_atomically(run.folder / "report.md", summary)
    write_atomically(run.folder / "junit.xml", audit_junit(done.record))
    github = os.environ.get("GITHUB_STEP_SUMMARY")
    if github:
        try:
            with Path(github).open("a", encoding="utf-8") as file:
                file.write(summary)
        except OSError as error:
            messages.print(f"The step summary could not be written: {error}", markup=False)


def _write_figures(done: Audit, folder: Path) -> None:
    from shiftproof.report import audit_figures

    write_figures(audit_figures(done.record), folder)


def _show(done: Audit, run: Run, as_json: bool) -> None:
    from shiftproof.report import print_audit

    if as_json:
        print_json(done.to_json())
        return
    print_audit(done.record, results)
    results.print(f"Record: {run.where('report.json')}", soft_wrap=True, markup=False)
    results.print(f"To show: {run.where('report.html')}", soft_wrap=True, markup=False)


def _show_plan(question: AuditQuestion, as_json: bool) -> None:
    from shiftproof.audits import plan

    plans = plan(question)
    if as_json:
        print_json(json.dumps([part.to_dict() for part in plans], indent=1, ensure_ascii=False))
        return
    for part in plans:
        results.print(
            f"{part.protocol}: {part.n_images:,} images × {part.n_shifts:,} shifts = "
            f"{part.forwards:,} views, {part.method} ({part.method_reason}), about "
            f"{part.expected_s:,.0f} s",
            soft_wrap=True,
            markup=False,
        )


def _exits(inconclusive: str) -> Mapping[str, Exit]:
    codes = {"undecided": Exit.INCOMPLETE, "pass": Exit.OK, "fail": Exit.GATE_FAILED}
    if inconclusive not in codes:
        raise typer.BadParameter("one of undecided, pass, fail", param_hint="--inconclusive")
    return {"pass": Exit.OK, "fail": Exit.GATE_FAILED, "inconclusive": codes[inconclusive]}
