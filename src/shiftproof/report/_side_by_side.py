"""Records of one study on several data sets, in one table."""

from __future__ import annotations

from collections.abc import Sequence

from shiftproof.errors import ComparisonError
from shiftproof.records import StudyRecord
from shiftproof.report._markdown import escaped, line
from shiftproof.report._study_table import columns, row_cells


def side_by_side_markdown(records: Sequence[StudyRecord], titles: Sequence[str] | None = None) -> str:
    """The same rows on several data sets, as a Markdown table.

    Args:
        records: Of one study, with columns, run on different data.
        titles: Titles of the columns that are shown for each data set; all of them by default.

    Returns:
        A line for each row that any record has, and for each data set its columns. Costs are left out: they
        are in each record's own table.

    Raises:
        ComparisonError: Not records of one study with columns, or no such column.
    """
    if not records or len({record.name for record in records}) > 1 or not records[0].columns:
        raise ComparisonError(
            "records of one study with columns", ", ".join(r.name for r in records) or "none"
        )
    known = [column.title for column in records[0].columns]
    titles = known if titles is None else titles
    if not set(titles) <= set(known):
        raise ComparisonError(f"titles among {', '.join(known)}", ", ".join(titles))
    heads = ["network", *(f"{_data(record)}: {title}" for record in records for title in titles)]
    names = dict.fromkeys(row.name for record in records for row in record.rows)
    lines = [line([escaped(head) for head in heads]), line(["---"] * len(heads))]
    for name in names:
        cells = [cell for record in records for cell in _cells(record, name, titles)]
        lines.append(line([escaped(name), *("<br>".join(map(escaped, cell)) for cell in cells)]))
    return "\n".join(lines) + "\n"


def _data(record: StudyRecord) -> str:
    """The name of the data set, without that of its part."""
    return record.data["test"].name.removesuffix("/test")


def _cells(record: StudyRecord, name: str, titles: Sequence[str]) -> list[list[str]]:
    places = [columns(record).index(title) for title in titles]
    for row in record.rows:
        if row.name == name:
            cells = row_cells(row, record)
            return [cells[place] for place in places]
    return [[""] for _ in titles]
