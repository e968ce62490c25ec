"""`shiftproof zoo ls` and its kind, and `shiftproof doctor`: what is there."""

from __future__ import annotations

import fnmatch
import json
import platform
from typing import Annotated

import typer
from rich.table import Table

from shiftproof._optional import lacks_operators, require
from shiftproof._version import __version__
from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import Commands, print_json, results
from shiftproof.errors import MissingDependencyError

zoo = Commands(help="Networks included in shiftproof.", no_args_is_help=True)
data = Commands(help="Sources of images.", no_args_is_help=True)
models = Commands(help="Sources of models.", no_args_is_help=True)
protocols = Commands(help="Shift protocols.", no_args_is_help=True)
metrics = Commands(help="Metrics computed from a model's predictions.", no_args_is_help=True)
edits = Commands(help="Edits that `fix` tries.", no_args_is_help=True)

# Optional packages and the extras that bring them; some break beside a build of torch that is not theirs.
OPTIONAL = {"torchvision": "torchvision", "timm": "timm", "transformers": "hf", "onnxruntime": "onnx"}


@zoo.command("ls")
@grouped
def zoo_ls(pattern: Annotated[str, typer.Argument(help="Shell pattern.")] = "*", *, shown: o.Shown) -> None:
    """List the networks: name, parameters, what it was trained on, what it is, where it comes from.

    `zoo:NAME` is the trained network where there is one; `--untrained` asks for random weights.
    """
    from shiftproof.zoo import networks, trained_names, trained_network

    rows: list[dict[str, str | int]] = []
    for name in fnmatch.filter(dict.fromkeys([*networks.names(), *trained_names()]), pattern):
        trained = trained_network(name) if name in trained_names() else None
        spec = networks.get(trained.network if trained else name)
        rows.append(
            {
                "name": name,
                "parameters": spec.n_parameters,
                "trained": f"MNIST, {trained.epochs} epochs" if trained else "",
                "summary": spec.summary,
                "source": spec.source,
            }
        )
    _show(rows, shown.as_json)


@data.command("ls")
@grouped
def data_ls(*, shown: o.Shown) -> None:
    """List the sources of images."""
    from shiftproof.data import data_sources

    _show(
        [
            {"name": source.name, "summary": source.summary, "source": source.source}
            for source in data_sources
        ],
        shown.as_json,
    )


@models.command("ls")
@grouped
def models_ls(*, shown: o.Shown) -> None:
    """List the ways to refer to a model."""
    from shiftproof.adapters import model_sources

    _show(
        [
            {
                "reference": source.example,
                "summary": source.summary,
                "needs": " ".join(
                    filter(
                        None, [source.extra and f"[{source.extra}]", "--trust" if source.runs_code else ""]
                    )
                ),
            }
            for source in model_sources
        ],
        shown.as_json,
    )


@protocols.command("ls")
@grouped
def protocols_ls(*, shown: o.Shown) -> None:
    """List the protocols: what they move, what comes in from outside, where they come from."""
    from shiftproof.shifts import protocol_families
    from shiftproof.shifts import protocols as named

    rows: list[dict[str, str | int]] = [
        {
            "name": family.usage,
            "border": family.border,
            "summary": family.summary.format(**{name: name for name in family.parameters}),
            "source": family.source,
        }
        for family in protocol_families
    ]
    for protocol in named:
        about = protocol.describe()
        rows.append({key: str(about[key]) for key in ("name", "border", "summary", "source")})
    _show(rows, shown.as_json)


@metrics.command("ls")
@grouped
def metrics_ls(*, shown: o.Shown) -> None:
    """List the metrics: what each says, its unit, its direction, where it comes from."""
    from shiftproof.metrics import metrics as known

    _show(
        [
            {
                "name": spec.name,
                "better": "higher" if spec.higher_is_better else "lower",
                "tasks": ", ".join(spec.tasks),
                "unit": spec.unit,
                "summary": spec.summary,
                "source": spec.source,
            }
            for spec in known
        ],
        shown.as_json,
    )


@edits.command("ls")
@grouped
def edits_ls(*, shown: o.Shown) -> None:
    """List the edits: of what kind, what they need to be of use, what they cost, where they come from."""
    from shiftproof.edits import edits as known

    _show(
        [
            {
                "name": edit.name,
                "kind": edit.kind,
                "needs": edit.needs,
                "summary": edit.summary,
                "cost": edit.cost,
                "source": edit.source,
            }
            for edit in known
        ],
        shown.as_json,
    )


@grouped
def doctor(*, shown: o.Shown) -> None:
    """Show versions, devices, and which optional packages work: what a bug report needs."""
    import torch

    from shiftproof._device import choose_device, describe_machine

    facts = {
        "shiftproof": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "machine": describe_machine(torch.device("cpu")),
        "device": str(choose_device()),
        **{name: _state(name, extra) for name, extra in OPTIONAL.items()},
    }
    _show([{"what": what, "value": value} for what, value in facts.items()], shown.as_json)


def _state(module: str, extra: str) -> str:
    try:
        found = require(module, extra=extra, purpose="A source of models")
    except MissingDependencyError as error:
        return str(error.got)
    without = " without its compiled operators" if module == "torchvision" and lacks_operators() else ""
    return f"{getattr(found, '__version__', 'present')}{without}"


def _show(rows: list[dict[str, str | int]], as_json: bool) -> None:
    if as_json:
        print_json(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    table = Table()
    for title in rows[0] if rows else ("nothing matches",):
        table.add_column(title, justify="right" if title == "parameters" else "left")
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else v for v in row.values()))
    results.print(table)
