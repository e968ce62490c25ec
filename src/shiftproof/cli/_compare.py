"""`shiftproof compare`: two audits of the same images under the same shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._figures import check_drawable, write_figures
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import print_json, results
from shiftproof.cli._report import write_page


@grouped
def compare(
    first: Annotated[
        str, typer.Argument(metavar="RUN_A", help="Run directory of an audit, a folder or an address.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="RUN_B", help="Another one with the same data and shifts.")
    ],
    *,
    confidence: o.Confidence = 0.95,
    figures: Annotated[
        Path | None,
        typer.Option(help="Draw the differences and both curves as SVG files in this folder.", metavar="DIR"),
    ] = None,
    html: o.Html = None,
    shown: o.Shown,
) -> None:
    """Compare two audits, paired by image: what the second model does better or worse than the first."""
    from shiftproof.audits import compare_audits, load_audit
    from shiftproof.report import comparison_figures, print_comparison

    if figures is not None:
        check_drawable()
    audits = load_audit(first), load_audit(second)
    record = compare_audits(*audits, confidence=confidence)
    if figures is not None:
        a, b = (each.record for each in audits)
        write_figures(comparison_figures(record, a, b), figures)
    if html is not None:
        write_page(record, html)
    if shown.as_json:
        print_json(record.to_json())
    else:
        print_comparison(record, results)
