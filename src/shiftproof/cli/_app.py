"""The command line: parse, one public call, render, exit code. Nothing heavy is imported to parse."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from shiftproof._version import __version__
from shiftproof.cli import (
    _audit,
    _certify,
    _claims,
    _compare,
    _explain,
    _fix,
    _lists,
    _report,
    _reproduce,
    _serve,
    _study,
)
from shiftproof.cli._config import defaults
from shiftproof.cli._output import Commands, guarded

app = Commands(
    name="shiftproof",
    help="Measure, explain, fix and prove translation (image-shift) invariance of vision networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command(help=_audit.HELP)(_audit.audit)
app.command()(_compare.compare)
app.command()(_reproduce.reproduce)
app.command()(_study.study)
app.command(help=_explain.HELP)(_explain.explain)
app.command(help=_fix.HELP)(_fix.fix)
app.command(help=_certify.HELP)(_certify.certify)
app.command()(_claims.claims)
app.command()(_report.report)
app.command(help=_serve.HELP)(_serve.serve)
app.add_typer(_lists.zoo, name="zoo")
app.add_typer(_lists.data, name="data")
app.add_typer(_lists.models, name="models")
app.add_typer(_lists.protocols, name="protocols")
app.add_typer(_lists.metrics, name="metrics")
app.add_typer(_lists.edits, name="edits")
app.command()(_lists.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shiftproof {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Without the program's name; those of the process by default.
    """

    return guarded(
        lambda: app(
            args=arguments,
            standalone_mode=False,
            default_map=defaults(sys.argv[1:] if arguments is None else arguments),
        )
    )


def run() -> None:
    """Entry point of the installed command."""
    sys.exit(main())
