"""Writes the measured sections of README.md from results/. Run it after a new result; a test compares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shiftproof.report import (
    audit_markdown,
    claims_markdown,
    explanation_markdown,
    read_audit,
    read_claims,
    read_explanation,
    read_study,
    side_by_side_markdown,
    to_markdown,
)
from shiftproof.report._markdown import escaped

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"


def study(name: str) -> str:
    return to_markdown(read_study(RESULTS / f"{name}.json"))


def speed() -> str:
    record = json.loads((RESULTS / "training.json").read_text())
    lines = [
        "| row | Keras | ours, one network | ratio | ours, two side by side | ratio | aim | share of floor |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in record["rows"]:
        theirs, alone, beside = (
            sorted(row[key])[len(row[key]) // 2] for key in ("keras_s", "ours_s", "ours_side_by_side_s")
        )
        lines.append(
            f"| {row['row']} | {theirs:.1f} s | {alone:.1f} s | {row['ratio']:.2f} | {beside:.1f} s "
            f"| {row['ratio_side_by_side']:.2f} | {row['target']:.2f} "
            f"| {row['share_of_floor_side_by_side']:.0%} |"
        )
    repeats = max(len(row["ours_s"]) for row in record["rows"])
    return _with_footer(
        lines,
        record,
        f"medians of {repeats} (standard-nn: 1), measured {record['measured']}. "
        "Side by side is how studies run: two networks, a process and a thread each, time per network. "
        f"The floor is the arithmetic at {record['floor_gflops']} GFLOP/s.",
    )


def probing() -> str:
    record = json.loads((RESULTS / "probing.json").read_text())
    everything, loops = record["all_images"], record["beside_loops"]
    bare = {row["model"]: row for row in record["direct_beside_bare"]}
    aims = record["aims"]
    at_17 = next(row for row in record["dense_beside_direct"] if row["n_shifts"] == 289)
    at_29 = next(row for row in record["dense_beside_direct"] if row["n_shifts"] == 841)
    small, large = record["memory"]
    lines = [
        "| what | measured | aim |",
        "| --- | --- | --- |",
        f"| `dense` beside `direct`, `cnn2`, 10,000 images × 289 shifts, once "
        f"| {everything['dense_s']:.1f} s and {everything['direct_s']:.0f} s: "
        f"{1 / everything['ratio']:.1f} × faster; "
        f"{everything['predictions_that_differ']} of 2,890,000 predictions differ | 12 × |",
        f"| the same, 500 images × 289 shifts | {1 / at_17['ratio']:.1f} × | 12 × |",
        f"| the same, 500 images × 841 shifts | {1 / at_29['ratio']:.1f} × | more than at 289 |",
        f"| `direct` beside bare forward passes, `cnn2` | {bare['cnn2']['ratio']:.2f} × their time "
        f"| {aims['direct / bare, cnn2']:.2f} |",
        f"| the same, ResNet-18 at 224 px | {bare['resnet18']['ratio']:.2f} × "
        f"| {aims['direct / bare, resnet18']:.2f} |",
        *(
            f"| `auto` beside {what}, `cnn2`, 25 shifts | {loops['ratios'][f'auto / {name}']:.2f} × "
            f"their time (`direct`: {loops['ratios'][f'direct / {name}']:.2f} ×) | |"
            for name, what in (
                ("torchvision", "a loop of torchvision's `affine`"),
                ("kornia", "a loop of kornia's `translate`"),
                ("foolbox", "foolbox's `SpatialAttack`, which stops at the first shift that fools"),
            )
        ),
        f"| memory beside the response, 60,000 images over 6,000 | {record['memory_ratio']:.2f} × "
        f"({large['beside_the_response_mb']:.0f} and {small['beside_the_response_mb']:.0f} MB) "
        f"| {record['memory_aim']:.1f} |",
    ]
    return _with_footer(
        lines,
        record,
        f"ratios of medians of {len(at_17['dense_s'])}, measured {record['measured']} by `make bench`. "
        "Loops use torch's own threads, as a user's would.",
    )


def audit() -> str:
    """The first half of the report: what is said first."""
    return audit_markdown(read_audit(RESULTS / "audit-cnn2.json")).partition("### Images")[0].rstrip() + "\n"


def two_data_sets() -> str:
    """The alternatives on digits and on clothes."""
    records = [read_study(RESULTS / f"alternatives-{name}.json") for name in ("quick", "fashion")]
    titles = ["test", "test Shift", "worst of 9 × 9", "circular consistency"]
    return side_by_side_markdown(records, titles).rstrip() + "\n"


def zoo() -> str:
    """Every network beside cnn2."""
    record = json.loads((RESULTS / "networks.json").read_text())
    (base,) = (row["ms_per_image"]["value"] for row in record["rows"] if row["network"] == "cnn2")
    lines = [
        "| network | parameters | multiply-adds | ms per image | beside cnn2 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in record["rows"]:
        ms = row["ms_per_image"]["value"]
        lines.append(
            f"| {row['network']} | {row['n_parameters']:,} | {row['multiply_adds']:,} | {ms:.3g} "
            f"| {ms / base:.2f} × |"
        )
    how = "forward passes of 100 images of 28 × 28 px on one thread, medians of 15"
    return _with_footer(lines, record, f"{how}, measured {record['measured']}.")


def layers() -> str:
    record = json.loads((RESULTS / "layers.json").read_text())
    rows: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in record["rows"]:
        for what in ("answer", "with_gradient"):
            for pair, ratio in row[f"{what}_ratios"].items():
                other = pair.removeprefix("ours / ").replace("plain", "what it replaces")
                rows.setdefault((row["layer"], other), {}).setdefault(what, []).append(ratio)
    lines = ["| layer | beside | answer | with gradient |", "| --- | --- | --- | --- |"]
    for (layer, other), ratios in rows.items():
        ranges = (f"{min(values):.2f} to {max(values):.2f}" for values in ratios.values())
        lines.append(f"| {layer} | {other} | {' | '.join(ranges)} |")
    return _with_footer(lines, record, f"{record['threads']} threads, measured {record['measured']}.")


def _with_footer(lines: Sequence[str], record: Mapping[str, Any], how: str) -> str:
    """A table, and below it on what and how it was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return "\n".join([*lines, "", f"{record['machine']}; {versions}; {how}"]) + "\n"


def explained() -> str:
    return explanation_markdown(read_explanation(RESULTS / "explain-cnn2.json"))


CERTIFIED = (
    "dense-nn", "cnn2", "cnn2-gap", "cnn2-circular", "cnn2-aps", "cnn2-aliasfree", "resnet20", "resnet20-aps",
)  # fmt: skip


def certified() -> str:
    record = json.loads((RESULTS / "certificates.json").read_text())
    rows = {row["network"]: row for row in record["rows"]}
    lines = [
        "| network | circular shifts | content on a blank background | change in float64 | seconds |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    for row in (rows[name] for name in CERTIFIED):
        laws = (escaped(row[law]["text"].partition(": ")[2]) for law in ("circular", "interior"))
        changes = [check["float64"]["relative"] for check in row["checks"]]
        largest = f"{max(changes):.0e}" if changes else "–"
        lines.append(f"| `{row['network']}` | {' | '.join(laws)} | {largest} | {row['seconds']:.1f} |")
    machine = record["environment"]["machine"]
    footer = (
        f"Images of 28 × 28 px. The change is the largest of the answer under the shifts for which it is "
        f"proved, or under all circular ones where nothing is. {machine}, measured {record['measured']}."
    )
    return "\n".join([*lines, "", footer]) + "\n"


def judged() -> str:
    return claims_markdown(read_claims(RESULTS / "claims-quick.json")).partition("\n\n### ")[0] + "\n"


def updated(text: str) -> str:
    """The README with its measured sections as the results say."""
    sections = {
        "quick": study("article-quick"),
        "scales": study("article-scales"),
        "seeds": study("article-seeds"),
        "speed": speed(),
        "probing": probing(),
        "audit": audit(),
        "alternatives": study("alternatives-quick"),
        "layers": layers(),
        "zoo": zoo(),
        "two-data-sets": two_data_sets(),
        "explain": explained(),
        "certify": certified(),
        "claims": judged(),
    }
    for name, content in sections.items():
        head, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- /{name} -->")
        text = head + begin + content + end + tail
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
