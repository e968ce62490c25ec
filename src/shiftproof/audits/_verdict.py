"""The audit in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shiftproof._tasks import WORDS
from shiftproof._text import counted, percent


def verdict(record: Mapping[str, Any]) -> str:
    """One sentence on the first protocol of an audit's record."""
    part = record["protocols"][0]
    name = record["model"]["name"]
    one, many, always_same = WORDS[record["task"]["name"]]
    agreement = part["estimates"]["agreement"]
    if "not_applicable" in agreement:
        return f"{name} under {part['name']}: agreement is not applicable, {agreement['not_applicable']}."
    if part["chance"]["agreement"] == 1:
        return f"{name} {always_same}, so its agreement under shifts is meaningless ({_n(agreement)})."
    text = (
        f"{name} keeps its {one} under {percent(agreement['value'])} of the shifts of {part['name']} "
        f"({percent(agreement['low'])} to {percent(agreement['high'])}, {_n(agreement)})"
    )
    always = part["estimates"]["worst-case-agreement"]
    if part["n_moves"] > 1 and "not_applicable" not in always:
        every = "both" if part["n_moves"] == 2 else f"all {part['n_moves']}"
        text += f", and under {every} of them for {percent(always['value'])} of the images"
    noise = record.get("noise")
    if noise and noise["beyond_rounding"] and "value" in noise["estimates"]["agreement"]:
        kept = noise["estimates"]["agreement"]
        text += f"; without any shift, asked again, it keeps {percent(kept['value'])} of its {many}"
    return f"{text}."


def _n(estimate: Mapping[str, Any]) -> str:
    return f"n = {counted(estimate['n_images'], 'image')}"
