"""A study's table: what goes in each cell, and its Markdown. The terminal draws the same cells."""

from __future__ import annotations

from shiftproof._text import counted
from shiftproof.records import CellRecord, ColumnRecord, CostsRecord, RowRecord, StudyRecord
from shiftproof.report._markdown import escaped, line
from shiftproof.report._numbers import NO_NUMBER, narrow, thousands
from shiftproof.report._remedies import remedies_in_brief, remedies_in_full


def headline(record: StudyRecord) -> str:
    """How many published figures lie inside our interval, or how many remedies are better than their base."""
    compared = [c for row in record.rows for c in row.cells if c.published is not None]
    judged = remedies_in_brief(record)
    if not compared and judged:
        return " ".join(judged)
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
    if not record.columns:
        return ["network", "epochs", *(protocol.name for protocol in record.protocols)]
    costs = ["multiply-adds", "ms per image"] if _has_costs(record) else []
    return ["network", *(column.title for column in record.columns), "params", *costs]


def row_cells(row: RowRecord, record: StudyRecord) -> list[list[str]]:
    """Cells of one row; each is a list of one or two lines."""
    name = [row.name] + ([row.title] if row.title else [])
    if record.columns:
        return [name, *_columns_of(row, record)]
    if row.error is not None:
        return [
            name,
            [str(row.recipe.epochs)],
            ["failed"],
            *[[""]] * (len(record.protocols) - 1),
        ]
    return [name, [str(row.recipe.epochs)], *(_accuracy(cell) for cell in row.cells)]


def _columns_of(row: RowRecord, record: StudyRecord) -> list[list[str]]:
    shown = [_shown(row, column, record) for column in record.columns]
    if row.error is not None:
        shown = [["failed"], *[[""]] * (len(record.columns) - 1)]
    return [*shown, [thousands(row.n_parameters)], *(_costs(row.costs) if _has_costs(record) else [])]


def _shown(row: RowRecord, column: ColumnRecord, record: StudyRecord) -> list[str]:
    found = record.shown(row, column)
    if found is None:
        return [NO_NUMBER]
    ends = [narrow(end, found.unit) for end in (found.value, found.low, found.high)]
    return [ends[0], f"{ends[1]}–{ends[2]}"]


def _costs(costs: CostsRecord | None) -> list[list[str]]:
    if costs is None:
        return [[""], [""]]
    time = costs.ms_per_image
    return [
        [thousands(costs.multiply_adds)],
        [f"{time.value:.3g}", f"{time.low:.3g}–{time.high:.3g}"],
    ]


def _has_costs(record: StudyRecord) -> bool:
    return any(row.costs for row in record.rows)


def _accuracy(cell: CellRecord) -> list[str]:
    accuracy = cell.metrics["accuracy"]
    published = "" if cell.published is None else f" ({cell.published:g})"
    return [f"{accuracy.value:.4f}{published}", f"{accuracy.low:.4f} to {accuracy.high:.4f}"]


def footnotes(record: StudyRecord) -> list[str]:
    """How to read the table, and what it is not."""
    train, test = record.data["train"], record.data["test"]
    seeds, where = len(record.config["seeds"]), record.environment
    scales = sorted({row.recipe.input_scale for row in record.rows})
    estimates = [e for row in record.rows for c in row.cells for e in c.metrics.values()]
    methods = sorted({estimate.method for estimate in estimates})
    notes = [
        *_how_to_read(record, "; ".join(methods)),
        f"Preset {record.preset}: {record.preset_summary}.",
        f"{train.name}: {train.n_images:,} images; {test.name}: {test.n_images:,} images; "
        f"{seeds} seed{'s' if seeds > 1 else ''}; input {' and '.join(scales)}.",
        f"Machine: {where.machine}; torch {where.torch}, Python {where.python}, shiftproof "
        f"{where.shiftproof}.",
    ]
    if seeds == 1:
        notes.append("One seed: the interval covers the choice of images, not that of the seed.")
    notes += remedies_in_full(record)
    notes += [f"{row.name}: {row.note}" for row in record.rows if row.note]
    notes += [f"{row.name} failed: {row.error}" for row in record.rows if row.error]
    return notes


def _how_to_read(record: StudyRecord, methods: str) -> list[str]:
    moves = {protocol.name: protocol.summary for protocol in record.protocols}
    if not record.columns:
        return [
            f"Accuracy, the published one in parentheses; below it the 95 % interval ({methods}).",
            *(f"{name}: {summary}." for name, summary in moves.items()),
        ]
    epochs = sorted({row.recipe.epochs for row in record.rows})
    return [
        f"Shares in percent; below each number its 95 % interval ({methods}).",
        *(f"{c.title}: {c.summary}; {c.protocol}: {moves[c.protocol]}." for c in record.columns),
        f"Trained for {' or '.join(map(str, epochs))} epochs. {_augmented(record)}".strip(),
        *_how_costs(record),
        *_how_remedies(record),
    ]


def _augmented(record: StudyRecord) -> str:
    by_name = {row.name: row.recipe.augmentation for row in record.rows}
    moved = {a: [name for name in by_name if by_name[name] == a] for a in by_name.values() if a != "none"}
    return " ".join(f"Trained on images moved by {a}: {', '.join(names)}." for a, names in moved.items())


def _how_costs(record: StudyRecord) -> list[str]:
    times = [row.costs.ms_per_image for row in record.rows if row.costs]
    return [
        "Multiply-adds: of convolutions and matrix products, for one image. Milliseconds: "
        f"{time.method}, of batches of {time.batch_size} images on {counted(time.threads, 'thread')}."
        for time in times[:1]
    ]


def _how_remedies(record: StudyRecord) -> list[str]:
    if not any(row.against for row in record.rows):
        return []
    return [
        "A remedy is better than its base where the 95 % interval of the difference, paired by image, "
        "lies on the better side of 0; intervals are not corrected for their number."
    ]


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
