"""What the networks of a study cost, and how they learned, as blocks of its page."""

from __future__ import annotations

from collections.abc import Callable

from shiftproof._charts import Quantity
from shiftproof._text import percent
from shiftproof.records import StudyRecord
from shiftproof.report._drawn_costs import Priced, costs_chart
from shiftproof.report._drawn_training import MOST_TOGETHER, Runs, learning_chart
from shiftproof.report._numbers import thousands
from shiftproof.report._page import Block, Charts, Table
from shiftproof.report._pareto import Point, column_bought, cost_points, frontier

COSTS: tuple[tuple[str, Callable[[Point], float]], ...] = (
    ("multiply-adds per image", lambda point: float(point.multiply_adds)),
    ("milliseconds per image", lambda point: point.ms_per_image),
)


def costs_blocks(record: StudyRecord) -> list[Block]:
    """Every row by what it costs and what it buys; nothing for a study without costs."""
    if not record.columns:
        return []
    bought = column_bought(record, None)
    points = [p for p in cost_points(record, bought) if min(p.multiply_adds, p.ms_per_image) > 0]
    if not points or not Quantity(bought.title, bought.unit).is_share:
        return []
    fronts = [frontier([cost(p) for p in points], [p.value for p in points]) for _, cost in COSTS]
    charts = [
        costs_chart(
            [
                Priced(number, cost(p), p.value, p.low, p.high, number - 1 in front)
                for number, p in enumerate(points, 1)
            ],
            cost_title=title,
            title=f"{bought.title} (%)",
            label=f"{bought.title} of each network against its {title}",
        )
        for (title, cost), front in zip(COSTS, fronts, strict=True)
    ]
    caption = (
        f"{bought.title}: {bought.metric} under {bought.protocol}. Numbers are those of the table. Filled, "
        "and on the dashed line: nothing as cheap reaches as much. Further up and left is better."
    )
    columns = [
        "network",
        "#",
        bought.title,
        "interval",
        "multiply-adds",
        "ms per image",
        "nothing as cheap does better",
    ]
    rows = [
        [
            point.row,
            str(number + 1),
            percent(point.value / 100),
            f"{percent(point.low / 100)} to {percent(point.high / 100)}",
            thousands(round(point.multiply_adds)),
            f"{point.ms_per_image:.3g}",
            " and ".join(
                name for name, front in zip(("multiply-adds", "ms"), fronts, strict=True) if number in front
            ),
        ]
        for number, point in enumerate(points)
    ]
    return [Charts(charts, caption), Table(columns, rows, caption="The numbers by network", folded=True)]


def learning_blocks(record: StudyRecord) -> list[Block]:
    """Loss and right answers by epoch, four networks in a chart; nothing where no training is kept."""
    kept = {row.name: [curve for curve in row.curves if curve] for row in record.rows}
    networks = [name for name, curves in kept.items() if curves]
    if not networks:
        return []
    charts = []
    for first in range(0, len(networks), MOST_TOGETHER):
        names = networks[first : first + MOST_TOGETHER]
        losses: dict[str, Runs] = {n: [[loss for loss, _ in run] for run in kept[n]] for n in names}
        shares: dict[str, Runs] = {n: [[100 * right for _, right in run] for run in kept[n]] for n in names}
        said = " and ".join(names)
        charts += [
            learning_chart(losses, title="mean loss", label=f"loss of {said} by epoch", in_decades=True),
            learning_chart(
                shares,
                title="right while training (%)",
                label=f"right answers of {said} by epoch, while training",
            ),
        ]
    caption = (
        "Each epoch, with dropout and augmentation as in training; the mean over seeds, and a band from the "
        "least to the largest. The axis of the loss is logarithmic."
    )
    return [Charts(charts, caption)]
