"""JUnit XML, read back by a reader that is not ours."""

from __future__ import annotations

from typing import Any

import junitparser
import pytest

from shiftproof.report import audit_junit, read_audit


def suite_of(record: dict[str, Any]) -> junitparser.TestSuite:
    text = audit_junit(read_audit(record))
    suites = list(junitparser.JUnitXml.fromstring(text.encode()))
    assert len(suites) == 1
    suite = suites[0]
    assert isinstance(suite, junitparser.TestSuite)
    return suite


def test_each_gate_is_a_case(with_gates: dict[str, Any]) -> None:
    suite = suite_of(with_gates)
    cases = list(suite)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 3, 0, 1)
    assert [case.name for case in cases] == [gate["demand"] for gate in with_gates["gates"]]
    assert {case.classname for case in cases} == {"grid:1"}
    results = [[(type(r).__name__, r.type) for r in case.result] for case in cases]
    assert results == [
        [],
        [("Failure", "inconclusive")],
        [("Failure", "fail")],
        [("Skipped", None)],
        [("Failure", "fail")],
    ]
    assert cases[2].result[0].message == (
        "agreement>=0.99 under grid:1, fail: 90.0 % (88.0 % to 92.0 %, n = 2,500 images)"
    )
    assert cases[3].result[0].message.endswith("not applicable: few images flip")


def test_numbers_are_properties(with_gates: dict[str, Any]) -> None:
    text = audit_junit(read_audit(with_gates))
    for name, value in {"value": "0.9", "low": "0.88", "n_images": "2500", "p_value": "0.0001"}.items():
        assert f'<property name="{name}" value="{value}" />' in text
    assert '<property name="outcome" value="fail" />' in text
    assert '<property name="data.digest" value="fedcba" />' in text


def test_without_gates_one_case_says_that_it_was_measured(audit_json: dict[str, Any]) -> None:
    suite = suite_of(audit_json)
    (case,) = suite
    assert (case.name, case.classname, case.is_passed) == ("measured", "grid:1", True)
    assert '<property name="agreement.value" value="0.9" />' in audit_junit(read_audit(audit_json))


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffe", "\ud800", "\x85", "\r"])
def test_names_hold_nothing_that_xml_forbids(hostile: dict[str, Any], character: str) -> None:
    hostile["gates"][2]["demand"] += character
    suite = suite_of(hostile)
    first = next(iter(suite))
    assert first.name == "a</td><script>[bold]x[/bold] # y�[2J|`z`��_é.png"
    assert character not in audit_junit(read_audit(hostile))
    assert audit_junit(read_audit(hostile)) == audit_junit(read_audit(hostile))
