"""`shiftproof claims`: every claim of the article, run and judged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import Exit, messages, print_json, results, run_directory, stoppable

if TYPE_CHECKING:
    from shiftproof.article import ClaimsResult

Preset = Annotated[str, typer.Option(help="quick (minutes on two cores) or full (days; resumable).")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Networks trained in parallel, one process each; default: the number of cores, or one on each "
        "GPU; with Ray, as many as there is room for.",
    ),
]


@grouped
def claims(
    *,
    preset: Preset = "quick",
    out: o.Out = None,
    fresh: o.Fresh = False,
    device: o.Device = "auto",
    computed: o.EngineOptions,
    workers: Workers = None,
    shown: o.Shown,
) -> None:
    """Run the article's twelve claims, and judge each: reproduced, partly, not reproduced.

    You can stop it at any time; the same command resumes it.
    """
    from shiftproof._device import choose_devices, describe_environment
    from shiftproof._files import write_atomically
    from shiftproof.article import load_preset, run_claims
    from shiftproof.cli._progress import watching
    from shiftproof.cli._request import engine_request
    from shiftproof.report import claims_markdown, print_claims

    size, devices = load_preset(preset), choose_devices(device)
    engine = engine_request(computed, devices, workers)
    config = {"claims": size.config(), "environment": describe_environment(devices[0])}
    with (
        run_directory("claims", config, out=out, fresh=fresh) as run,
        stoppable() as stop,
        watching(messages, quiet=shown.quiet) as watcher,
    ):
        found = run_claims(size, run, device=devices[0], engine=engine, watcher=watcher, stop=stop)
        write_atomically(run.folder / "report.md", claims_markdown(found.record))
        _draw(found, run.folder / "figures")
    if shown.as_json:
        print_json(found.record.to_json())
    else:
        print_claims(found.record, results)
        results.print(f"Every statement: {run.where('report.md')}", soft_wrap=True)
        results.print(f"To show: {run.where('report.html')}", soft_wrap=True)
    if found.record.status == "incomplete":
        raise typer.Exit(Exit.INCOMPLETE)


def _draw(found: ClaimsResult, folder: Path) -> None:
    """The figures of the experiments; a report is whole without them."""
    from shiftproof._figures import image_bytes
    from shiftproof.cli._figures import write_figures
    from shiftproof.errors import MissingDependencyError

    try:
        figures: dict[str, Any] = {f"{name}.svg": image_bytes(figure) for name, figure in found.figures()}
    except MissingDependencyError as error:
        messages.print(f"No figures: {error}", soft_wrap=True)
        return
    write_figures(figures, folder)
