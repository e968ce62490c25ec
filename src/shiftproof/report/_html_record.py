"""Any record as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shiftproof._address import Address
from shiftproof._documents import parse_json, read_json, unreadable
from shiftproof._files import write_atomically
from shiftproof._inputs import Most
from shiftproof._store import read
from shiftproof._text import said
from shiftproof.errors import DataError
from shiftproof.records import (
    StrictRecord,
    read_audit,
    read_certificate,
    read_claims,
    read_comparison,
    read_explanation,
    read_fix,
    read_reproduction,
    read_study,
)
from shiftproof.report._html import page_html
from shiftproof.report._html_audit import audit_page
from shiftproof.report._html_certificate import certificate_page
from shiftproof.report._html_comparison import comparison_page
from shiftproof.report._html_explanation import explanation_page
from shiftproof.report._html_fix import fix_page
from shiftproof.report._html_study import claims_page, reproduction_page, study_page
from shiftproof.report._page import Block, Facts, Page, Section, Table

Source = Path | Address | StrictRecord | Mapping[str, Any]
REPORT = "report.html"


def report_html(source: Source, *more: Source) -> str:
    """Any record as one HTML file that needs no network, no scripts and nothing beside it.

    Args:
        source: A run directory, a file with a record, each a path or an address, or the record itself: of an
            audit, a comparison, an explanation, a fix, a certificate, a study, the claims or a reproduction.
        more: Further records, which become sections of the same page.

    Returns:
        HTML; equal records give equal bytes.

    Raises:
        DataError: Not a record, of no known kind, of another schema version, or with a part missing.
    """
    page = _page(source)
    return page_html(_with(page, [_page(each) for each in more]))


def write_html(folder: Path, record: StrictRecord) -> Path:
    """Write `report.html` beside the `report.json` of a run.

    Args:
        folder: The run directory.
        record: What `report.json` holds.

    Raises:
        DataError: It is of no kind that has a page.
        OutputError: The folder cannot be written.
    """
    path = folder / REPORT
    write_atomically(path, report_html(record))
    return path


def record_file(source: Path | Address) -> Path | Address:
    """The file with the record: `report.json` of a run directory, or the file itself."""
    if isinstance(source, Address):
        return source if source.suffix == ".json" else source / "report.json"
    return source / "report.json" if source.is_dir() else source


def _page(source: Source) -> Page:
    record: Any
    readable: Any
    if isinstance(source, Path | Address):
        file = record_file(source)
        record, name = _read(file), file.name
        readable = file if isinstance(file, Path) else record
    else:
        record, name, readable = source, "the record", source
    kind = record.get("kind") if isinstance(record, Mapping) else getattr(record, "kind", None)
    if not isinstance(kind, str) or kind not in PAGES:
        raise DataError(
            f"{name} to be a record of shiftproof",
            f"one of the kind {said(kind)!r}" if isinstance(kind, str) else "one without a kind",
            cause=f"Known are {', '.join(sorted(PAGES))}.",
        )
    return PAGES[kind](readable)


def _read(file: Path | Address) -> Any:
    try:
        return read_json(file) if isinstance(file, Path) else parse_json(read(file, Most.RECORD).decode())
    except (OSError, ValueError) as error:
        raise DataError.cannot(
            f"read {str(file)!r} as the record of a run",
            unreadable(error),
            fix="Give the directory of a finished run, or the file with its record.",
        ) from error


PAGES: Mapping[str, Callable[[Any], Page]] = {
    "audit": lambda record: audit_page(read_audit(record)),
    "comparison": lambda record: comparison_page(read_comparison(record)),
    "explanation": lambda record: explanation_page(read_explanation(record)),
    "fix": lambda record: fix_page(read_fix(record)),
    "certificate": lambda record: certificate_page(read_certificate(record)),
    "study": lambda record: study_page(read_study(record)),
    "claims": lambda record: claims_page(read_claims(record)),
    "reproduction": lambda record: reproduction_page(read_reproduction(record)),
}


def _with(page: Page, others: Sequence[Page]) -> Page:
    """A page with others as sections before its method."""
    added = [section for other in others for section in _as_sections(other)]
    titles = [section.title for section in page.sections]
    place = next(
        (titles.index(title) for title in ("Not measured", "Method") if title in titles), len(titles)
    )
    sections = [*page.sections[:place], *added, *page.sections[place:]]
    return Page(page.kind, page.headline, page.outcome, page.about, page.cards, sections)


def _as_sections(page: Page) -> list[Section]:
    kind = page.kind.capitalize()
    cards: list[Block] = []
    if page.cards:
        rows = [[card.name, card.value, card.detail, card.note] for card in page.cards]
        cards = [Table(["number", "value", "interval", "what it is"], rows, left=4)]
    first = Section(kind, [Facts([(page.outcome, page.headline), *page.about]), *cards])
    return [first, *(Section(f"{kind}: {each.title}", each.blocks) for each in page.sections)]
