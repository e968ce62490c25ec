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


def learning() -> str:
    """The article's networks while they learn: mean loss and share of right answers, by epoch."""
    record = read_study(RESULTS / "article-full.json")
    with drawing(1, 2, inches=INCHES) as (figure, (left, right)):
        for row in record.rows:
            losses, accuracies = zip(*row.curves[0], strict=True)
            epochs = range(1, len(losses) + 1)
            left.plot(epochs, losses, label=row.name)
            right.plot(epochs, [100 * share for share in accuracies], label=row.name)
        left.set(xlabel="epoch", ylabel="mean loss", yscale="log", ylim=(1e-5, None))
        right.set(xlabel="epoch", ylabel="right answers while training (%)", ylim=(80, 100.5))
        right.legend()
        head(figure, "While training, dropout and augmentation included; seed 0")
    return image_bytes(figure).decode()


def alternatives() -> str:
    """What stands in for max pooling, by what it costs and what it buys."""
    return pareto_svg(read_study(RESULTS / "alternatives-quick.json"))


def _quantities(record: AuditRecord) -> Mapping[str, Quantity]:
    return {
        name: Quantity(name, metric.unit, metric.higher_is_better) for name, metric in record.metrics.items()
    }
