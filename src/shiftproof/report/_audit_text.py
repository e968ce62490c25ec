"""What every rendering of an audit says: the cells of its tables, and its remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shiftproof._text import counted, percent
from shiftproof.records import (
    AuditRecord,
    Estimate,
    Estimated,
    GateRecord,
    MeasuredProtocolRecord,
    NotApplicable,
    WorstRecord,
)
from shiftproof.report._numbers import NO_NUMBER, amount, in_full, interval, title
from shiftproof.report._task_text import BESIDE_AGREEMENT, is_asked, n_answers, task_line, words

Rows = list[list[str]]
# Which chance level stands beside a metric. A constant answer has the same accuracy at every shift.
CHANCE = {
    "clean-accuracy": "accuracy",
    "accuracy": "accuracy",
    "worst-case-accuracy": "accuracy",
    "agreement": "agreement",
}
# What a constant classifier is perfect at.
OF_CONSTANT = ("agreement", "worst-case-agreement", "kept-when-right", "pairwise-consistency")
MAX_RADII = 11
# Below this, in shares, a difference between phases is not worth a line.
NOTICEABLE = 0.01
SEVERITY = ("fail", "inconclusive", "not applicable", "pass")
MAX_SKIPPED = 5


def confidence(record: AuditRecord) -> str:
    """Of the intervals, as a title."""
    found = [e for part in record.protocols for e in part.estimates.values()]
    levels = sorted({e.confidence for e in found if isinstance(e, Estimate)})
    return " and ".join(f"{100 * level:.4g} %" for level in levels)


def headline_columns(record: AuditRecord) -> list[str]:
    """Titles of the headline table."""
    floor = ["unmoved"] if _is_noisy(record) else []
    return ["metric", "value", f"{confidence(record)} interval".strip(), "n", *floor, "chance", "better"]


def headline_rows(record: AuditRecord, part: MeasuredProtocolRecord) -> Rows:
    """The headline metrics of a protocol, and clean accuracy beside them in any case."""
    # A dictionary, since clean accuracy usually is one of them.
    beside = {"clean-accuracy"} & {name for name in record.metrics if is_asked(record, name)}
    names = dict.fromkeys([*record.headline, *beside])
    return [_headline_row(record, part, name) for name in names]


def _headline_row(record: AuditRecord, part: MeasuredProtocolRecord, name: str) -> list[str]:
    about = record.metrics[name]
    better = "higher" if about.higher_is_better else "lower"
    floor = [_floor(record, name)] if _is_noisy(record) else []
    return [title(name, about.unit), *number_cells(part.estimates[name]), *floor, chance(part, name), better]


def _is_noisy(record: AuditRecord) -> bool:
    """Whether answers differ where nothing moves, by more than rounding."""
    return record.noise is not None and record.noise.beyond_rounding


def _floor(record: AuditRecord, metric: str) -> str:
    """What a metric is without a shift."""
    found = record.noise.estimates.get(metric) if record.noise else None
    return amount(found.value, found.unit) if isinstance(found, Estimate) else ""


def _noise_rows(record: AuditRecord) -> Rows:
    noise = record.noise
    if noise is None:
        return []
    answers = words(record).answers
    images, again = counted(noise.n_images, "image"), "when asked again, also in other batches"
    if not noise.beyond_rounding:
        change = (
            f"outputs change by at most {noise.largest_drift:.1g}" if noise.largest_drift else "all equal"
        )
        return [["noise", f"none: same {answers} for {images} {again} ({change})"]]
    flips = noise.estimates.get("flip-rate")
    share = percent(flips.value) if isinstance(flips, Estimate) else NO_NUMBER
    differ = f"{share} of the {answers} for {images} differ {again}"
    return [["noise", f"{differ}; the column “unmoved” is each metric without any shift"]]


def number_cells(found: Estimated) -> list[str]:
    """Value, interval and n."""
    if isinstance(found, NotApplicable):
        return [NO_NUMBER, "", ""]
    return [amount(found.value, found.unit), interval(found), f"{found.n_images:,}"]


def chance(part: MeasuredProtocolRecord, metric: str) -> str:
    """What guessing reaches at a metric, where it is known."""
    if is_constant(part) and metric in OF_CONSTANT:
        return percent(1)
    level = getattr(part.chance, CHANCE.get(metric, ""), None)
    return percent(level) if isinstance(level, float) else ""


def is_constant(part: MeasuredProtocolRecord) -> bool:
    """Whether the answer to every unshifted image is the same."""
    return part.chance.agreement == 1


def chance_note(record: AuditRecord, part: MeasuredProtocolRecord) -> str:
    """What the chance levels are, and a warning where agreement is meaningless."""
    accuracy = part.chance.accuracy
    if is_constant(part):
        share = "; the accuracy is the share of that one class" if isinstance(accuracy, float) else ""
        return (
            f"Every image gets the same {words(record).answer}, so 100 % in {', '.join(OF_CONSTANT[:3])} is "
            f"meaningless{share}."
        )
    known = isinstance(accuracy, float)
    best = "for accuracy, always predicting the most frequent class; " if known else ""
    return f"Chance: {best}for agreement, two independent {words(record).answers} of this model."


def about_rows(record: AuditRecord) -> Rows:
    """Model, preprocessing, notes and data: a name and a line each."""
    model, data = record.model, record.data
    digest = f" (digest {model.digest[:12]})" if model.digest else ""
    rows = [
        ["model", f"{model.name}{digest}"],
        ["preprocessing", f"{model.framing}; {model.preprocessing}"],
        ["task", task_line(record)],
        *(["note", note] for note in model.notes),
        *_noise_rows(record),
        ["data", f"{data.name}: {_size(record)}"],
    ]
    if data.skipped:
        rows.append(["", f"{counted(len(data.skipped), 'file')} skipped"])
    said = [*([data.note] if data.note else []), *converted(data.conversions)]
    return rows + [["", line] for line in said]


def converted(conversions: Mapping[str, int]) -> list[str]:
    """One line on what was done to how many images; none if nothing was.

    Example:
        >>> converted({"reduced in size": 1200, "16 bits to 8": 3})
        ['converted: 16 bits to 8: 3; reduced in size: 1,200']
    """
    done = (f"{name}: {number:,}" for name, number in sorted(conversions.items()))
    return [f"converted: {'; '.join(done)}"] if conversions else []


def _size(record: AuditRecord) -> str:
    data, n_classes = record.data, record.protocols[0].n_classes
    channels, *size = data.image_shape
    labels = "labelled" if data.labelled else "without labels"
    return (
        f"{counted(data.n_images, 'image')} of {' × '.join(map(str, size))} px, "
        f"{counted(channels, 'channel')}, {labels}; {n_answers(record, n_classes)}"
    )


def radius_columns(part: MeasuredProtocolRecord) -> list[str]:
    """Titles of the table against the radius."""
    beside = [column for name in _beside_agreement(part) for column in (name, "interval")]
    return ["radius", "agreement", "interval", *beside, "n"]


def _beside_agreement(part: MeasuredProtocolRecord) -> list[str]:
    """What else is shown against the radius: one metric, where it has numbers."""
    return [name for name in BESIDE_AGREEMENT if _by_radius(part, name)][:1]


def radius_rows(part: MeasuredProtocolRecord) -> Rows:
    """Agreement, and what stands beside it, against the radius: a few rows."""
    curves = [_by_radius(part, name) for name in ("agreement", *_beside_agreement(part))]
    rows: Rows = []
    for radius in few(sorted(set().union(*curves)), MAX_RADII):
        cells = [cell for curve in curves for cell in curve.get(radius, ("", "", ""))[:2]]
        n = next(curve[radius][2] for curve in curves if radius in curve)
        rows.append([f"{radius} px", *cells, n])
    return rows


def _by_radius(part: MeasuredProtocolRecord, metric: str) -> dict[int, tuple[str, str, str]]:
    view, found = part.by_radius.get(metric), part.estimates.get(metric)
    unit = found.unit if isinstance(found, Estimate) else "share of images"
    return {
        point.at: (
            amount(point.value, unit),
            f"{amount(point.low, unit)} to {amount(point.high, unit)}",
            f"{point.n_images:,}",
        )
        for point in (view.points if view else ())
    }


def few(values: Sequence[int], most: int) -> list[int]:
    """At most so many of the values, evenly, with the first and the last.

    Example:
        >>> few(range(9), 3)
        [0, 4, 8]
    """
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / (most - 1))] for place in range(most)]


def phase_line(part: MeasuredProtocolRecord) -> str:
    """Agreement against the phase modulo 2 px, if it shows the signature of aliasing.

    That is: shifts by a multiple of the stride change less than others, by more than intervals allow.
    """
    view = part.by_phase.get("2", {}).get("agreement")
    points = sorted(view.points, key=lambda point: point.at) if view else []
    if len(points) < 2:
        return ""
    best, worst = (choose(points, key=lambda point: point.value) for choose in (max, min))
    if best.at != (0, 0) or best.value - worst.value < NOTICEABLE or best.low <= worst.high:
        return ""
    shares = ", ".join(f"{percent(point.value)} at ({_offset(point.at)})" for point in points)
    return (
        f"Agreement by (dy, dx) modulo 2: {shares}. The largest gap is "
        f"{100 * (best.value - worst.value):.1f} points, which is a sign of aliasing."
    )


def _offset(at: tuple[float, float]) -> str:
    return ", ".join(f"{end:g}" for end in at)


def worst_columns(record: AuditRecord) -> list[str]:
    """Titles of the table of the worst images."""
    answer = "nearest" if record.task.name == "embedding" else "predicted"
    return ["image", "label", answer, "changed", "first at", "to"]


def worst_title(record: AuditRecord) -> str:
    """Heading of the images whose answer changes most often."""
    return f"Images whose {words(record).answer} changes most often"


def worst_note(record: AuditRecord) -> str:
    """What the columns of the worst images are."""
    answer = words(record).answer
    return (
        f"Changed: share of the shifts that change the {answer}. First at: the smallest of them, (dy, dx); "
        f"to: the {answer} there."
    )


def worst_rows(record: AuditRecord, part: MeasuredProtocolRecord) -> Rows:
    """The images whose prediction changes most often: under which share of shifts, and at the smallest."""
    return [_worst_row(record, worst) for worst in part.worst]


def _worst_row(record: AuditRecord, worst: WorstRecord) -> list[str]:
    class_name = record.data.class_name
    dy, dx = worst.flip_offset_px
    return [
        worst.name,
        class_name(worst.label),
        class_name(worst.unshifted),
        percent(worst.share_of_shifts_that_change_it),
        f"{amount(worst.smallest_flip_px, 'px')} ({_signed(dy)}, {_signed(dx)})",
        class_name(worst.flips_to),
    ]


def _signed(offset: float) -> str:
    # Three digits, of which a drawn offset of 1.2345678 px has more.
    return f"{offset:+.3g}".replace("-", "−") if offset else "0"


def no_worst(record: AuditRecord, part: MeasuredProtocolRecord) -> str:
    """Why there are no worst images."""
    agreement = part.estimates.get("agreement")
    if isinstance(agreement, Estimate):
        return f"No measured shift changes the {words(record).answer} for any image."
    return "No image was moved."


GATE_COLUMNS = ["verdict", "gate", "protocol", "measured"]


def by_severity(gates: Sequence[GateRecord]) -> list[GateRecord]:
    """Failures first."""
    return sorted(gates, key=lambda gate: SEVERITY.index(gate.verdict))


def gate_row(gate: GateRecord) -> list[str]:
    """Cells of one gate."""
    # In capitals where something has to be done.
    verdict = gate.verdict if gate.verdict in ("pass", "not applicable") else gate.verdict.upper()
    return [verdict, gate.demand, gate.protocol, in_full(gate.measured)]


def not_measured(record: AuditRecord) -> list[str]:
    """What has no number and why, what was left out, and what was not done in the fast way."""
    lines = []
    for (reason, names), protocols in _reasons(record).items():
        where = "" if len(protocols) == len(record.protocols) else f" under {', '.join(protocols)}"
        lines.append(f"{', '.join(names)}{where}: {reason}.")
    for part in record.protocols:
        if part.stopped_early:
            lines.append(
                f"{part.name} stopped after {part.n_images:,} of {counted(record.data.n_images, 'image')}, "
                + (
                    "when every gate was decided."
                    if part.decided
                    else "when the interval was as narrow as requested."
                )
            )
        if record.config.get("stop_when_decided") and part.confidence is not None:
            lines.append(
                f"Gates were judged after 250, 500, 1,000, … images, so intervals of {part.name} are of "
                f"{100 * part.confidence:.4g} %: those looks together err as rarely as one was asked to."
            )
        if part.method != "dense" and part.method_reason:
            lines.append(f"{part.name} was measured shift by shift: {part.method_reason.rstrip('.')}.")
    return lines + _skipped(record)


def _reasons(record: AuditRecord) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """From a reason, and the names that it holds for, to protocols."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for part in record.protocols:
        names: dict[str, list[str]] = {}
        for name, estimate in sorted(part.estimates.items()):
            if isinstance(estimate, NotApplicable) and is_asked(record, name):
                names.setdefault(estimate.reason, []).append(name)
        for name, reason in _views_without(part).items():
            names.setdefault(reason, []).append(name)
        for reason, members in names.items():
            found.setdefault((reason, tuple(members)), []).append(part.name)
    return found


def _views_without(part: MeasuredProtocolRecord) -> dict[str, str]:
    """Why agreement has no map, curve or phases, where it has none."""
    reasons = {
        "the map": part.by_shift["agreement"].not_applicable if "agreement" in part.by_shift else None,
        "the curve": part.by_radius["agreement"].not_applicable if "agreement" in part.by_radius else None,
    }
    phases = part.by_phase.get("2", {})
    reasons["phases"] = phases["agreement"].not_applicable if "agreement" in phases else None
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _skipped(record: AuditRecord) -> list[str]:
    skipped = record.data.skipped
    lines = [f"skipped {file.name}: {file.reason.rstrip('.')}." for file in skipped[:MAX_SKIPPED]]
    if len(skipped) > MAX_SKIPPED:
        lines.append(f"skipped {counted(len(skipped) - MAX_SKIPPED, 'more file')}.")
    return lines


def footnotes(record: AuditRecord) -> list[str]:
    """What was measured, exactly, and how intervals were computed."""
    lines = [
        f"{part.name}: {part.summary}; {counted(part.n_shifts, 'shift')}, law {part.law}, "
        f"border {part.border}, interpolation {part.interpolation}; method {part.method}; "
        f"source: {part.source}."
        for part in record.protocols
    ]
    found = [part.estimates[name] for part in record.protocols for name in record.headline]
    methods = sorted({e.method for e in found if isinstance(e, Estimate)})
    if methods:
        lines.append(f"{confidence(record)} intervals, not corrected for their number: {'; '.join(methods)}.")
    about = ", ".join(f"{name} {value}" for name, value in sorted(record.environment.to_dict().items()))
    return [*lines, f"{about}."]


def radius_remark(part: MeasuredProtocolRecord) -> str:
    """Which radii the table leaves out."""
    view = part.by_radius.get("agreement")
    n = len(view.points) if view else 0
    return f"{MAX_RADII} of {n} radii are shown." if n > MAX_RADII else ""


def shares_by_radius(part: MeasuredProtocolRecord) -> dict[int, float]:
    """Agreement at each radius, for a curve."""
    view = part.by_radius.get("agreement")
    return {point.at: point.value for point in sorted(view.points, key=lambda p: p.at)} if view else {}
