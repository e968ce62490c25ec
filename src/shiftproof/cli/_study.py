"""`shiftproof study`: run a declarative experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._key_value import key_and_value
from shiftproof.cli._output import Exit, messages, print_json, results, run_directory, stoppable

if TYPE_CHECKING:
    from shiftproof.report import StudyRecord

Preset = Annotated[
    str | None, typer.Option(help="Size of the study; by default the first preset in its file.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs for every network.")]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="How many times each network is trained, with different seeds.")
]
Networks = Annotated[str | None, typer.Option(help="Rows to run, separated by commas.", metavar="NAME,…")]
Data = Annotated[str | None, typer.Option(help="Images: mnist or idx:FOLDER.")]
Limit = Annotated[
    int | None,
    typer.Option(min=1, help="Use only the first N images of the training set and of the test set."),
]
Protocols = Annotated[
    str | None, typer.Option(help="Shift protocols, separated by commas.", metavar="NAME,…")
]
Metrics = Annotated[
    str | None, typer.Option(help="Metrics to estimate, separated by commas.", metavar="NAME,…")
]
InputScales = Annotated[
    str | None, typer.Option(help="raw (0 to 255), unit (0 to 1), or both, separated by a comma.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other training setting, for example learning_rate=0.001 or "
        "early_stopping.patience_epochs=3; repeatable.",
        metavar="KEY=VALUE",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Networks trained in parallel, one process each; default: the number of cores, or one on each "
        "GPU; with Ray, as many as there is room for.",
    ),
]


@grouped
def study(
    reference: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="A built-in study, or a file that ends in .toml."),
    ] = "article",
    *,
    preset: Preset = None,
    epochs: Epochs = None,
    seeds: Seeds = None,
    networks: Networks = None,
    data: Data = None,
    limit: Limit = None,
    protocols: Protocols = None,
    metrics: Metrics = None,
    input_scales: InputScales = None,
    settings: Settings = None,
    out: o.Out = None,
    fresh: o.Fresh = False,
    device: o.Device = "auto",
    computed: o.EngineOptions,
    workers: Workers = None,
    shown: o.Shown,
) -> None:
    """Run a study, by default the article's experiment, and print its table with ours beside it.

    A study is a list of networks × training × shift protocols × seeds.

    You can stop it at any time; the same command resumes it.
    """
    from shiftproof._device import choose_devices
    from shiftproof._files import write_atomically
    from shiftproof.cli._progress import watching
    from shiftproof.cli._request import engine_request
    from shiftproof.report import print_study, to_markdown
    from shiftproof.study import Materials, load_study, parse_overrides, run_study

    training = dict(_setting(text) for text in settings or ())
    overrides = parse_overrides(
        {
            "seeds": seeds,
            "networks": names(networks),
            "data": data,
            "limit": limit,
            "protocols": names(protocols),
            "metrics": names(metrics),
            "input_scales": names(input_scales),
            "training": training if epochs is None else {**training, "epochs": epochs},
        }
    )
    devices = choose_devices(device)
    engine = engine_request(computed, devices, workers)
    materials = Materials.load(load_study(reference, preset=preset, overrides=overrides), devices[0])
    with run_directory(materials.study.name, materials.config(), out=out, fresh=fresh) as run:
        with stoppable() as stop, watching(messages, quiet=shown.quiet) as watcher:
            record = run_study(materials, run, engine=engine, watcher=watcher, stop=stop)
        write_atomically(run.folder / "report.md", to_markdown(record))
        _draw(record, run.folder / "pareto.svg")
    if shown.as_json:
        print_json(record.to_json())
    else:
        print_study(record, results)
        results.print(f"Record: {run.where('report.json')}", soft_wrap=True)
        results.print(f"To show: {run.where('report.html')}", soft_wrap=True)
        results.print(f"Trained networks, for `shiftproof audit`: {run.where('networks')}", soft_wrap=True)
    if record.status == "incomplete":
        raise typer.Exit(Exit.INCOMPLETE)


def _draw(record: StudyRecord, path: Path) -> None:
    """The figure of costs, where the study has them; a report is whole without it."""
    from shiftproof._files import write_atomically
    from shiftproof.errors import MissingDependencyError
    from shiftproof.report import pareto_svg

    if not record.columns or not any(row.costs and row.cells for row in record.rows):
        return
    try:
        write_atomically(path, pareto_svg(record))
    except MissingDependencyError as error:
        messages.print(f"No {path.name}: {error}", soft_wrap=True)


def names(text: str | None) -> tuple[str, ...] | None:
    """Names in a list with commas; None where there is no list."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _setting(text: str) -> tuple[str, Any]:
    """A key and its value; a.b=c makes nested tables."""
    key, parsed = key_and_value(text, "--set")
    first, *rest = key.split(".")
    for part in reversed(rest):
        parsed = {part: parsed}
    return first, parsed
