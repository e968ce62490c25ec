"""`shiftproof reproduce`: the article's table, and whether this machine trains as the recorded one did."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftproof._text import counted
from shiftproof.records import ReproductionRecord, TodayRecord
from shiftproof.report._markdown import escaped, table
from shiftproof.report._study_table import to_markdown
from shiftproof.report._terminal import print_study

Rows = list[list[str]]


def print_reproduction(record: ReproductionRecord, console: Console) -> None:
    """Print the article's table, the trainings of today, and what was trained when."""
    print_study(record.table, console)
    for title, heads, rows in reproduction_tables(record):
        console.print()
        shown = Table(title=Text(title, style="bold"), title_justify="left")
        for number, head in enumerate(heads):
            shown.add_column(Text(head), justify="left" if number in (0, len(heads) - 1) else "right")
        for row in rows:
            shown.add_row(*map(Text, row))
        console.print(shown)


def reproduction_markdown(record: ReproductionRecord) -> str:
    """The same in Markdown."""
    lines = [to_markdown(record.table)]
    for title, heads, rows in reproduction_tables(record):
        cells = [list(map(escaped, row)) for row in rows]
        lines += [f"**{escaped(title)}**", "", *table(list(map(escaped, heads)), cells), ""]
    return "\n".join(lines)


def follows(record: ReproductionRecord) -> str:
    """Whether the trainings of today follow the recorded ones, in one sentence.

    A training that departs from the recorded one is named, with the epoch that differs most.
    """
    if not record.today:
        return "Nothing was trained today."
    away = [
        training for training in record.today if training.largest.difference_points > record.follows_points
    ]
    if not away:
        largest = max(training.largest.difference_points for training in record.today)
        n_epochs = sum(len(training.epochs) for training in record.today)
        return (
            f"This machine's training follows the recorded one: over {counted(n_epochs, 'epoch')} the "
            f"training accuracy differs by at most {largest:.1f} points."
        )
    return " ".join(
        f"{training.name} departs from the recorded training: by {training.largest.difference_points:.1f} "
        f"points of training accuracy in epoch {training.largest.epoch}."
        for training in away
    )


def reproduction_tables(record: ReproductionRecord) -> list[tuple[str, list[str], Rows]]:
    """What was trained when, then and today: title, columns and rows of each table."""
    when = [
        [
            network.name,
            str(network.epochs),
            str(network.seed),
            network.finished,
            f"{network.environment.machine}, torch {network.environment.torch}",
        ]
        for network in record.packaged
    ]
    packaged = "Measured just now: networks in the package, trained with the article's recipe"
    tables = [(packaged, ["network", "epochs", "seed", "trained", "on"], when)]
    if record.today:
        heads = ["network", "epochs today", "accuracy then", "accuracy now", "largest difference"]
        tables.append((f"Trained just now. {follows(record)}", heads, [_row(t) for t in record.today]))
    return tables


def _row(training: TodayRecord) -> list[str]:
    last = training.epochs[-1]
    return [
        training.name,
        str(len(training.epochs)),
        f"{last.recorded_accuracy:.4f}",
        f"{last.accuracy:.4f}",
        f"{training.largest.difference_points:.2f} points in epoch {training.largest.epoch}",
    ]
