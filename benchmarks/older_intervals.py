"""Which records hold intervals by methods that were replaced since, as their own words say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.tables import RESULTS

# How the methods call themselves that were replaced by those of docs/results/coverage.md.
REPLACED = (
    "Wilson, ",
    "Student, images and seeds crossed",
    "bootstrap of seeds and images",
)


def older_intervals() -> str:
    """One sentence on each record that has some."""
    lines = []
    for path in sorted(RESULTS.glob("*.json")):
        methods = list(_methods(json.loads(path.read_text(encoding="utf-8"))))
        older = [method for method in methods if method.startswith(REPLACED)]
        if older:
            lines.append(f"- `{path.name}`: {len(older):,} of {len(methods):,} intervals.")
    return "\n".join(lines) + "\n"


def _methods(document: Any) -> Iterator[str]:
    """The method of each interval in a record, at any depth."""
    if isinstance(document, dict):
        if "low" in document and isinstance(document.get("method"), str):
            yield document["method"]
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from _methods(part)
