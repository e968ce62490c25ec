"""An audit as JUnit XML: a test case for each gate, for whatever draws the results of tests."""

from __future__ import annotations

from dataclasses import asdict
from xml.etree import ElementTree

from shiftproof.records import AuditRecord, Estimated, GateRecord, Measured, NotApplicable
from shiftproof.report._numbers import in_full


def audit_junit(record: AuditRecord) -> str:
    """One test suite for the audit, one test case for each gate.

    A gate that failed or is inconclusive is a failure; one that is not applicable is skipped. Without
    gates there is one test case, which says that something was measured.

    Args:
        record: From `read_audit`, which leaves no character in a name that XML forbids.

    Returns:
        XML without times, so the same for the same record.
    """
    verdicts = [gate.verdict for gate in record.gates]
    n_failures = sum(verdict in ("fail", "inconclusive") for verdict in verdicts)
    counts = {
        "tests": str(len(verdicts) or 1),
        "failures": str(n_failures),
        "errors": "0",
        "skipped": str(verdicts.count("not applicable")),
        "time": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "shiftproof", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": f"audit of {record.model.name}", **counts})
    _properties(
        suite,
        {
            "verdict": record.verdict,
            "outcome": record.outcome,
            "model": record.model.name,
            "data": record.data.name,
            "data.digest": record.data.digest,
        },
    )
    for gate in record.gates:
        _gate_case(suite, gate)
    if not record.gates:
        _measured_case(suite, record)
    ElementTree.indent(root, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _gate_case(suite: ElementTree.Element, gate: GateRecord) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", {"name": gate.demand, "classname": gate.protocol, "time": "0"}
    )
    _properties(case, _numbers(gate.measured))
    message = f"{gate.demand} under {gate.protocol}, {gate.verdict}: {in_full(gate.measured)}"
    if gate.verdict in ("fail", "inconclusive"):
        ElementTree.SubElement(case, "failure", {"type": gate.verdict, "message": message})
    elif gate.verdict == "not applicable":
        ElementTree.SubElement(case, "skipped", {"message": message})


def _measured_case(suite: ElementTree.Element, record: AuditRecord) -> None:
    part = record.protocols[0]
    case = ElementTree.SubElement(
        suite, "testcase", {"name": "measured", "classname": part.name, "time": "0"}
    )
    values: dict[str, str] = {}
    for name in record.headline:
        values |= _numbers(part.estimates[name], f"{name}.")
    _properties(case, values)


def _numbers(found: Measured | Estimated, prefix: str = "") -> dict[str, str]:
    """Everything about a number but how it reads."""
    if isinstance(found, NotApplicable):
        return {f"{prefix}not_applicable": found.reason}
    return {f"{prefix}{name}": str(value) for name, value in asdict(found).items()}


def _properties(parent: ElementTree.Element, values: dict[str, str]) -> None:
    properties = ElementTree.SubElement(parent, "properties")
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
