"""A line for each kind of hostile input: how many, and how many ended as they should."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where hostile inputs were tried."""
    tried: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            kind = dict(getattr(report, "user_properties", [])).get("kind")
            if kind is not None and (report.when == "call" or outcome == "error"):
                tried[kind] += 1
                wrong[kind] += outcome != "passed"
                seconds[kind] += report.duration
    if not tried:
        return
    terminalreporter.section("hostile inputs")
    for kind in sorted(tried):
        verdict = f"{wrong[kind]} WRONG" if wrong[kind] else "as they should"
        terminalreporter.line(f"{tried[kind]:5}  {kind:34} {seconds[kind]:7.1f} s  {verdict}")
    terminalreporter.line(f"{tried.total():5}  inputs, {wrong.total()} wrong, {seconds.total():.0f} s")
