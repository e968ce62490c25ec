"""A study's table: what goes in each cell, and its Markdown. The terminal draws the same cells."""

from __future__ import annotations

from shiftproof.report._markdown import escaped, line
from shiftproof.report._record import CellRecord, RowRecord, StudyRecord


def headline(record: StudyRecord) -> str:
    """One sentence: how many published figures lie inside our interval."""
    compared = [c for row in record.rows for c in row.cells if c.published is not None]
    if not compared:
        return f"{record.title}: nothing was published to compare with."
    inside = sum(bool(cell.published_inside_interval) for cell in compared)
    gap = sum(abs(cell.difference or 0) for cell in compared) / len(compared)
    return (
        f"{inside} of {len(compared)} published accuracies lie inside our 95 % interval; "
        f"the mean distance is {100 * gap:.1f} points."
    )


def columns(record: StudyRecord) -> list[str]:
    """Titles of the columns."""
    return ["network", "epochs", *(protocol.name for protocol in record.protocols)]


def row_cells(row: RowRecord, record: StudyRecord) -> list[list[str]]:
    """Cells of one row; each is a list of one or two lines."""
    name = [row.name] + ([row.title] if row.title else [])
    if row.error is not None:
        return [
            name,
            [str(row.recipe["epochs"])],
            ["failed"],
            *[[""]] * (len(record.protocols) - 1),
        ]
    return [name, [str(row.recipe["epochs"])], *(_accuracy(cell) for cell in row.cells)]


def _accuracy(cell: CellRecord) -> list[str]:
    accuracy = cell.metrics["accuracy"]
    published = "" if cell.published is None else f" ({cell.published:g})"
    return [f"{accuracy.value:.4f}{published}", f"{accuracy.low:.4f} to {accuracy.high:.4f}"]


def footnotes(record: StudyRecord) -> list[str]:
    """How to read the table, and what it is not."""
    train, test = record.data["train"], record.data["test"]
    seeds = len(record.config["seeds"])
    scales = sorted({row.recipe["input_scale"] for row in record.rows})
    estimates = [e for row in record.rows for c in row.cells for e in c.metrics.values()]
    methods = sorted({estimate.method for estimate in estimates})
    notes = [
        f"Accuracy, the published one in parentheses; below it the 95 % interval ({'; '.join(methods)}).",
        *(f"{protocol.name}: {protocol.summary}." for protocol in record.protocols),
        f"Preset {record.preset}: {record.preset_summary}.",
        f"{train.name}: {train.n_images:,} images; {test.name}: {test.n_images:,} images; "
        f"{seeds} seed{'s' if seeds > 1 else ''}; input {' and '.join(scales)}.",
        "Machine: {machine}; torch {torch}, Python {python}, shiftproof {shiftproof}.".format(
            **record.environment
        ),
    ]
    if seeds == 1:
        notes.append("One seed: the interval covers the choice of images, not that of the seed.")
    notes += [f"{row.name}: {row.note}" for row in record.rows if row.note]
    notes += [f"{row.name} failed: {row.error}" for row in record.rows if row.error]
    return notes


def to_markdown(record: StudyRecord) -> str:
    """The table in Markdown, with headline and notes.

    Names come from files and may hold anything, so characters with a meaning are escaped.
    """
    lines = [f"**{escaped(headline(record))}**", ""]
    titles = columns(record)
    lines += [line(titles), line(["---"] * len(titles))]
    lines += [
        line(["<br>".join(map(escaped, cell)) for cell in row_cells(row, record)]) for row in record.rows
    ]
    lines += ["", *(f"- {escaped(note)}" for note in footnotes(record))]
    return "\n".join(lines) + "\n"
