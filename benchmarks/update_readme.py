"""Writes the measured sections of README.md from results/. Run it after a new result; a test compares."""

from __future__ import annotations

import json
from pathlib import Path

from shiftproof.report import read_study, to_markdown

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
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    repeats = max(len(row["ours_s"]) for row in record["rows"])
    lines += [
        "",
        f"{record['machine']}; {versions}; "
        f"medians of {repeats} (standard-nn: 1), measured {record['measured']}. "
        "Side by side is how studies run: two networks, a process and a thread each, time per network. "
        f"The floor is the arithmetic at {record['floor_gflops']} GFLOP/s.",
    ]
    return "\n".join(lines) + "\n"


def updated(text: str) -> str:
    """The README with its measured sections as the results say."""
    sections = {
        "quick": study("article-quick"),
        "scales": study("article-scales"),
        "seeds": study("article-seeds"),
        "speed": speed(),
    }
    for name, content in sections.items():
        head, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- /{name} -->")
        text = head + begin + content + end + tail
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
