"""From a record in results/ to a figure beside it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.tables import RESULTS

from shiftproof._charts import Quantity, draw_curve, draw_map, head
from shiftproof._figures import drawing, image_bytes
from shiftproof.report import AuditRecord, pareto_svg, read_audit, read_study

INCHES = (8.6, 3.6)


def audit() -> str:
    """How often the prediction stays the same: at every offset, and against the distance."""
    record = read_audit(RESULTS / "audit-cnn2.json")
    part = record.protocols[0]
    known = _quantities(record)
    with drawing(1, 2, inches=INCHES) as (figure, (left, right)):
        cells = {point.at: point for point in part.by_shift["agreement"].points}
        draw_map(left, cells, known["agreement"])
        for name in ("agreement", "accuracy"):
            curve = {point.at: point for point in part.by_radius[name].points}
            draw_curve(right, curve, known[name], label=name)
        right.set_ylabel(known["agreement"].unit_drawn)
        head(figure, f"{record.model.name} on {record.data.name}, {part.n_images:,} images: {part.summary}")
    return image_bytes(figure).decode()


def alternatives() -> str:
    """What stands in for max pooling, by what it costs and what it buys."""
    return pareto_svg(read_study(RESULTS / "alternatives-quick.json"))


def _quantities(record: AuditRecord) -> Mapping[str, Quantity]:
    return {
        name: Quantity(name, metric.unit, metric.higher_is_better) for name, metric in record.metrics.items()
    }
