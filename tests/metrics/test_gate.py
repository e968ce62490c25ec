"""Gates: the grammar, and judging on the bound of an interval."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.errors import ConfigError, UnknownNameError
from shiftproof.metrics import Estimate, Gate, NotApplicable, judge, metrics, parse_gate
from shiftproof.probe import Response


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("agreement@4>=0.98", Gate("agreement", ">=", 0.98, 4)),
        ("  agreement @ 4 >=  .98 ", Gate("agreement", ">=", 0.98, 4)),
        ("accuracy>0.5", Gate("accuracy", ">", 0.5)),
        ("drift<=1e-2", Gate("drift", "<=", 0.01)),
        ("drift < 12.5", Gate("drift", "<", 12.5)),
        ("agreement-above-chance>=-0.5", Gate("agreement-above-chance", ">=", -0.5)),
        ("grid:8/agreement@2.5>=1", Gate("agreement", ">=", 1, 2.5, "grid:8")),
        ("box:3,4 / flip-rate<0.1", Gate("flip-rate", "<", 0.1, None, "box:3,4")),
        ("article-large/wobble<=0.9", Gate("wobble", "<=", 0.9, None, "article-large")),
    ],
)  # fmt: skip
def test_convention_grammar(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


@given(
    st.sampled_from(metrics.names()),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.floats(0, 1),
    st.none() | st.floats(0.25, 64).map(lambda x: float(f"{x:g}")),
    st.none() | st.sampled_from(["grid:8", "box:3,4", "uniform:1.5,2", "half-pixel"]),
)
def test_text_and_back(
    metric: str, operator: str, threshold: float, radius: float | None, protocol: str | None
) -> None:
    text = f"{protocol + '/' if protocol else ''}{metric}{'' if radius is None else f'@{radius:g}'}"
    gate = parse_gate(f"{text}{operator}{threshold!r}")
    assert parse_gate(str(gate)) == gate
    assert (gate.metric, gate.operator, gate.threshold) == (metric, operator, threshold)
    assert (gate.radius_px, gate.protocol) == (radius, protocol)


@pytest.mark.parametrize(
    "text",
    [
        "", "agreement", "agreement>=", ">=0.9", "agreement==0.9", "agreement=>0.9", "agreement>=98%",
        "agreement@>=0.9", "agreement@four>=0.9", "agreement>=nan", "agreement>=inf", "a/b/agreement>=0.9",
        "agreement>=0.9 accuracy>=0.9", "agreement>0.9<1", "/agreement>=0.9",
    ],
)  # fmt: skip
def test_malformed(text: str) -> None:
    with pytest.raises(ConfigError, match=r"Expected a gate such as 'agreement@4>=0.98'"):
        parse_gate(text)


def test_meaningless() -> None:
    with pytest.raises(UnknownNameError, match=r"got 'agrement'\. Did you mean 'agreement'"):
        parse_gate("agrement>=0.9")
    with pytest.raises(ConfigError, match=r"for agreement from 0 to 1, got 98\..*Write 98 % as 0\.98"):
        parse_gate("agreement>=98")
    with pytest.raises(ConfigError, match=r"for drift from 0 to any, got -1"):
        parse_gate("drift<-1")
    with pytest.raises(ConfigError, match="a finite radius above 0 px"):
        parse_gate("agreement@0>=0.9")


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 100, 1, "", 0.95, "")


@pytest.mark.parametrize(
    ("operator", "low", "high", "verdict"),
    [
        (">=", 0.5, 0.6, "pass"), (">=", 0.4, 0.5, "inconclusive"), (">=", 0.3, 0.4, "fail"),
        (">", 0.5, 0.6, "inconclusive"), (">", 0.51, 0.6, "pass"), (">", 0.4, 0.5, "fail"),
        ("<=", 0.4, 0.5, "pass"), ("<=", 0.5, 0.6, "inconclusive"), ("<=", 0.51, 0.6, "fail"),
        ("<", 0.4, 0.5, "inconclusive"), ("<", 0.3, 0.4, "pass"), ("<", 0.5, 0.6, "fail"),
    ],
)  # fmt: skip
def test_judged_on_the_interval(operator: str, low: float, high: float, verdict: str) -> None:
    assert judge(parse_gate(f"accuracy{operator}0.5"), estimate(low, high)) == verdict


def test_nothing_to_judge_is_no_pass() -> None:
    assert judge(parse_gate("agreement>=0"), NotApplicable("no image was moved")) == "not applicable"


def test_the_radius_is_used(simulate: Callable[..., Response]) -> None:
    response = simulate(0, 100, tremor=3)
    near, all_of_them = parse_gate("agreement@2>=0").estimate(response), parse_gate("agreement>=0")
    assert near != all_of_them.estimate(response)
    assert all_of_them.estimate(response) == metrics.get("agreement").estimate(response)
    assert parse_gate("agreement@3>=0").estimate(response) == all_of_them.estimate(response)
    assert isinstance(parse_gate("agreement@0.5>=0").estimate(response), NotApplicable)
