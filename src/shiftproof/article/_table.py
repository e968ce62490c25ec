"""What the claims about accuracy say, asked of trained networks: paired by image, over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shiftproof._text import percent
from shiftproof.article._check import Effect, in_points, lies_above
from shiftproof.metrics import Estimate, NotApplicable, estimate_mean, estimate_share, metrics
from shiftproof.records import Check, StudyRecord
from shiftproof.study import Responses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# "Plummets" and "far above" as numbers: at least half of what the article published.
PUBLISHED_DROP = 0.861 - 0.449
PUBLISHED_LIFT = 0.9839 - 0.831
# "Stays" and "can replace": not worse by more than this.
MARGIN = 0.01
# "Does not change": for at least so many images.
NEARLY_ALL = 0.99

NONE, SMALL, LARGE = "article-none", "article-small", "article-large"


@dataclass(frozen=True, eq=False)
class Table:
    """What the trained networks of a study answered.

    Args:
        study: The record of the study.
        responses: By row the response of each seed under each protocol.
    """

    study: StudyRecord
    responses: Mapping[str, Sequence[Responses]]

    def record(self) -> StudyRecord:
        """The record of the study."""
        return self.study

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """None: the record has a table."""
        return iter(())

    def has(self, *rows: str) -> bool:
        """Whether the study trained all of these."""
        return all(row in self.responses for row in rows)

    def share(self, row: str, protocol: str, metric: str = "accuracy") -> Estimate | NotApplicable:
        """A metric of one row with its interval."""
        return metrics.get(metric).estimate(*(seed[protocol] for seed in self.responses[row]))

    def unchanged(self, row: str, protocol: str) -> Estimate:
        """Share of images whose logits stay as they are, to the last bit."""
        return estimate_share([(seed[protocol].drift == 0).mean(1) for seed in self.responses[row]])

    def contrast(
        self,
        more: Sequence[tuple[str, str]],
        less: Sequence[tuple[str, str]],
        metric: str = "accuracy",
    ) -> Effect:
        """A sum of metrics minus another sum, paired by image and seed.

        Args:
            more: (row, protocol) of the metrics that count positive.
            less: Of those that count negative; as many.
            metric: Any whose estimate is a mean over images.
        """
        terms = [(1, *term) for term in more] + [(-1, *term) for term in less]
        total: np.ndarray | float = 0.0
        for sign, row, protocol in terms:
            for_seeds = []
            for seed in self.responses[row]:
                scores = metrics.get(metric).scores(seed[protocol])
                if isinstance(scores, NotApplicable):
                    return scores
                for_seeds.append(scores.influences)
            total = total + sign * np.stack(for_seeds)
        n = float(len(more))
        return estimate_mean(total, unit="share of images", bounds=(-n, n))

    def drops_less(self, row: str, other: str) -> Effect:
        """By how much more accuracy `other` loses than `row` from small to large shifts."""
        return self.contrast([(other, SMALL), (row, LARGE)], [(other, LARGE), (row, SMALL)])

    def _source(self, *rows: str) -> str:
        return f"study {self.study.name}: {', '.join(rows)}"


def definition_checks(table: Table) -> list[Check]:
    """Claim 3: NN(T(x)) = NN(x)."""
    checks = []
    unchanged = table.unchanged("cnn2", SMALL)
    checks.append(
        lies_above(
            "NN(T(x)) = NN(x): shifts by up to 1 px leave the output of CNN model2 as it is.",
            unchanged,
            NEARLY_ALL,
            found=f"The logits stay the same for {percent(unchanged.value)} of the images.",
            source=table._source("cnn2"),
        )
    )
    same_class = table.share("cnn2", SMALL, "agreement")
    checks.append(
        lies_above(
            "Its class does not change under these shifts, for 99 images of 100.",
            same_class,
            NEARLY_ALL,
            found=_share_text("The class stays the same", same_class),
            source=table._source("cnn2"),
        )
    )
    for ordinary in ("standard-nn", "dense-nn"):
        effect = table.contrast([("cnn2", LARGE)], [(ordinary, LARGE)], "agreement")
        checks.append(
            lies_above(
                f"A convolutional network changes its class under large shifts less often than {ordinary}.",
                effect,
                0.0,
                found=_pair_text(table, "agreement", LARGE, "cnn2", ordinary, effect),
                source=table._source("cnn2", ordinary),
            )
        )
    return checks


def plummet_checks(table: Table) -> list[Check]:
    """Claim 7: the standard network plummets, one conv + pool is more stable, two are best."""
    checks = []
    for ordinary in ("standard-nn", "dense-nn"):
        drop = table.contrast([(ordinary, SMALL)], [(ordinary, LARGE)])
        checks.append(
            lies_above(
                f"The accuracy of {ordinary} plummets from small to large shifts, "
                "by at least half of the published drop.",
                drop,
                PUBLISHED_DROP / 2,
                found=f"It falls by {in_points(drop, sign=False)}; published: {100 * PUBLISHED_DROP:.1f}.",
                source=table._source(ordinary),
            )
        )
    for row, other in (("cnn1", "standard-nn"), ("cnn1", "dense-nn"), ("cnn2", "cnn1")):
        effect = table.drops_less(row, other)
        checks.append(
            lies_above(
                f"{row} loses less than {other}.",
                effect,
                0.0,
                found=f"{other} loses more than {row} by {in_points(effect)}.",
                source=table._source(row, other),
            )
        )
    best = table.contrast([("cnn2", LARGE)], [("cnn1", LARGE)])
    checks.append(
        lies_above(
            "cnn2 is the most accurate under large shifts.",
            best,
            0.0,
            found=_pair_text(table, "accuracy", LARGE, "cnn2", "cnn1", best),
            source=table._source("cnn2", "cnn1"),
        )
    )
    return checks


def augmentation_checks(table: Table) -> list[Check]:
    """Claim 8: augmentation lifts testShift far above, while test accuracy stays."""
    lift = table.contrast([("cnn2-augmented", LARGE)], [("cnn2", LARGE)])
    stays = table.contrast([("cnn2-augmented", NONE)], [("cnn2", NONE)])
    source = table._source("cnn2-augmented", "cnn2")
    return [
        lies_above(
            "Augmentation lifts the accuracy under large shifts by at least half of the published lift.",
            lift,
            PUBLISHED_LIFT / 2,
            found=_pair_text(table, "accuracy", LARGE, "cnn2-augmented", "cnn2", lift),
            source=source,
        ),
        lies_above(
            "The accuracy on images as they are stays, within 1 point.",
            stays,
            -MARGIN,
            found=_pair_text(table, "accuracy", NONE, "cnn2-augmented", "cnn2", stays),
            source=source,
        ),
    ]


def replacement_checks(table: Table, row: str, what: str) -> list[Check]:
    """Claims 11 and 12: something that stands in for max pooling is not worse than it."""
    checks = []
    for protocol, where in ((NONE, "on images as they are"), (LARGE, "under large shifts")):
        effect = table.contrast([(row, protocol)], [("cnn2", protocol)])
        checks.append(
            lies_above(
                f"{what} can stand in for max pooling {where}: at most 1 point less accurate.",
                effect,
                -MARGIN,
                found=_pair_text(table, "accuracy", protocol, row, "cnn2", effect),
                source=table._source(row, "cnn2"),
            )
        )
    return checks


def _share_text(what: str, estimate: Estimate | NotApplicable) -> str:
    if isinstance(estimate, NotApplicable):
        return f"Not known: {estimate.reason}."
    return (
        f"{what} for {percent(estimate.value)} of the images "
        f"({percent(estimate.low)} to {percent(estimate.high)})."
    )


def _pair_text(table: Table, metric: str, protocol: str, row: str, other: str, effect: Effect) -> str:
    values = []
    for each in (row, other):
        share = table.share(each, protocol, metric)
        values.append(f"{each} {share if isinstance(share, NotApplicable) else percent(share.value)}")
    return f"{metric} under {protocol}: {', '.join(values)}; {in_points(effect)}."
