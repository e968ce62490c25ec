"""`shiftproof report`: the record of any run as one HTML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shiftproof._address import Address, place
from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import messages, print_json, results

if TYPE_CHECKING:
    from shiftproof.records import StrictRecord

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Run directory, a folder or an address, or a file with a record, as --json prints it.",
    ),
]
More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MORE]…", help="Further runs or records, which become sections of the same page."
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        help="The file to write; by default report.html in RUN, or the record's name with .html.",
        metavar="FILE",
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Show it in the browser.")]


@grouped
def report(run: Run, more: More = None, *, out: Out = None, open_it: Open = False, shown: o.Shown) -> None:
    """Write the record of any run as one HTML file: no network, no scripts needed, nothing beside it.

    Audits, comparisons, explanations, certificates, studies, claims and reproductions.
    """
    from shiftproof._store import save
    from shiftproof.report import record_file, report_html

    record, *others = map(place, (run, *(more or ())))
    path = place(out) if out else record_file(record).with_suffix(".html")
    save(path, report_html(record, *others))
    if shown.as_json:
        print_json(json.dumps({"report": str(path)}))
    else:
        results.print(f"Report: {path}", soft_wrap=True, markup=False)
    if open_it:
        _show(path)


def write_page(record: StrictRecord, path: Path) -> None:
    """Write the page of a record where a command was asked to."""
    from shiftproof._files import write_atomically
    from shiftproof.report import report_html

    write_atomically(path, report_html(record))
    messages.print(f"Report: {path}", soft_wrap=True, markup=False)


def _show(path: Path | Address) -> None:
    import webbrowser

    if isinstance(path, Address):
        messages.print("A page at an address is not opened; bring it to this machine.")
    elif not webbrowser.open(path.resolve().as_uri()):
        messages.print("There is no browser here; open the file yourself.")
