"""`shiftproof compare`: two audits of the same images under the same shifts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shiftproof.cli._output import print_json, results


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Run directory of an audit.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another, with the same data and shifts.")],
    confidence: Annotated[float, typer.Option(help="Nominal coverage of the intervals.")] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Compare two audits, paired by image: what the second model does better or worse than the first."""
    from shiftproof.audits import compare_audits, load_audit
    from shiftproof.report import print_comparison, read_comparison

    record = compare_audits(load_audit(first), load_audit(second), confidence=confidence)
    if as_json:
        print_json(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False))
    else:
        print_comparison(read_comparison(record), results)
