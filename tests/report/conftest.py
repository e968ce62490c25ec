"""Records as `run_audit` and `compare_audits` make them, written by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.report.written import ENVIRONMENT

Json = dict[str, Any]
SHARE = "share of images"
METRICS = {
    "agreement": (SHARE, True),
    "clean-accuracy": (SHARE, True),
    "drift": ("share of the norm of the logits", False),
    "kept-when-right": ("share of images right when unshifted", True),
    "smallest-flip": ("px", True),
    "worst-case-agreement": (SHARE, True),
}
HOSTILE = "a</td><script>[bold]x[/bold]\n# y\x1b[2J|`z`\u202e\ud800_é.png"


def estimate(value: float, low: float, high: float, unit: str = SHARE) -> Json:
    return {
        "value": value, "low": low, "high": high, "n_images": 2500, "n_seeds": 1, "unit": unit,
        "confidence": 0.95, "method": "Wilson, n = images",
    }  # fmt: skip


def difference(value: float, low: float, high: float, p_value: float, unit: str = SHARE) -> Json:
    numbers = {**estimate(value, low, high, unit), "p_value": p_value}
    del numbers["n_seeds"]
    return numbers


def view(points: dict[Any, float]) -> Json:
    return {
        "not_applicable": None,
        "points": [
            {"at": list(at) if isinstance(at, tuple) else at, "value": v, "low": v, "high": v, "n_images": 9}
            for at, v in points.items()
        ],
    }


def no_view(reason: str) -> Json:
    return {"not_applicable": reason, "points": []}


def protocol(name: str = "grid:1", **changed: Any) -> Json:
    ring = {(y, x): 0.9 + 0.01 * y for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x}
    return {
        "name": name,
        "law": "Grid(radius_px=1, step_px=1)",
        "border": "zeros",
        "interpolation": "bilinear",
        "summary": "every whole offset",
        "source": "exhaustive",
        "n_images": 2500,
        "n_shifts": 9,
        "n_moves": 8,
        "n_classes": 3,
        "reach_px": [1, 1],
        "method": "direct",
        "method_reason": "a layer normalises over the whole map",
        "stopped_early": False,
        "files": [],
        "chance": {"accuracy": 0.4, "agreement": 0.35},
        "estimates": {
            "agreement": estimate(0.9, 0.88, 0.92),
            "clean-accuracy": estimate(0.8, 0.7, 0.9),
            "drift": estimate(0.12345, 0.1, 0.2, METRICS["drift"][0]),
            "kept-when-right": estimate(0.99999, 0.99, 1.0, METRICS["kept-when-right"][0]),
            "smallest-flip": {"not_applicable": "only 3.0% of the images flip"},
            "worst-case-agreement": estimate(0.5, 0.45, 0.55),
        },
        "by_shift": {"agreement": view(ring)},
        "by_radius": {"agreement": view({1: 0.9}), "accuracy": view({0: 0.8, 1: 0.75})},
        "by_phase": {"2": {"agreement": view({(0, 1): 0.93, (1, 0): 0.92, (1, 1): 0.90})}},
        "by_class": {"clean-accuracy": view({0: 0.5, 1: 0.7})},
        "worst": [
            {
                "index": 7, "name": "cats/felix.png", "label": 1, "unshifted": 0,
                "share_of_shifts_that_change_it": 0.875, "smallest_flip_px": 1.0,
                "flip_offset_px": [-1.0, 0.0], "flips_to": 2,
            }
        ],
        **changed,
    }  # fmt: skip


@pytest.fixture
def make() -> SimpleNamespace:
    """The parts of a record, for a test that needs others."""
    return SimpleNamespace(
        estimate=estimate, difference=difference, view=view, no_view=no_view, protocol=protocol
    )


@pytest.fixture
def audit_json() -> Json:
    """A labelled audit of one protocol without gates."""
    return {
        "schema_version": 2,
        "kind": "audit",
        "verdict": "zoo:cnn2 keeps its prediction under 90.0 % of the shifts of grid:1.",
        "outcome": "pass",
        "model": {
            "name": "zoo:cnn2",
            "digest": "0123456789abcdef",
            "preprocessing": "× 255",
            "framing": "centre 28 × 28, 1 channel",
            "notes": ["the weights are untrained"],
        },
        "task": {
            "name": "single-label",
            "outputs": "logits",
            "threshold": None,
            "why": "one number for each class",
        },
        "data": {
            "name": "pets",
            "n_images": 2500,
            "image_shape": [1, 28, 28],
            "labelled": True,
            "class_names": ["dog", "cat"],
            "digest": "fedcba",
            "skipped": [],
            "conversions": {"RGBA to grey": 3},
        },
        "headline": ["clean-accuracy", "agreement", "worst-case-agreement", "kept-when-right"],
        "metrics": {
            name: {
                "summary": "",
                "unit": unit,
                "bounds": [0, None],
                "higher_is_better": up,
                "source": "",
                "tasks": ["single-label", "binary"],
            }
            for name, (unit, up) in METRICS.items()
        },
        "protocols": [protocol()],
        "gates": [],
        "environment": ENVIRONMENT,
        "config": {"seed": 0},
    }


@pytest.fixture
def with_gates(audit_json: Json) -> Json:
    """The same with a gate of every verdict."""
    measured = estimate(0.9, 0.88, 0.92)
    verdicts: list[tuple[str, str, Json]] = [
        ("agreement>=0.8", "pass", measured),
        ("agreement>=0.9", "inconclusive", measured),
        ("agreement>=0.99", "fail", measured),
        ("smallest-flip>=2", "not applicable", {"not_applicable": "few images flip"}),
        (
            "agreement no worse than the baseline by 0.005",
            "fail",
            difference(-0.02, -0.03, -0.01, 0.0001),
        ),
    ]
    audit_json["gates"] = [
        {"demand": demand, "protocol": "grid:1", "verdict": verdict, "measured": found}
        for demand, verdict, found in verdicts
    ]
    audit_json["outcome"] = "fail"
    return audit_json


@pytest.fixture
def hostile(with_gates: Json) -> Json:
    """The same with the worst of names everywhere, and a second protocol."""
    part = protocol(
        HOSTILE,
        by_shift={"agreement": no_view(HOSTILE)},
        by_phase={"2": {"agreement": no_view(HOSTILE)}},
        summary=HOSTILE,
        source=HOSTILE,
        stopped_early=True,
        n_images=250,
    )
    part["worst"] = [{**part["worst"][0], "name": HOSTILE}]
    with_gates["protocols"] = [part, protocol("grid:1")]
    with_gates["verdict"] = HOSTILE
    with_gates["model"] |= {"name": HOSTILE, "digest": HOSTILE, "notes": [HOSTILE], "framing": HOSTILE}
    with_gates["data"] |= {
        "name": HOSTILE,
        "class_names": [HOSTILE, HOSTILE],
        "skipped": [{"name": HOSTILE, "reason": HOSTILE}] * 7,
        "conversions": {HOSTILE: 1},
    }
    for gate in with_gates["gates"]:
        gate["demand"] = gate["protocol"] = HOSTILE
    with_gates["environment"] = {**ENVIRONMENT, "machine": HOSTILE}
    return with_gates


@pytest.fixture
def comparison_json(audit_json: Json) -> Json:
    """Two models, of which the second is better, worse, and not shown to be either."""

    def row(metric: str, change: Json) -> Json:
        unit, up = METRICS[metric]
        ends = [estimate(value, 0, 1, unit) for value in (0.5, 0.75)]
        return {
            "metric": metric,
            "higher_is_better": up,
            "first": ends[0],
            "second": ends[1],
            "difference": change,
        }

    return {
        "schema_version": 1,
        "kind": "comparison",
        "models": [{"name": "zoo:cnn1", "digest": "aa"}, {"name": "zoo:cnn2", "digest": "bb"}],
        "data": audit_json["data"],
        "confidence": 0.95,
        "protocols": [
            {
                "name": "grid:1",
                "rows": [
                    row("agreement", difference(0.25, 0.2, 0.3, 0.00001)),
                    row("clean-accuracy", difference(-0.01, -0.03, 0.01, 0.25)),
                    row("drift", difference(0.25, 0.2, 0.3, 0.004, METRICS["drift"][0])),
                    row("smallest-flip", {"not_applicable": "few images flip"}),
                ],
            }
        ],
    }
