"""Demands on what was measured: gates, and "no worse than" another run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shiftproof.audits._question import AuditQuestion
from shiftproof.audits._task import headline
from shiftproof.data import Images
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
from shiftproof.records import GateRecord, Outcome
from shiftproof.shifts import ShiftProtocol

DEFAULT_MARGIN = 0.005


def check_gates(gates: Sequence[Gate], question: AuditQuestion) -> None:
    """Refuse a gate on what is not going to be measured, before anything is.

    Raises:
        ConfigError: Which gate, what it is about, and what is measured.
    """
    names = [protocol.name for protocol, _ in question.parts]
    for gate in gates:
        if gate.protocol is not None and gate.protocol not in names:
            raise ConfigError(
                f"the gate {str(gate)!r} to name a protocol of this audit",
                repr(gate.protocol),
                fix=f"Measured: {', '.join(names)}. Add --protocol {gate.protocol}.",
            )
        for protocol, images in question.parts:
            if gate.protocol in (None, protocol.name):
                _check_has_data(gate, question, protocol, images)


def _check_has_data(gate: Gate, question: AuditQuestion, protocol: ShiftProtocol, images: Images) -> None:
    spec = metrics.get(gate.metric)
    if question.task.name not in spec.tasks:
        raise ConfigError(
            f"a metric for {question.task.name} in the gate {str(gate)!r}",
            spec.name,
            cause=f"The task of {question.classifier.name} is {question.task.name} ({question.task.why}), "
            f"and {spec.name} is for {' and '.join(spec.tasks)}.",
            fix="See `shiftproof metrics ls` for the others, or say another --task.",
        )
    if spec.needs_labels and not bool((images.labels >= 0).any()):
        raise ConfigError(
            f"images with known classes for the gate {str(gate)!r}",
            f"{images.name} without any",
            fix="Use folders of classes, a .csv or an .npz file with labels, or another metric.",
        )
    shown_px = question.shown_px(images, protocol)
    radii_px = protocol.draw(len(images), shown_px, seed=question.options.seed).abs().amax(-1)
    moved_px = radii_px[radii_px > 0]
    if spec.needs_moves and not len(moved_px):
        raise ConfigError(
            f"a protocol that moves images for the gate {str(gate)!r}", f"{protocol.name}, which moves none"
        )
    if gate.radius_px is None or not len(moved_px):
        return
    reach_px, nearest_px = max(protocol.law.reach_px(shown_px)), float(moved_px.min())
    if not nearest_px <= gate.radius_px <= reach_px:
        beyond = gate.radius_px > reach_px
        raise ConfigError(
            f"a radius that was measured in the gate {str(gate)!r}",
            f"{gate.radius_px:g} px",
            cause=f"{protocol.name} reaches {reach_px} px."
            if beyond
            else f"The smallest shift of {protocol.name} is {nearest_px:g} px.",
            fix="Use a smaller radius, a protocol that reaches further, or PROTOCOL/ before the metric."
            if beyond
            else "Use a larger radius.",
        )


def check_stopping(gates: Sequence[Gate], *, stop_when_decided: bool, has_baseline: bool) -> None:
    """Refuse to stop when gates are decided where there are none, or where a baseline needs every image.

    Raises:
        OptionError: Which of the two.
    """
    if stop_when_decided and not gates:
        raise OptionError("a gate to stop at", "none", fix="Add one, such as --gate 'agreement>=0.98'.")
    if stop_when_decided and has_baseline:
        raise OptionError(
            "a baseline, or stopping when gates are decided",
            "both",
            cause="A baseline is compared on the same images.",
            fix="Leave out one of them.",
        )


def judged(
    gates: Sequence[Gate], responses: Mapping[str, Response], confidences: Mapping[str, float]
) -> list[GateRecord]:
    """Each gate on each protocol that it is about: what was demanded, what was measured, the verdict."""
    results = []
    for gate in gates:
        for protocol, response in responses.items():
            if gate.protocol in (None, protocol):
                found = gate.estimate(response, confidence=confidences[protocol])
                results.append(
                    GateRecord(
                        demand=str(gate), protocol=protocol, verdict=judge(gate, found), measured=found
                    )
                )
    return results


def no_worse(
    responses: Mapping[str, Response],
    baseline: Mapping[str, Response],
    *,
    margin: float,
    confidence: float,
) -> list[GateRecord]:
    """Each headline metric against that of an earlier run, paired by image, as gates.

    Passes where the whole interval of the change is better than `margin` worse, fails where all of it is
    worse than that.

    Raises:
        ComparisonError: The runs have no protocol in common, or asked different questions.
    """
    if not 0 <= margin < math.inf:
        raise OptionError("a margin of 0 or more", margin)
    results = []
    for protocol in shared_protocols(list(responses), list(baseline)):
        response = responses[protocol]
        for name in headline(response):
            spec = metrics.get(name)
            change = compare_responses(response, baseline[protocol], spec, confidence=confidence)
            demand = f"{name} no worse than the baseline by {margin:g}"
            verdict = _verdict(change, spec, margin)
            results.append(GateRecord(demand=demand, protocol=protocol, verdict=verdict, measured=change))
    return results


def shared_protocols(measured: Sequence[str], baseline: Sequence[str]) -> list[str]:
    """The protocols of an audit that its baseline has too.

    Raises:
        ComparisonError: There is none.
    """
    shared = [name for name in measured if name in baseline]
    if not shared:
        raise ComparisonError(
            "a baseline with a protocol of this audit",
            ", ".join(baseline) or "none",
            fix=f"This audit measures {', '.join(measured)}.",
        )
    return shared


def outcome(gates: Sequence[GateRecord]) -> Outcome:
    """The verdict on all of them: one failure fails, and what could not be judged has not passed."""
    verdicts = {gate.verdict for gate in gates}
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
