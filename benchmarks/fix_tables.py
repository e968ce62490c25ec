"""From the records of what fixes reach to the Markdown of docs/results/fix.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.tables import RESULTS

from shiftproof.report import (
    comparison_markdown,
    escaped,
    explanation_markdown,
    fix_markdown,
    read_comparison,
    read_explanation,
    read_fix,
    table,
)

# The article trains its networks for so many.
ARTICLE_EPOCHS = 100


def trained(part: str) -> str:
    """What edits with training reach, with labels and without, and what that takes."""
    found = _part(part)
    original_s, epochs = found["cpu_seconds_of_the_original"], found["epochs_of_the_original"]
    lines = [f"The original's {epochs} epochs take {original_s:,.0f} s of the processor.", ""]
    for name, words in (("labelled", "With labels"), ("unlabelled", "Without labels")):
        record, seconds = read_fix(found[name]["record"]), found[name]["cpu_seconds"]
        share = f"{seconds / original_s:.2f} of that"
        if epochs != ARTICLE_EPOCHS:
            share += f", {seconds / original_s * epochs / ARTICLE_EPOCHS:.2f} of {ARTICLE_EPOCHS} epochs"
        lines += [
            f"{words}, all edits together: {seconds:,.0f} s, {share}.{_trials(found[name])}",
            "",
            fix_markdown(record).rstrip(),
            "",
        ]
    return "\n".join(lines)


def _trials(found: Mapping[str, Any]) -> str:
    trials = found.get("cpu_seconds_of_trials")
    if trials is None:
        return ""
    said = " and ".join(f"{int(n):,} images, which took {seconds:,.0f} s" for n, seconds in trials.items())
    return f" How much was trained follows from trials of {said}."


def photographs() -> str:
    """Edits without training on photographs."""
    found = _record("without-training.json")
    rows = [
        [
            f"**{row['name']}**" if row["name"] == found["main"] else row["name"],
            str(row["forwards"]),
            _with_ends(row["agreement"]),
            "" if row["name"] == "original" else _with_ends(row["difference"], "+.1f"),
            f"{100 * row['same_answer_as_the_original']:.0f} %",
        ]
        for row in found["rows"]
    ]
    columns = ["edit", "forwards", "agreement (%)", "difference (points)", "same clean answer"]
    what = f"{found['n_photographs']} photographs, {found['views_of_each']} views of each."
    return "\n".join([what, "", *table(columns, rows), ""])


def first_and_last() -> str:
    """How often the layer that is named first is the one to edit."""
    found = _record("first-and-last.json")
    n, networks = found["n_networks"], found["networks"]
    means = {
        key: sum(each[key] for each in networks) / n
        for key in ("before", "first_edited", "last_edited", "first_taught", "last_taught")
    }
    rows = [
        [
            words,
            f"{100 * (means[f'first_{key}'] - means['before']):+.1f}".replace("-", "−"),
            f"{100 * (means[f'last_{key}'] - means['before']):+.1f}".replace("-", "−"),
            f"{found[count]} of {n}",
        ]
        for words, key, count in (
            ("without training", "edited", "n_without_training"),
            ("after an epoch of training", "taught", "n_after_training"),
        )
    ]
    columns = ["", "named first: agreement gained (points)", "named last", "first gains more"]
    return "\n".join([*table(columns, rows), ""])


def circle() -> str:
    """What is proved before and after."""
    found = _part("circle")
    rows = [[name, found[name]["headline"]] for name in ("original", "aps", "aps, trained")]
    return "\n".join([*table(["network", "certificate"], rows), ""])


def where_to_blur() -> str:
    """A blur before the norm or behind the activation, with stem and shortcuts or without."""
    found = _record("where-to-blur.json")
    rows = [
        [
            name,
            *(f"{100 * each['agreement']:.1f}" for each in found["rows"][name]),
            *(
                "" if name == "as it is" else _with_ends(_as_value(each), "+.1f")
                for each in found["rows"][name]
            ),
        ]
        for name in ("as it is", *(name for name in found["rows"] if name != "as it is"))
    ]
    columns = ["edit", "without training (%)", "after an epoch (%)", "gain without (points)", "gain after"]
    return "\n".join([f"{found['n_networks']} networks.", "", *table(columns, rows), ""])


def _as_value(found: Mapping[str, float]) -> Mapping[str, float]:
    return {"value": found["difference"], "low": found["low"], "high": found["high"]}


def guide(step: str) -> str:
    """What a step of docs/robust.md reported: its first sentence, and what matters of the rest."""
    found = _record("guide.json")
    if step == "before":
        return f"**{escaped(found['before'])}**\n"
    if step == "explained":
        whole, _, layers = explanation_markdown(read_explanation(found["explained"])).partition("\n### ")
        losses = layers.partition("\n\n")[2].partition("\n\n### ")[0]
        return f"{whole.partition(chr(10))[0]}\n\n{losses}\n"
    if step == "fixed":
        return fix_markdown(read_fix(found["fixed"])).partition("Minus the original")[0].rstrip() + "\n"
    compared = comparison_markdown(read_comparison(found["compared"]))
    return f"**{escaped(found['after'])}**\n\n{compared.partition('### ')[2].partition(chr(10) * 2)[2]}"


def _part(name: str) -> Any:
    return _record("fixing.json")[name]


def _record(file: str) -> Any:
    return json.loads((RESULTS / file).read_text(encoding="utf-8"))


def _with_ends(found: Mapping[str, Any], style: str = ".1f") -> str:
    value, low, high = (format(100 * found[end], style) for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})".replace("-", "−")
