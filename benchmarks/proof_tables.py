"""From the record of `benchmarks.proofs` to the Markdown of docs/results/certify.md."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.tables import RESULTS

from shiftproof._text import counted
from shiftproof.report import escaped, table

KINDS = {
    "all shifts": "the answer stays under all circular shifts",
    "one axis": "it stays under shifts down alone, or to the right alone",
    "multiples": "it stays under shifts by multiples of a step",
    "maps": "the answer is maps that roll along",
}


def random_networks() -> str:
    """How many proofs are false, and how many laws are true and not proved."""
    record = json.loads((RESULTS / "proofs.json").read_text(encoding="utf-8"))
    columns = ["law", "proved", "of these by following numbers", "true, not proved", "share not proved"]
    rows = [_row(KINDS[kind], record["laws"][kind]) for kind in KINDS if kind in record["laws"]]
    reasons = [
        f"- {n:,} × {escaped(reason) or 'proved for coarser shifts alone.'}"
        for reason, n in list(record["missed_because"].items())[:8]
    ]
    first, last = record["seeds"][0][0], record["seeds"][-1][1]
    rounding = record["decided_by_rounding"]
    lines = [
        f"**{counted(record['networks'], 'network')}, {counted(len(record['false']), 'false proof')}.**",
        "",
        *table(columns, rows, left=1),
        "",
        f"Of {counted(rounding, 'network')} the answer changed where it was proved to stay, and changed as "
        "much by rounding alone: ties, such as the place of the largest of equal numbers.",
        "",
        "Where steps end for those that are true and not proved, most often:",
        "",
        *reasons,
        "",
        f"Seeds {first:,} to {last:,}; {record['networks_per_second']:.0f} networks a second on one core, "
        f"{record['machine']}, torch {record['torch']}, measured {record['date']} by "
        "`python -m benchmarks.proofs`.",
    ]
    return "\n".join(lines) + "\n"


def _row(words: str, law: dict[str, Any]) -> list[str]:
    proved, by_numbers, missed = law["proved"], law["by_numbers"], law["missed"]
    known = words != KINDS["maps"]  # Whether unproved maps roll along was not tried.
    return [
        words,
        f"{proved:,}",
        f"{by_numbers:,}",
        f"{missed:,}" if known else "not tried",
        f"{missed / max(1, proved + missed):.1%}" if known else "",
    ]
