"""What edits are worth: a table in the terminal and as Markdown, from the record of a fix."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from shiftproof._text import counted, percent
from shiftproof.records import Difference, Estimate, FixedRow, FixRecord, NotApplicable
from shiftproof.report._audit_markdown import capped
from shiftproof.report._audit_terminal import new_table, print_heading
from shiftproof.report._markdown import escaped, table
from shiftproof.report._numbers import NO_NUMBER, change, thousands

SHOWN = {
    "clean-accuracy": "clean",
    "accuracy": "shifted",
    "agreement": "agreement",
    "worst-case-accuracy": "worst case",
}
CHOSEN_BY = ("clean-accuracy", "accuracy")
VERDICTS = {"helps": "helps", "harms": "HARMS", "undecided": "no difference shown", "": ""}
MOST_CHANGES = 12
# Of a name in the terminal, where a line is broken at blanks and hyphens.
NAME_CHARACTERS = 13
LOST = (
    "What each layer makes of the change of the answer: squared distance of the logits over that between "
    "images, whole pixels, real border."
)
OTHER_DIFFERENCES = "Minus the original, in points, paired by image"
NO_DIFFERENCE = NotApplicable("it is not in the record")
LITTLE = "Little: not among those that lose most."


def print_fix(record: FixRecord, console: Console) -> None:
    """Print what was chosen, the table, what it changes, and what is proved.

    Args:
        record: From `read_fix`.
        console: Where to.
    """
    console.print(Text(record.summary, style="bold"))
    for line in about_fix(record):
        console.print(Text(line, style="dim"))
    print_heading(
        f"Each edit, on {counted(record.about.n_reporting, 'image')} that it was not chosen by", console
    )
    titles = [f"{title} %".replace(" ", "\n") for title in SHOWN.values()]
    drawn = new_table(["edit", *titles, "change", "time"])
    for row in record.rows:
        style = "bold" if row.name == record.chosen else ""
        drawn.add_row(*(Text(cell, style=style) for cell in _narrow_cells(row, record)))
    console.print(drawn)
    others = other_differences(record)
    if others:
        print_heading(OTHER_DIFFERENCES, console)
        drawn = new_table(other_columns())
        for name, *cells in others:
            drawn.add_row(Text(_broken(name)), *(Text(_below(cell)) for cell in cells))
        console.print(drawn)
        console.print()
    for note in notes(record):
        console.print(Text(note, style="dim"))
    lines = changes(record)
    if lines:
        print_heading(f"What {record.chosen} changes", console)
        for line in lines:
            console.print(Text(line))
    lost = loss_rows(record)
    if lost:
        print_heading("What layers make of the change of the answer, before and after", console)
        drawn = new_table(["layer", *(row.name for row in before_and_after(record))])
        for cells in lost:
            drawn.add_row(*map(Text, cells))
        console.print(drawn)
    print_heading("What is proved", console)
    for line in proofs(record):
        console.print(Text(line))


def fix_markdown(record: FixRecord) -> str:
    """The same as Markdown of at most 200 kB.

    Args:
        record: From `read_fix`.
    """
    return capped(_lines(record))


def _lines(record: FixRecord) -> Iterable[str]:
    yield f"**{escaped(record.summary)}**"
    yield from ("", *(escaped(line) for line in about_fix(record)), "")
    rows = [[escaped(cell) for cell in row_cells(row, record)] for row in record.rows]
    yield from table([escaped(name) for name in columns(record)], rows)
    yield ""
    others = other_differences(record)
    if others:
        yield from (f"{OTHER_DIFFERENCES}:", "")
        yield from table(other_columns(), [[escaped(cell) for cell in cells] for cells in others])
        yield ""
    yield from (f"- {escaped(note)}" for note in (*notes(record), *proofs(record)))
    lines = changes(record)
    if lines:
        yield from ("", f"What {escaped(record.chosen)} changes:", "")
        yield from (f"- {escaped(line)}" for line in lines)
    lost = loss_rows(record)
    if lost:
        yield from ("", f"{LOST} {LITTLE}", "")
        names = ["layer", *(escaped(row.name) for row in before_and_after(record))]
        yield from table(names, [[escaped(cell) for cell in cells] for cells in lost])


def about_fix(record: FixRecord) -> list[str]:
    """Images, shifts and training, in a line."""
    about, training = record.about, record.about.training
    how = "no training"
    if training is not None:
        taught = "labels" if training.labelled else "the original's answers averaged over shifts"
        n = "" if training.n_images is None else f" on {training.n_images:,} images"
        how = f"{counted(training.epochs, 'epoch')} of training{n} from {taught}"
    budget = "" if about.budget is None else f", at most {about.budget:g} × the time of the original"
    return [
        f"{about.data['name']}: {counted(about.n_choosing, 'image')} to choose by, {about.n_reporting:,} "
        f"others to report on; {about.protocol['name']} ({about.protocol['summary']}); {how}{budget}."
    ]


def columns(record: FixRecord) -> list[str]:
    """Titles of the table."""
    passes = ["passes"] if counts_passes(record) else []
    return ["edit", *SHOWN.values(), "difference", "ms", "cost", *passes, "weights", ""]


def counts_passes(record: FixRecord) -> bool:
    """Whether the record says how many forward passes an answer takes, and some edit takes several."""
    return any((row.n_forwards or 1) > 1 for row in record.rows)


def row_cells(row: FixedRow, record: FixRecord) -> list[str]:
    """A row of the table, as text."""
    mark = "* " if row.on_front else "  "
    return [
        f"{mark}{row.name}",
        *(_value(row.estimates[name]) for name in SHOWN),
        _difference(row) if row.verdict else "",
        f"{row.ms_per_image:.3g}",
        f"{row.cost:.2f} ×",
        *([_passes(row)] if counts_passes(record) else []),
        NO_NUMBER if row.n_parameters is None else thousands(row.n_parameters),
        ", ".join(filter(None, ["chosen" if row.name == record.chosen else "", VERDICTS[row.verdict]])),
    ]


def _narrow_cells(row: FixedRow, record: FixRecord) -> list[str]:
    """The same for 80 columns: intervals below their numbers."""
    name, *rest = row_cells(row, record)
    values, difference = rest[: len(SHOWN)], rest[len(SHOWN)].replace(" to ", "…\n")
    verdict = ["chosen" if row.name == record.chosen else "", row.verdict]
    below = [_below(value.replace(" %", "").replace(" to ", "–")) for value in values]
    change_below = "\n".join(filter(None, [_below(difference), *verdict]))
    passes = f"\n{_passes(row)}\npasses" if (row.n_forwards or 1) > 1 else ""
    return [
        _broken(name[0] + name[2:]),
        *below,
        change_below,
        f"{row.ms_per_image:.3g} ms\n{row.cost:.2f} ×{passes}",
    ]


def _broken(name: str) -> str:
    """A name of edits on several lines."""
    return "\n".join(textwrap.wrap(name, NAME_CHARACTERS)) or name


def _below(cell: str) -> str:
    """A number, and its interval below it."""
    return cell.replace(" (", "\n").strip(")")


def _passes(row: FixedRow) -> str:
    """Forward passes for an image; what they cost where their work is shared."""
    if row.n_forwards is None or row.forwards_at_once is None:
        return NO_NUMBER
    is_shared = row.forwards_at_once < row.n_forwards
    return f"{row.forwards_at_once:.1f} for {row.n_forwards}" if is_shared else str(row.n_forwards)


def _value(found: Estimate | NotApplicable) -> str:
    if isinstance(found, NotApplicable):
        return NO_NUMBER
    return f"{percent(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def other_columns() -> list[str]:
    """Titles of the table of the other differences."""
    return ["edit", *(title for name, title in SHOWN.items() if name != "accuracy")]


def other_differences(record: FixRecord) -> list[list[str]]:
    """What each edit changes in the numbers whose difference is not in the table: a name, and a cell each."""
    names = [name for name in SHOWN if name != "accuracy"]
    return [[row.name, *(_difference(row, name) for name in names)] for row in record.rows if row.verdict]


def _difference(row: FixedRow, metric: str = "accuracy") -> str:
    found = row.differences.get(metric, NO_DIFFERENCE)
    if isinstance(found, NotApplicable):
        return NO_NUMBER
    value, low, high = (change(end, found.unit) for end in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def notes(record: FixRecord) -> Sequence[str]:
    """How the table is read, and what could not be tried."""
    truth = f"What counts as right: {record.about.truth}."
    lines = [
        "* Nothing that is as cheap is right more often under the shifts.",
        f"{truth} Differences are in points of “shifted”, paired by image, with "
        f"{record.about.confidence:.0%} intervals.".replace("%", " %"),
    ]
    if any((row.forwards_at_once or 1) < (row.n_forwards or 1) for row in record.rows):
        lines.append(
            "Passes: where the views of an image share their work, as wherever this package measures, "
            "“2.1 for 9” means nine views at the cost of 2.1; model.onnx computes each by itself."
        )
    lines += _passed_over(record)
    return [*lines, *(f"Not possible: {each.name}. {each.reason}" for each in record.not_possible)]


def _passed_over(record: FixRecord) -> list[str]:
    """Rows that are right more often under the shifts than the chosen one: what they cost, and why not."""
    least, found, margin = record.row.estimates["accuracy"], [], record.about.clean_margin
    fates = {each.name: each.fate for each in record.tried}
    is_margin = False
    for row in record.rows[1:]:
        value, clean = row.estimates["accuracy"], row.differences["clean-accuracy"]
        if not (isinstance(value, Estimate) and isinstance(least, Estimate)):
            continue
        if value.value > least.value and isinstance(clean, Difference):
            lost = f"{change(clean.value, clean.unit)} points on images as they are"
            fate = fates.get(row.name)
            is_margin = is_margin or fate == "too many clean images lost"
            found.append(
                f"{row.name} is right more often under the shifts here, and was not chosen by the other "
                f"images{'' if fate is None else f' ({fate})'}: {lost}, {row.cost:.2f} × the time."
            )
    if is_margin and margin is not None:
        found.append(f"How many clean images may be lost is up to you: --clean-margin, here {margin:g}.")
    return found


def changes(record: FixRecord) -> list[str]:
    """What is different in the chosen model, by layer."""
    row = record.row
    lines = [f"{each.layer}: {each.before} → {each.after}" for each in row.changes[:MOST_CHANGES]]
    if len(row.changes) > MOST_CHANGES:
        lines.append(f"… and {len(row.changes) - MOST_CHANGES} more")
    return [*lines, *(f"{each.layer}: left alone. {each.reason}" for each in row.left_alone)]


def before_and_after(record: FixRecord) -> list[FixedRow]:
    """The rows of the original and of the chosen model; one where nothing was chosen."""
    return [row for row in record.rows if row.name in (record.chosen, record.rows[0].name)]


def proofs(record: FixRecord) -> list[str]:
    """What is proved of the original and of the chosen model."""
    return [f"{row.name}: {row.certificate}" for row in before_and_after(record)]


def measured_rows(record: FixRecord) -> list[list[str]]:
    """What was measured of the original and of the chosen model: a name, and a cell for each."""
    rows = before_and_after(record)
    found = [[SHOWN[name], *(_value(row.estimates[name]) for row in rows)] for name in SHOWN]
    weights = [NO_NUMBER if row.n_parameters is None else thousands(row.n_parameters) for row in rows]
    return [
        *found,
        ["milliseconds per image", *(f"{row.ms_per_image:.3g}" for row in rows)],
        ["weights", *weights],
    ]


def choice_columns(record: FixRecord) -> list[str]:
    """Titles of the table of what was chosen by; the first two are words."""
    trained = ["trained"] if record.about.training is not None else []
    return ["edit", "outcome", "images", *trained, *(SHOWN[name] for name in CHOSEN_BY)]


def choice_rows(record: FixRecord) -> list[list[str]]:
    """What each edit was worth on the images for choosing, and what became of it; empty where not known."""
    is_trained = record.about.training is not None
    return [
        [
            each.name,
            each.fate,
            f"{each.n_images:,}",
            *([percent(each.trained)] if is_trained else []),
            *(_value(each.estimates[name]) for name in CHOSEN_BY),
        ]
        for each in record.tried
    ]


def choice_rule(record: FixRecord) -> str:
    """How it was chosen, in words."""
    margin, budget = record.about.clean_margin, record.about.budget
    lost = "the clean margin" if margin is None else f"{100 * margin:g} points"
    time = "" if budget is None else f" and take at most {budget:g} × the time"
    return (
        "On the images to choose by. Chosen is what is right most often about shifted images, or up to half "
        "a point less often with fewer forward passes, among those that lose no more than "
        f"{lost}, or one image, of the images as they are{time}; the original where none is better. "
        "Dropped is what others were better than, maybe on the first few of the images."
    )


def loss_rows(record: FixRecord) -> list[list[str]]:
    """What the layers lose before and after; empty where the layers are the same, or nothing is known."""
    before, after = record.losses
    if before is None or after is None:
        return []
    lost = [{each.layer: each.loss for each in found.layers} for found in (before, after)]
    names = dict.fromkeys([*lost[0], *lost[1]])
    cells = [[name, *(_loss(found.get(name)) for found in lost)] for name in names]
    return [["all", _loss(before.change), _loss(after.change)], *cells]


def _loss(found: Estimate | None) -> str:
    if found is None:
        return "little"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})".replace("-", "−")
