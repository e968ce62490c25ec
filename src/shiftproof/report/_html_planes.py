"""The planes of an audit: what is drawn, what the widget is given, and every number in a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from shiftproof._text import counted
from shiftproof.records import AuditRecord, Estimate, MeasuredProtocolRecord
from shiftproof.report._audit_figures import points, quantities
from shiftproof.report._drawn_plane import Plane, island, offset_rows, plane_data, plane_svg
from shiftproof.report._page import Block, Interactive, Table

View = TypeVar("View")
# In this order where the record has them; the first one is shown first.
FIRST = ("agreement", "accuracy", "drift")
MOST_ROWS = 2500


def plane_blocks(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    """The plane of each metric that has one, and all of their numbers; nothing where none has."""
    planes = _planes(record, part)
    if not planes:
        return []
    labels = [f"{plane.quantity.title} at each shift of {part.name}" for plane in planes]
    drawings = [plane_svg(plane, label=label) for plane, label in zip(planes, labels, strict=True)]
    data = plane_data(planes, images=_images(record, part, planes), unit_confidence=_confidence(part))
    titles, rows, remark = offset_rows(planes, MOST_ROWS)
    caption = (
        f"Each cell is one shift of every image: {counted(part.n_images, 'image')}, border {part.border}. "
        "Bright is more; the dashed square or ring is the unshifted image."
    )
    table = f"The numbers of {counted(len(rows), 'shift')}. {remark}".strip()
    return [
        Interactive(drawings, caption, island(data)),
        Table(titles, rows, left=0, caption=table, folded=True),
    ]


def _planes(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Plane]:
    known = quantities(record)
    return [
        Plane(known[name], points(view))
        for name, view in by_importance(part.by_shift)
        if name in known and view.points
    ]


def by_importance(views: Mapping[str, View]) -> list[tuple[str, View]]:
    """What most readers look for first, then the others by name; a file has sorted keys."""
    first = {name: views[name] for name in FIRST if name in views}
    return list((first | dict(sorted(views.items()))).items())


def _confidence(part: MeasuredProtocolRecord) -> float:
    found = (each.confidence for each in part.estimates.values() if isinstance(each, Estimate))
    return next(found, 0.0)


def _images(record: AuditRecord, part: MeasuredProtocolRecord, planes: list[Plane]) -> dict[str, Any] | None:
    """Which images change their prediction at which shift, as far as the record has it."""
    if not part.changed:
        return None
    by_offset = {(each.at[0] + 0.0, each.at[1] + 0.0): each for each in part.changed}
    numbers = sorted({index for each in part.changed for index, _ in each.examples})
    place = {index: number for number, index in enumerate(numbers)}
    pictures = {worst.index: worst.before for worst in part.worst}
    rows = sorted({dy for plane in planes for dy in plane.rows})
    columns = sorted({dx for plane in planes for dx in plane.columns})
    cells = [by_offset.get((dy, dx)) for dy in rows for dx in columns]
    class_name = record.data.class_name
    about = [part.changed_images.get(str(index)) for index in numbers]
    return {
        "size_px": list(record.data.image_shape[1:]),
        "moves": part.border == "zeros",
        "names": [
            each.name if each else f"image {index}" for index, each in zip(numbers, about, strict=True)
        ],
        "answers": [class_name(each.unshifted) if each else "?" for each in about],
        "pictures": [pictures.get(index, "") for index in numbers],
        "counts": [each.n_images if each else 0 for each in cells],
        "examples": [
            [[place[index], class_name(answer)] for index, answer in each.examples] if each else []
            for each in cells
        ],
    }
