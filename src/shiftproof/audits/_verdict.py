"""The audit in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verdict(record: Mapping[str, Any]) -> str:
    """One sentence on the first protocol of an audit's record."""
    part = record["protocols"][0]
    name = record["model"]["name"]
    agreement = part["estimates"]["agreement"]
    if "not_applicable" in agreement:
        return f"{name} under {part['name']}: there is no agreement, {agreement['not_applicable']}."
    if part["chance"]["agreement"] == 1:
        return (
            f"{name} answers every image with the same class: that it never changes its answer "
            f"says nothing ({_n(agreement)})."
        )
    text = (
        f"{name} keeps its answer under {_percent(agreement['value'])} of the shifts of {part['name']} "
        f"({_percent(agreement['low'])} to {_percent(agreement['high'])}, {_n(agreement)})"
    )
    always = part["estimates"]["worst-case-agreement"]
    if part["n_shifts"] > 1 and "not_applicable" not in always:
        text += f", and under all {part['n_shifts']} of them for {_percent(always['value'])} of the images"
    return f"{text}."


def _percent(share: float) -> str:
    """One decimal, but never 100 % or 0 % for what is not quite that.

    Example:
        >>> _percent(0.99996), _percent(1.0), _percent(0.123)
        ('> 99.9 %', '100 %', '12.3 %')
    """
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if share > 0.9995:
        return "> 99.9 %"
    return "< 0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"


def _n(estimate: Mapping[str, Any]) -> str:
    n_images = estimate["n_images"]
    return f"n = {n_images:,} image{'' if n_images == 1 else 's'}"
