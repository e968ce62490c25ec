"""How often nominal 95 % intervals hold the truth, ours and others; what stopping early costs and saves.

    python -m benchmarks.coverage [shares means differences seeds precision gates model] [--samples N]

Populations whose truth is known are sampled again and again. Each part takes minutes on one core, and
replaces its own in `results/coverage.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import interval_methods as others
from benchmarks.populations import (
    Cell,
    Floats,
    betas,
    bits,
    crossed,
    differences,
    log_normal,
    mixture,
    mostly_zero,
    shares,
)

from shiftproof.audits import audit
from shiftproof.audits._looks import confidence_at, looks
from shiftproof.metrics import Estimate, estimate_mean, estimate_share

RESULT = Path(__file__).parent / "results" / "coverage.json"
N_IMAGES = 10_000
OURS = "ours"

SHARES = (
    *(shares(0.98, 0.3, 288, n) for n in (20, 50, 200)),
    *(shares(0.995, 0.3, 288, n) for n in (50, 100, 1000)),
    *(shares(0.98, 0.8, 288, n) for n in (20, 50, 300)),
    *(shares(0.995, 0.8, 2, n) for n in (20, 100)),
    shares(0.98, 0.05, 25, 200),
    shares(0.95, 0.5, 10, 20),
    shares(0.5, 0.3, 288, 50),
    *(mixture(0.98, 0.04, n) for n in (20, 50)),
    *(bits(0.995, n) for n in (20, 100, 300)),
    bits(0.98, 1000),
    bits(0.5, 100),
)
MEANS = (
    *(log_normal(sigma, n) for sigma in (0.5, 1.0, 1.5) for n in (20, 50, 200)),
    *(mostly_zero(n) for n in (20, 50, 200)),
)
DIFFERENCES = (
    *(differences(0.98, 0.8, 288, 0.5, n) for n in (20, 100, 300, 1000)),
    *(differences(0.98, 0.8, 2, 0.5, n) for n in (300, 1000)),
    differences(0.98, 0.3, 288, 0.5, 100),
    differences(0.98, 0.05, 25, 0.5, 300),
    *(differences(0.9, 0.3, 80, 0.5, n, worse=0.02) for n in (50, 300)),
)
SEEDS = (
    crossed(0.98, 0.004, 2, 1000),
    crossed(0.9, 0.02, 2, 1000),
    crossed(0.98, 0.004, 3, 1000),
    crossed(0.9, 0.02, 3, 1000),
    crossed(0.98, 0.004, 3, 100),
    crossed(0.9, 0.02, 5, 1000),
    *(crossed(0.98, 0.004, k, 20) for k in (2, 5)),
    crossed(0.9, 0.0, 3, 1000),
)
Method = Callable[[Floats], tuple[float, float]]


def ends(found: object) -> tuple[float, float]:
    assert isinstance(found, Estimate), found
    return found.low, found.high


def of_share(sample: Floats) -> tuple[float, float]:
    return ends(estimate_share(sample))


def of_mean(sample: Floats) -> tuple[float, float]:
    return ends(estimate_mean(sample, unit="", bounds=(0, None)))


def of_difference(sample: Floats) -> tuple[float, float]:
    return ends(estimate_mean(sample, unit="", bounds=(-1, 1)))


GROUPS: Mapping[str, tuple[Sequence[Cell], Mapping[str, Method]]] = {
    "shares": (
        SHARES,
        {
            OURS: of_share,
            "Wilson": others.wilson,
            "½ an image": others.jeffreys,
            "a whole image": others.clopper_pearson,
            "bootstrap": others.bootstrap,
        },
    ),
    "means": (MEANS, {OURS: of_mean, "Student": others.student, "bootstrap": others.bootstrap}),
    "differences": (
        DIFFERENCES,
        {OURS: of_difference, "Hall": others.hall, "Student": others.student, "bootstrap": others.bootstrap},
    ),
    "seeds": (
        SEEDS,
        {
            OURS: of_share,
            "Satterthwaite": others.satterthwaite,
            "K − 1": others.few_degrees,
            "pivot": others.generalized_pivot,
            "bootstrap": others.bootstrap_of_both,
        },
    ),
}


def measured(cell: Cell, methods: Mapping[str, Method], n_samples: int, *, always: bool) -> dict[str, Any]:
    """Share of the samples whose interval holds the truth, and the mean width, of each method.

    Args:
        cell: What to sample.
        methods: From a sample to an interval.
        n_samples: How often.
        always: Whether samples of numbers that are all equal have an interval too.
    """
    generator = np.random.default_rng(1)
    drawn = [cell.draw(generator) for _ in range(n_samples)]
    # Numbers without an upper end that are all equal have no interval; ours says so.
    samples = [sample for sample in drawn if np.ptp(sample) > 0 or always]
    found = {name: np.array([method(sample) for sample in samples]) for name, method in methods.items()}
    # An end that is the truth, but for rounding, holds it.
    held = {
        name: float(np.mean((e[:, 0] <= cell.truth + 1e-12) & (cell.truth <= e[:, 1] + 1e-12)))
        for name, e in found.items()
    }
    width = {name: float(np.diff(e, axis=1).mean()) for name, e in found.items()}
    without = 1 - len(samples) / n_samples
    return {"cell": cell.name, "n_samples": n_samples, "held": held, "width": width, "without": without}


def responses(mean: float, icc: float, n_shifts: int, n_samples: int) -> Sequence[Floats]:
    g = np.random.default_rng(2)
    return [g.binomial(n_shifts, betas(g, mean, icc, N_IMAGES)) / n_shifts for _ in range(n_samples)]


def stopped_by_precision(row: Floats, precision: float) -> tuple[int, float, float]:
    """Images until the interval is narrow enough, and the interval then."""
    for n in looks(len(row)):
        low, high = of_share(row[:n])
        if (high - low) / 2 <= precision:
            break
    return n, low, high


PRECISIONS = (
    (0.995, 0.8, 288, 0.005),
    (0.995, 0.8, 288, 0.03),
    (0.995, 0.8, 2, 0.005),
    (0.999, 0.5, 80, 0.005),
    (0.98, 0.8, 2, 0.01),
    (0.9, 0.3, 80, 0.02),
    (0.5, 0.3, 80, 0.03),
    # About half a width of the interval at the first look, so that it is the sample that decides to stop.
    (0.98, 0.8, 2, 0.0165),
    (0.97, 0.95, 2, 0.0205),
    (0.9, 0.3, 80, 0.0215),
    (0.99, 0.9, 2, 0.0095),
)


def precisions(n_samples: int) -> list[dict[str, Any]]:
    found = []
    for mean, icc, n_shifts, precision in PRECISIONS:
        rows = responses(mean, icc, n_shifts, n_samples)
        stops = np.array([stopped_by_precision(row, precision) for row in rows])
        held = float(np.mean((stops[:, 1] <= mean) & (mean <= stops[:, 2])))
        cell = f"{n_shifts} shifts, correlation {icc:g}, mean {mean:g}, ± {precision:g}"
        found.append(
            {"cell": cell, "n_samples": n_samples, "held": held, "n_images": float(stops[:, 0].mean())}
        )
        print(found[-1], flush=True)
    return found


def stopped_by_gate(row: Floats, threshold: float) -> tuple[int, str, float, float]:
    """Images until `agreement >= threshold` is decided, the verdict, and the interval then."""
    for n in looks(len(row)):
        low, high = ends(estimate_share(row[:n], confidence=confidence_at(n, len(row), 0.95)))
        if low >= threshold or high < threshold:
            break
    return n, verdict(low, high, threshold), low, high


def verdict(low: float, high: float, threshold: float) -> str:
    return "pass" if low >= threshold else "fail" if high < threshold else "inconclusive"


def gates(n_samples: int, threshold: float = 0.98) -> list[dict[str, Any]]:
    """A gate at 0.98 on models of which some are better and some worse: errors, and images until decided."""
    found = []
    for mean in (0.95, 0.97, 0.975, 0.98, 0.985, 0.99, 0.995):
        rows = responses(mean, 0.5, 80, n_samples)
        stops = [stopped_by_gate(row, threshold) for row in rows]
        whole = [verdict(*of_share(row), threshold) for row in rows]
        verdicts = [stop[1] for stop in stops]
        found.append(
            {
                "mean": mean,
                "threshold": threshold,
                "n_samples": n_samples,
                "early": {each: verdicts.count(each) / n_samples for each in ("pass", "fail")},
                "whole": {each: whole.count(each) / n_samples for each in ("pass", "fail")},
                "share_of_images": float(np.mean([stop[0] for stop in stops])) / N_IMAGES,
                "held": float(np.mean([low <= mean <= high for _, _, low, high in stops])),
            }
        )
        print(found[-1], flush=True)
    return found


def of_a_model() -> list[dict[str, Any]]:
    """Gates on the packaged cnn2 and MNIST, stopped when decided and not: forwards and verdicts."""
    protocol, found = "grid:2", []
    whole = audit("zoo:cnn2", "demo:mnist", protocols=[protocol], gates=["agreement>=0.9"], seed=0)
    agreement = whole.estimate("agreement")
    assert isinstance(agreement, Estimate)
    n_views = 1 + whole.record.protocols[0].n_shifts
    for threshold in (0.8, 0.9, 0.95, 0.98, 0.99, 0.995):
        gate = f"agreement>={threshold}"
        early = audit("zoo:cnn2", "demo:mnist", protocols=[protocol], gates=[gate], stop_when_decided=True)
        found.append(
            {
                "gate": gate,
                "protocol": protocol,
                "verdict": early.outcome,
                "verdict_of_all": verdict(agreement.low, agreement.high, threshold),
                "agreement": agreement.value,
                "forwards": early.responses[protocol].n_images * n_views,
                "forwards_of_all": whole.responses[protocol].n_images * n_views,
            }
        )
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", default=[*GROUPS, "precision", "gates", "model"])
    parser.add_argument("--samples", type=int, default=1000)
    arguments = parser.parse_args()
    record = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    for part in arguments.parts:
        if part in GROUPS:
            cells, methods = GROUPS[part]
            rows = []
            for cell in cells:
                rows.append(measured(cell, methods, arguments.samples, always=part != "means"))
                print(rows[-1]["cell"], rows[-1]["held"], flush=True)
            record[part] = rows
        elif part == "precision":
            record[part] = precisions(arguments.samples)
        elif part == "gates":
            record[part] = gates(arguments.samples)
        else:
            record[part] = of_a_model()
        RESULT.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
