"""From a record in results/ to the Markdown of README.md and docs/: one function for each section."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shiftproof._text import percent
from shiftproof.report import (
    audit_markdown,
    claims_markdown,
    escaped,
    explanation_markdown,
    read_audit,
    read_claims,
    read_explanation,
    read_study,
    side_by_side_markdown,
    table,
    to_markdown,
)

RESULTS = Path(__file__).parent / "results"
ARTICLE = "article-full"
LOOPS = {
    "torchvision": "a loop of torchvision's `affine`",
    "kornia": "a loop of kornia's `translate`",
    "foolbox": "foolbox's `SpatialAttack`, which stops at the first shift that fools",
}


# Times of training by key of the record; peers that were not measured have no column.
# Turns of one competitor that differ by more than this factor are worth a sentence.
UNEVEN = 1.5
COMPETITORS = {
    "keras_s": "Keras, TensorFlow",
    "keras_jax_s": "Keras, JAX",
    "torch_s": "PyTorch",
    "torch_compiled_s": "PyTorch, compiled",
    "ours_s": "ours, alone",
    "ours_side_by_side_s": "ours, side by side",
}


def study(name: str) -> str:
    """The whole table of a study, with its notes."""
    return to_markdown(read_study(RESULTS / f"{name}.json"))


def article() -> str:
    return study(ARTICLE)


def article_in_brief() -> str:
    """The table, how it is read, and how long the networks trained."""
    found, _, notes = article().partition("\n\n- ")
    kept = [
        note
        for note in notes.rstrip().split("\n- ")
        if note.startswith(("Accuracy, ", "article-", "Preset "))
    ]
    return "\n".join([found, "", *(f"- {note}" for note in kept)]) + "\n"


def published() -> str:
    """A verdict on each published accuracy, and the chance of the one that may be a misprint."""
    record = json.loads((RESULTS / "published.json").read_text())
    rows = [
        [
            row["row"],
            row["set"],
            f"{row['published']:g}",
            f"{row['measured']:.4f}",
            "{:.4f} to {:.4f}".format(*row["interval"]),
            f"{row['probability']:.2f}" if row["probability"] >= 0.01 else f"{row['probability']:.1g}",
            escaped(row["reason"]),
        ]
        for row in record["rows"]
    ]
    heads = ["network", "test set", "published", "measured", "interval over images", "p", "why"]
    notes = [
        f"- {row['row']}, {len(row['accuracies'])} seeds, {row['epochs']} epochs: "
        f"{', '.join(f'{accuracy:.4f}' for accuracy in row['accuracies'])}. A training as low as 0.919 or "
        f"lower has probability {row['probability_of_so_little_or_less']:.1g}."
        for row in record["misprint"]
    ]
    return "\n".join([*table(heads, rows, left=2), "", *notes]) + "\n"


def keras() -> str:
    """Trainings here and by Keras: mean accuracies over seeds, and the intervals of their differences."""
    record = json.loads((RESULTS / "keras-agreement.json").read_text())
    rows = [
        [
            row["row"],
            name,
            f"{found['ours']:.4f}",
            f"{found['theirs']:.4f}",
            f"{found['difference']:+.4f}",
            "{:+.4f} to {:+.4f}".format(*found["interval"]),
            "{:+.4f} to {:+.4f}".format(*found["interval_all_together"]),
        ]
        for row in record["rows"]
        for name, found in row["test_sets"].items()
    ]
    heads = ["network", "test set", "ours", "Keras", "difference", "95 % interval", "all nine together"]
    ours = {(run["machine"], run["torch"]) for row in record["rows"] for run in row["runs"]["ours"]}
    versions = record["versions"]
    notes = [
        f"- {record['seeds']} trainings of {record['epochs']} epochs for each network and framework. The "
        "interval is Welch's over trainings; the last column's holds for all nine at once (Bonferroni).",
        *(f"- Ours: {machine}; torch {torch}." for machine, torch in sorted(ours)),
        f"- Keras {versions['keras']} with TensorFlow {versions['tensorflow']}: {record['machine']}.",
    ]
    return "\n".join([*table(heads, rows, left=2), "", *notes]) + "\n"


def two_data_sets() -> str:
    """The alternatives on digits and on clothes."""
    records = [read_study(RESULTS / f"alternatives-{name}.json") for name in ("quick", "fashion")]
    return side_by_side_markdown(records, [column.title for column in records[0].columns if column.judges])


def audit() -> str:
    return audit_markdown(read_audit(RESULTS / "audit-cnn2.json"))


def audit_in_brief() -> str:
    """What a report says first: the verdict, and the headline numbers of the first protocol."""
    return audit().partition("### Against")[0].rstrip() + "\n"


def explanation(name: str) -> str:
    return explanation_markdown(read_explanation(RESULTS / f"explain-{name}.json"))


def beside_the_explanation() -> str:
    """What an audit and a certificate say of the network of photographs."""
    record = _read("lite0")
    agreement = record["audit"]["agreement"]
    low, value, high = (percent(agreement[key]) for key in ("low", "value", "high"))
    return (
        f"- **audit**, {record['protocol']}, {agreement['n_images']} photographs: {value} of the "
        f"predictions stay ({low} to {high}).\n- **certify**: {escaped(record['certificate'])}\n"
    )


def explaining() -> str:
    """What an explanation costs, beside a layer-wise Lie-derivative loop."""
    record = _read("explaining")
    columns = [
        "network",
        "what",
        "images",
        "passes an image",
        "seconds an image",
        "seconds of a pass",
    ]
    rows = [
        [f"`{each['network']}`", row["what"], str(row["n_images"]), f"{row['passes_per_image']:.1f}",
         f"{row['seconds_per_image']:.1f}", f"{each['seconds_of_a_pass']:.2f}"]
        for each in record["networks"]
        for row in each["rows"]
    ]  # fmt: skip
    return "\n".join(table(columns, rows)) + "\n"


def claims() -> str:
    """The verdicts, and every statement of every claim."""
    return claims_markdown(read_claims(RESULTS / "claims-quick.json"))


def verdicts() -> str:
    """The verdict on each claim, in one table."""
    return claims().partition("\n\n### ")[0] + "\n"


def certificates() -> str:
    """What is proved of every network of the zoo."""
    record = _read("certificates")
    columns = ["network", "circular shifts", "content on a blank background", "change in float64", "seconds"]
    rows = [
        [f"`{row['network']}`", _law(row["circular"]), _law(row["interior"]), _largest(row["checks"]),
         f"{row['seconds']:.1f}"]
        for row in record["rows"]
    ]  # fmt: skip
    footer = (
        "The change is the largest of the logits under the shifts for which it is proved, or under all "
        f"circular ones where nothing is. {record['environment']['machine']}, measured {record['measured']}."
    )
    return "\n".join([*table(columns, rows, left=3), "", footer]) + "\n"


def anatomies() -> str:
    """Of which architectures the steps can be read."""
    record = _read("anatomies")
    counts, rows = record["counts"], record["rows"]
    first = (
        f"Of {counts['architectures']} architectures torch.fx traces {counts['traced']}; "
        f"{counts['recorded']} more are recorded while they run. Of {counts['whole']} it is known of every "
        f"step where its positions lie; by tracing alone it would be {counts['whole_by_trace']}."
    )
    columns = ["network", "px", "how", "steps", "of unknown place", "the first of these"]
    cells = [
        [
            f"`{row['network']}`", str(row["size_px"]), row["how"] if row["how"] != "not" else "not read",
            str(row.get("n_steps", "–")), str(row.get("n_unknown", "–")),
            escaped(row.get("first_unknown") or row.get("because", "")),
        ]
        for row in rows
    ]  # fmt: skip
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    footer = (
        f"With random weights. {versions}; measured {record['date']} by `python -m benchmarks.anatomies`."
    )
    return "\n".join([first, "", *table(columns, cells, left=3), "", footer]) + "\n"


def normalised() -> str:
    """An audit of a normalised network, both ways."""
    record = _read("normalised")
    text = (
        f"A whole audit of `zoo:cnn2` behind a mean of {record['mean']} and a standard deviation of "
        f"{record['std']}, of {record['n_images']:,} images under `{record['protocol']}`: "
        f"{record['dense_s']:.1f} s with `dense`, {record['direct_s']:.0f} s with `direct`, "
        f"{record['times_faster']:.1f} × as fast. "
        f"Seconds of one processor, {record['machine']}, measured {record['date']} by "
        "`python -m benchmarks.normalised`."
    )
    return text + "\n"


RANKED = ("all", "downsampling", "border")


def remedies() -> str:
    """Whether remedies remove what was promised."""
    record = _read("remedies")
    columns = ["networks", "remedied", "layers", "rank correlation", "of downsampling", "of borders"]
    rows = [
        [row["networks"], how, str(row[how]["n"]), *map(_ranks, (row[how][key] for key in RANKED))]
        for row in record["rows"]
        for how in ("alone", "together")
    ]
    footer = (
        f"Of {record['n_networks']} random networks of each kind, measured {record['date']} by "
        "`python -m benchmarks.remedies`. Together: with all layers before it."
    )
    return "\n".join([*table(columns, rows, left=2), "", footer]) + "\n"


def _ranks(correlation: float | None) -> str:
    return "–" if correlation is None else f"{correlation:.2f}"


def plans() -> str:
    """Which networks get a dense plan, and how much faster that is."""
    record = _read("plans")
    columns = ["network", "any border", "circular shifts"]
    rows = [
        [f"`{row['network']}`", _plan(row["any-border"]), _plan(row["circular"])] for row in record["rows"]
    ]
    footer = (
        f"All whole shifts by up to {record['radius_px']} px of one image, on one processor, beside one pass "
        f"for each shift. {record['machine']}, measured {record['date']} by `python -m benchmarks.plans`."
    )
    return "\n".join([*table(columns, rows, left=3), "", footer]) + "\n"


def _plan(plan: Mapping[str, Any]) -> str:
    if not plan["planned"]:
        return escaped(f"no plan. {plan['because']}")
    return f"{plan['times_faster']:.1f} × as fast; answers differ by {plan['difference']:.0e}"


def _law(law: Mapping[str, str]) -> str:
    """What is proved, without the name of the law, which the column has."""
    return escaped(law["text"].partition(": ")[2])


def _largest(checks: Sequence[Mapping[str, Any]]) -> str:
    changes = [check["float64"]["relative"] for check in checks]
    return f"{max(changes):.0e}" if changes else "–"


def probing() -> str:
    """The probe beside simpler ways to get the same answers."""
    record = _read("probing")
    rows = [
        *_dense_rows(record),
        *_direct_rows(record),
        *_loop_rows(record["beside_loops"]),
        _memory_row(record),
    ]
    repeats = len(record["dense_beside_direct"][0]["dense_s"])
    how = (
        f"ratios of medians of {repeats}, measured {record['measured']} by `make bench`. "
        "Loops use torch's own threads, as a user's would."
    )
    return _with_footer(table(["what", "measured", "aim"], rows, left=3), record, how)


def _dense_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """All shifts at once, where that is exact, beside shift by shift."""
    everything, aim = record["all_images"], 1 / record["aims"]["dense / direct, 17 × 17"]
    of_many = {row["shifts"]: row for row in record["dense_beside_direct"]}
    n_shifts = of_many["17 × 17"]["n_shifts"]
    return [
        [
            f"`dense` beside `direct`, `cnn2`, {everything['n_images']:,} images × {n_shifts} shifts, once",
            f"{everything['dense_s']:.1f} s and {everything['direct_s']:.0f} s: "
            f"{1 / everything['ratio']:.1f} × faster; {everything['predictions_that_differ']} of "
            f"{everything['n_images'] * n_shifts:,} predictions differ",
            f"{aim:.0f} ×",
        ],
        [_same(of_many["17 × 17"]), f"{1 / of_many['17 × 17']['ratio']:.1f} ×", f"{aim:.0f} ×"],
        [_same(of_many["29 × 29"]), f"{1 / of_many['29 × 29']['ratio']:.1f} ×", f"more than at {n_shifts}"],
    ]


def _same(row: Mapping[str, Any]) -> str:
    return f"the same, {row['n_images']} images × {row['n_shifts']} shifts"


def _direct_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """Shift by shift, beside forward passes alone."""
    ratios = {row["model"]: f"{row['ratio']:.2f} ×" for row in record["direct_beside_bare"]}
    aims = record["aims"]
    return [
        ["`direct` beside bare forward passes, `cnn2`", f"{ratios['cnn2']} their time",
         f"{aims['direct / bare, cnn2']:.2f} ×"],
        ["the same, ResNet-18 at 224 px", ratios["resnet18"], f"{aims['direct / bare, resnet18']:.2f} ×"],
    ]  # fmt: skip


def _loop_rows(loops: Mapping[str, Any]) -> list[list[str]]:
    ratios = loops["ratios"]
    return [
        [
            f"`auto` beside {what}, `cnn2`, {loops['n_shifts']} shifts",
            f"{ratios[f'auto / {name}']:.2f} × their time (`direct`: {ratios[f'direct / {name}']:.2f} ×)",
            "",
        ]
        for name, what in LOOPS.items()
    ]


def _memory_row(record: Mapping[str, Any]) -> list[str]:
    small, large = record["memory"]
    return [
        f"memory beside the response, {large['n_images']:,} images over {small['n_images']:,}",
        f"{record['memory_ratio']:.2f} × ({large['beside_the_response_mb']:.0f} and "
        f"{small['beside_the_response_mb']:.0f} MB)",
        f"{record['memory_aim']:.1f} ×",
    ]


def layers() -> str:
    """Each layer beside what it replaces and beside other libraries: ranges over sizes and layouts."""
    record = _read("layers")
    ratios: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in record["rows"]:
        for what in ("answer", "with_gradient"):
            for pair, ratio in row[f"{what}_ratios"].items():
                other = pair.removeprefix("ours / ").replace("plain", "what it replaces")
                ratios.setdefault((row["layer"], other), {}).setdefault(what, []).append(ratio)
    rows = [
        [*names, *(f"{min(values):.2f} to {max(values):.2f}" for values in found.values())]
        for names, found in ratios.items()
    ]
    lines = table(["layer", "beside", "forward", "forward and gradient"], rows, left=2)
    return _with_footer(lines, record, f"{record['threads']} threads, measured {record['measured']}.")


def networks() -> str:
    """Every network beside cnn2."""
    record = _read("networks")
    (base,) = (row["ms_per_image"]["value"] for row in record["rows"] if row["network"] == "cnn2")
    rows = [
        [row["network"], f"{row['n_parameters']:,}", f"{row['multiply_adds']:,}",
         f"{row['ms_per_image']['value']:.3g}", f"{row['ms_per_image']['value'] / base:.2f} ×"]
        for row in record["rows"]
    ]  # fmt: skip
    time = record["rows"][0]["ms_per_image"]
    how = (
        f"forward passes of {time['batch_size']} images of 28 × 28 px on {time['threads']} thread; "
        f"{time['method']}; measured {record['measured']}."
    )
    columns = ["network", "parameters", "multiply-adds", "ms per image", "beside cnn2"]
    return _with_footer(table(columns, rows), record, how)


def training() -> str:
    """Seconds for one epoch, beside each peer that was measured, and where the time goes."""
    record = _read("training")
    present = {key: title for key, title in COMPETITORS.items() if key in record["rows"][0]}
    columns = ["row", *present.values(), "ratio, alone", "ratio, side by side", "aim", "share of floor"]
    repeats = {row["row"]: len(row["ours_s"]) for row in record["rows"]}
    most = max(repeats.values())
    fewer = "".join(f" ({row}: {n})" for row, n in repeats.items() if n < most)
    how = (
        f"one epoch of {record['images']:,} images; medians of {most}{fewer}, measured {record['measured']}. "
        "Ratios are to the fastest peer. Side by side is how studies run: a network, a process and a thread "
        f"for each core, time per network. The floor is {record['floor']}."
    )
    rows = [_training_row(row, present) for row in record["rows"]]
    parts = [_with_footer(table(columns, rows), record, how + _uneven_peers(record["rows"]))]
    parts += [_where_time_goes(row) for row in record["rows"] if row.get("profile")]
    return "\n".join(parts)


def _uneven_peers(rows: Iterable[Mapping[str, Any]]) -> str:
    """What the fastest peers took at least and at most, where the ratio hangs on it."""
    said = []
    for row in rows:
        turns = row[f"{row['fastest_peer']}_s"]
        if max(turns) > UNEVEN * min(turns):
            least, most = (
                statistics.median(row["ours_side_by_side_s"]) / limit(turns) for limit in (max, min)
            )
            said.append(
                f" {row['row']}: turns of {COMPETITORS[row['fastest_peer'] + '_s']} took {min(turns):.0f} to "
                f"{max(turns):.0f} s; the ratio side by side is {least:.2f} to {most:.2f}."
            )
    return "".join(said)


def _training_row(row: Mapping[str, Any], present: Iterable[str]) -> list[str]:
    times = (f"{statistics.median(row[key]):.1f} s" if key in row else "–" for key in present)
    ratios = (f"{row[key]:.2f}" for key in ("ratio", "ratio_side_by_side", "target"))
    return [row["row"], *times, *ratios, f"{row['share_of_floor_side_by_side']:.0%}"]


def _where_time_goes(row: Mapping[str, Any]) -> str:
    """What each operation of a step takes, and the two times that it cannot go below."""
    rows = [
        [
            part["operation"],
            *(f"{part[key]:.0f}" if key in part else "–" for key in ("ms", "arithmetic_ms", "memory_ms")),
        ]
        for part in row["profile"]
    ]
    columns = [f"`{row['row']}`, ms for 1,000 images on one thread", "measured", "arithmetic", "memory"]
    return "\n".join(table(columns, rows)) + "\n"


def pages() -> str:
    """What the page of a large audit costs, beside its aims."""
    record = _read("pages")
    write_s, paint_ms = (statistics.median(record[key]) for key in ("write_s", "paint_ms"))
    what = f"{record['images']:,} images × {record['shifts']} shifts"
    rows = [
        [f"write the page, {what}", f"{write_s:.2f} s", "2 s"],
        ["the same from `report.json`, checked, once", f"{record['from_file_s']:.2f} s", ""],
        ["until it is seen in Chromium, from disk", f"{paint_ms / 1000:.2f} s", "1 s"],
        ["size", f"{record['bytes'] / 1e6:.2f} MB", "3 MB"],
    ]
    how = f"medians of {record['repeats']}, measured {record['measured']} by `python -m benchmarks.pages`."
    return _with_footer(table(["what", "measured", "aim"], rows), record, how)


def serving() -> str:
    """How long one waits on the page on which one drags the image, beside its aims."""
    record = _read("serving")
    peer = record["peer"]
    frame_ms = sorted(record["frame_ms"])
    late_ms = frame_ms[int(0.95 * len(frame_ms))]
    rows = [
        ["until the prediction", *_waits(record["answer_ms"]), "100 ms"],
        ["until the whole plane", *_waits(record["plane_ms"]), "300 ms"],
        [
            "from frame to frame while dragging",
            f"{statistics.median(frame_ms):.1f} ms",
            f"{late_ms:.1f} ms",
            "16.7 ms",
        ],
        ["from a move by one pixel to the answer on the screen", *_waits(record["move_ms"]), ""],
        [f"the same on a page of {peer['name']} {peer['version']}", *_waits(peer["move_ms"]), ""],
        ["a question to our server, if each move were one", *_waits(record["round_trip_ms"]), ""],
        ["until Ctrl-C has ended it", f"{1000 * record['leave_s']:.0f} ms", "", "1,000 ms"],
        ["size of the exported page", f"{record['export_bytes'] / 1e6:.2f} MB", "", "8 MB"],
    ]
    what = f"{record['repeats']} images, {len(frame_ms) + 1} frames"
    how = (
        f"{what}, load {record['load']:.1f}, measured {record['measured']} by `python -m benchmarks.serving`."
    )
    return _with_footer(table(["what", "median", "of 20, one is slower than", "aim"], rows), record, how)


def _waits(times_ms: Sequence[float]) -> tuple[str, str]:
    """The median and the 95th percentile."""
    ordered = sorted(times_ms)
    return f"{statistics.median(ordered):.0f} ms", f"{ordered[int(0.95 * len(ordered))]:.0f} ms"


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _with_footer(lines: Sequence[str], record: Mapping[str, Any], how: str) -> str:
    """A table, and below it on what and how it was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return "\n".join([*lines, "", f"{record['machine']}; {versions}; {how}"]) + "\n"


def coverage(group: str) -> str:
    """How often each method's interval held the truth, and the mean width of ours."""
    rows = _read("coverage")[group]
    names = sorted(rows[0]["held"], key=lambda name: (name != "ours", name))
    body = [
        [row["cell"], *(percent(row["held"][name]) for name in names), f"{row['width']['ours']:.3f}"]
        for row in rows
    ]
    columns = ["what was sampled", *names, "width of ours"]
    lines = [*table(columns, body), "", f"Nominal 95 %; {rows[0]['n_samples']:,} samples of each."]
    without = [f"{row['cell']}: {percent(row['without'])}" for row in rows if row["without"]]
    if without:
        lines[-1] += (
            f" Samples without an interval, as every number in them is the same: {'; '.join(without)}."
        )
    return "\n".join(lines) + "\n"


def stopping() -> str:
    """The interval at the moment when a precision is reached."""
    rows = _read("coverage")["precision"]
    body = [[row["cell"], percent(row["held"]), f"{row['n_images']:,.0f}"] for row in rows]
    lines = table(["what was sampled, and the precision", "held", "images, mean"], body)
    return "\n".join([*lines, "", f"Nominal 95 %; {rows[0]['n_samples']:,} samples of each."]) + "\n"


def gates() -> str:
    """What gates that stop when they are decided get wrong, and what they save."""
    record = _read("coverage")
    rows = [
        [
            percent(row["mean"]),
            *(percent(row[how][each]) for how in ("early", "whole") for each in ("pass", "fail")),
            percent(row["share_of_images"]),
            percent(row["held"]),
        ]
        for row in record["gates"]
    ]
    columns = [
        f"agreement; gate at {percent(record['gates'][0]['threshold'])}", "pass", "fail", "pass, all images",
        "fail, all images", "images needed", "interval held",
    ]  # fmt: skip
    model = [
        [f"`{row['gate']}`", row["verdict"], row["verdict_of_all"], f"{row['forwards']:,}",
         f"{row['forwards_of_all']:,}"]
        for row in record["model"]
    ]  # fmt: skip
    first = record["model"][0]
    lines = [
        *table(columns, rows),
        "",
        "10,000 images with 80 shifts each, correlation 0.5; "
        f"{record['gates'][0]['n_samples']:,} samples of each.",
        "",
        f"The packaged cnn2 on MNIST under {first['protocol']}, agreement {percent(first['agreement'])}:",
        "",
        *table(["gate", "verdict", "of all images", "views", "of all images"], model, left=3),
    ]
    return "\n".join(lines) + "\n"
