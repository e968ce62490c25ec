"""Gates: `agreement@4>=0.98`, judged on the interval and not on the number."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from shiftproof.errors import ConfigError
from shiftproof.metrics._selection import Selection, inside
from shiftproof.metrics._spec import metrics
from shiftproof.probe import Response
from shiftproof.records import Estimate, NotApplicable

Operator = Literal[">=", ">", "<=", "<"]
Verdict = Literal["pass", "fail", "inconclusive", "not applicable"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_GATE = re.compile(
    rf"\s*(?:(?P<protocol>[^/<>=@\s]+)\s*/)?\s*(?P<metric>[A-Za-z][\w-]*)\s*(?:@\s*(?P<radius>{_NUMBER}))?"
    rf"\s*(?P<operator>>=|<=|>|<)\s*(?P<threshold>{_NUMBER})\s*"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A demand on a metric.

    Args:
        metric: Name of a metric.
        operator: How the metric must compare with the threshold.
        threshold: In the unit of the metric.
        radius_px: Only shifts of at most this max(|dy|, |dx|); all for None.
        protocol: Only this protocol; every one that is measured for None.
    """

    metric: str
    operator: Operator
    threshold: float
    radius_px: float | None = None
    protocol: str | None = None

    def __str__(self) -> str:
        protocol = "" if self.protocol is None else f"{self.protocol}/"
        radius = "" if self.radius_px is None else f"@{self.radius_px:g}"
        return f"{protocol}{self.metric}{radius}{self.operator}{self.threshold!r}"

    def estimate(self, *answers: Response | Selection, confidence: float = 0.95) -> Estimate | NotApplicable:
        """The estimate that this gate is about."""
        return metrics.get(self.metric).estimate(*answers, confidence=confidence, part=inside(self.radius_px))


def parse_gate(text: str) -> Gate:
    """Read `[PROTOCOL/]METRIC[@RADIUS]OPERATOR NUMBER`, with operators >=, >, <= and <.

    Raises:
        ConfigError: Not of this form, or a threshold that the metric cannot have.
        UnknownNameError: No such metric.

    Example:
        >>> gate = parse_gate("grid:8/agreement@4 >= 0.98")
        >>> gate.metric, gate.radius_px, gate.operator, gate.threshold, gate.protocol
        ('agreement', 4.0, '>=', 0.98, 'grid:8')
    """
    match = _GATE.fullmatch(text)
    if match is None:
        raise ConfigError(
            "a gate such as 'agreement@4>=0.98' or 'grid:8/drift<0.1'",
            repr(text),
            cause="A gate is [PROTOCOL/]METRIC[@RADIUS], one of >= > <= <, and a number.",
            fix="Quote it in a shell, where > has a meaning.",
        )
    spec = metrics.get(match["metric"])
    threshold = float(match["threshold"])
    low, high = spec.bounds
    if not math.isfinite(threshold):
        raise ConfigError(f"a finite threshold in the gate {text!r}", match["threshold"])
    if (low is not None and threshold < low) or (high is not None and threshold > high):
        raise ConfigError(
            f"a threshold for {spec.name} from {_end(low)} to {_end(high)}",
            match["threshold"],
            cause=f"Its unit is: {spec.unit}.",
            fix="Write 98 % as 0.98." if high == 1 else "",
        )
    radius = None if match["radius"] is None else float(match["radius"])
    if radius is not None and not 0 < radius < math.inf:
        raise ConfigError(f"a finite radius above 0 px in the gate {text!r}", match["radius"])
    (operator,) = (known for known in get_args(Operator) if known == match["operator"])
    return Gate(spec.name, operator, threshold, radius, match["protocol"])


def judge(gate: Gate, estimate: Estimate | NotApplicable) -> Verdict:
    """Whether the whole interval is on the right side of the threshold.

    Returns:
        `pass` or `fail` where the whole interval is on one side, `inconclusive` where it straddles the
        threshold, or where it has no width because every image has the same number, and `not applicable`
        where there is nothing to judge, which must count as inconclusive: a gate that could not be looked at
        has not been passed.

    Example:
        >>> judge(parse_gate("accuracy>=0.9"), Estimate(0.95, 0.89, 0.97, 100, 1, "share", 0.95, "Wilson"))
        'inconclusive'
    """
    if isinstance(estimate, NotApplicable):
        return "not applicable"
    t, low, high = gate.threshold, estimate.low, estimate.high
    if low == high:
        return "inconclusive"
    passes, fails = {
        ">=": (low >= t, high < t),
        ">": (low > t, high <= t),
        "<=": (high <= t, low > t),
        "<": (high < t, low >= t),
    }[gate.operator]
    if passes:
        return "pass"
    return "fail" if fails else "inconclusive"


def _end(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"
