"""Demands on what was measured: gates, and "no worse than" another run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from shiftproof._digest import Json
from shiftproof.audits._record import headline
from shiftproof.errors import ComparisonError, ConfigError, OptionError
from shiftproof.metrics import (
    Difference,
    Gate,
    MetricSpec,
    NotApplicable,
    Verdict,
    compare_responses,
    judge,
    metrics,
)
from shiftproof.probe import Response

Outcome = Literal["pass", "fail", "inconclusive"]
DEFAULT_MARGIN = 0.005


def check_gates(gates: Sequence[Gate], protocols: Sequence[str]) -> None:
    """Refuse a gate on a protocol that is not measured, before anything is.

    Raises:
        ConfigError: Which gate, and what is measured.
    """
    for gate in gates:
        if gate.protocol is not None and gate.protocol not in protocols:
            raise ConfigError(
                f"the gate {str(gate)!r} to name a protocol of this audit",
                repr(gate.protocol),
                fix=f"Measured: {', '.join(protocols)}. Add --protocol {gate.protocol}.",
            )


def judged(gates: Sequence[Gate], responses: Mapping[str, Response], confidence: float) -> list[Json]:
    """Each gate on each protocol that it is about: what was demanded, what was measured, the verdict."""
    results: list[Json] = []
    for gate in gates:
        for protocol, response in responses.items():
            if gate.protocol in (None, protocol):
                estimate = gate.estimate(response, confidence=confidence)
                results.append(_result(str(gate), protocol, judge(gate, estimate), estimate.to_dict()))
    return results


def no_worse(
    responses: Mapping[str, Response],
    baseline: Mapping[str, Response],
    *,
    margin: float,
    confidence: float,
) -> list[Json]:
    """Each headline metric against that of an earlier run, paired by image, as gates.

    Passes where the whole interval of the change is better than `margin` worse, fails where all of it is
    worse than that.

    Raises:
        ComparisonError: The runs have no protocol in common, or asked different questions.
    """
    if not 0 <= margin < math.inf:
        raise OptionError("a margin of 0 or more", margin)
    shared = [name for name in responses if name in baseline]
    if not shared:
        raise ComparisonError(
            "a baseline with a protocol of this audit",
            ", ".join(baseline) or "none",
            fix=f"This audit measures {', '.join(responses)}.",
        )
    results: list[Json] = []
    for protocol in shared:
        response = responses[protocol]
        for name in headline(response):
            spec = metrics.get(name)
            change = compare_responses(response, baseline[protocol], spec, confidence=confidence)
            demand = f"{name} no worse than the baseline by {margin:g}"
            results.append(_result(demand, protocol, _verdict(change, spec, margin), change.to_dict()))
    return results


def outcome(results: Sequence[Json]) -> Outcome:
    """The verdict on all of them: one failure fails, and what could not be judged has not passed."""
    verdicts = {result["verdict"] for result in results if isinstance(result, dict)}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts <= {"pass"} else "inconclusive"


def _verdict(change: Difference | NotApplicable, spec: MetricSpec, margin: float) -> Verdict:
    if isinstance(change, NotApplicable):
        return "not applicable"
    low, high = (change.low, change.high) if spec.higher_is_better else (-change.high, -change.low)
    if low >= -margin:
        return "pass"
    return "fail" if high < -margin else "inconclusive"


def _result(demand: str, protocol: str, verdict: Verdict, measured: dict[str, Json]) -> Json:
    return {"demand": demand, "protocol": protocol, "verdict": verdict, "measured": measured}
