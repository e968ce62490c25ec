"""What certify proves of random networks, and what is true of them: every shift, in float64.

Usage: python -m benchmarks.proofs [--networks N] [--first SEED] [--units DIR] [--out FILE] [--collect]

The networks are those of tests/certify/any_networks.py, which knows nothing of the rules of certify.
Counted are proofs that are false, of which there must be none, and laws of circular shifts that are true and
not proved. Every 500 networks are a unit in a folder, with a digest of the code that it ran on: the same
command goes on where it was stopped, several may share the work by ranges of seeds, and units of other code
are not counted. `--collect` writes the record of the units that there are.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tests.certify.judging import judged

from shiftproof._device import describe_machine
from shiftproof._digest import digest_of_bytes

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
UNIT = 500
# What decides about the result, beside torch.
CODE = (
    *(f"src/shiftproof/{room}/*.py" for room in ("adapters", "anatomy", "certify", "layers")),
    *(f"tests/certify/{name}.py" for name in ("any_networks", "brute_force", "judging")),
)
# Seeds of networks to look at, in the record.
SHOWN = 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=1_000_000)
    parser.add_argument("--units", type=Path, default=Path(tempfile.gettempdir()) / "shiftproof-proofs")
    parser.add_argument("--out", type=Path, default=RESULTS / "proofs.json")
    parser.add_argument("--collect", action="store_true", help="measure nothing more")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.units.mkdir(parents=True, exist_ok=True)
    code = _digest()
    if not args.collect:
        for first in range(args.first, args.first + args.networks, UNIT):
            _measure(first, args.units / f"{first}.json", code)
    units = list(_units(args.units, code))
    if not units:
        raise SystemExit(f"No unit of this code in {args.units}.")
    report = _report(units)
    args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(f"{report['networks']:,} networks, {len(report['false'])} false; written to {args.out}")


def _digest() -> str:
    files = sorted(path for pattern in CODE for path in ROOT.glob(pattern))
    return digest_of_bytes([torch.__version__.encode(), *(path.read_bytes() for path in files)])


def _measure(first: int, file: Path, code: str) -> None:
    if file.exists() and json.loads(file.read_text())["code"] == code:
        return
    start = time.process_time()
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("verdicts", "proved", "proved_by_numbers", "missed", "missed_because")
    }
    seeds: dict[str, list[int]] = {"missed_seeds": [], "rounding_seeds": []}
    false: list[str] = []
    for seed in range(first, first + UNIT):
        judgement = judged(seed)
        counts["verdicts"][judgement.verdict] += 1
        if judgement.false:
            false.append(judgement.false)
            print(judgement.false, flush=True)
        if judgement.rounding:
            seeds["rounding_seeds"].append(seed)
        if judgement.proved:
            counts["proved"][judgement.proved] += 1
        if judgement.proved and judgement.by_numbers:
            counts["proved_by_numbers"][judgement.proved] += 1
        if judgement.missed:
            counts["missed"][judgement.missed] += 1
            counts["missed_because"][judgement.ended_by] += 1
            seeds["missed_seeds"].append(seed)
    cpu_s = round(time.process_time() - start, 2)
    unit = {"code": code, "first": first, "false": false, **counts, **seeds, "cpu_s": cpu_s}
    part = file.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(unit))
    part.replace(file)
    print(f"{first}: {UNIT / cpu_s:.0f} networks a second, {len(false)} false", flush=True)


def _units(folder: Path, code: str) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.json"), key=lambda file: int(file.stem)):
        unit = json.loads(file.read_text())
        if unit["code"] == code:
            yield unit


def _report(units: list[dict[str, Any]]) -> dict[str, Any]:
    summed = {
        name: sum((Counter(unit[name]) for unit in units), Counter())
        for name in ("verdicts", "proved", "proved_by_numbers", "missed", "missed_because")
    }
    verdicts = summed["verdicts"]
    n_drawn = verdicts.total()
    n_networks = n_drawn - verdicts.pop("no network", 0)
    kinds = sorted(set(summed["proved"]) | set(summed["missed"]))
    cpu_s = sum(unit["cpu_s"] for unit in units)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "torch": torch.__version__,
        "code": units[0]["code"],
        "seeds": [[unit["first"], unit["first"] + UNIT] for unit in (*units[:1], *units[-1:])],
        "networks": n_networks,
        "verdicts": dict(verdicts.most_common()),
        "false": [text for unit in units for text in unit["false"]],
        "decided_by_rounding": sum(len(unit["rounding_seeds"]) for unit in units),
        "rounding_seeds": [seed for unit in units for seed in unit["rounding_seeds"]][:SHOWN],
        "laws": {
            kind: {
                "proved": summed["proved"][kind],
                "by_numbers": summed["proved_by_numbers"][kind],
                "missed": summed["missed"][kind],
            }
            for kind in kinds
        },
        "missed_because": dict(summed["missed_because"].most_common(12)),
        "missed_seeds": [seed for unit in units for seed in unit["missed_seeds"]][:SHOWN],
        "cpu_s": round(cpu_s, 1),
        "networks_per_second": round(n_drawn / cpu_s, 1),
    }


if __name__ == "__main__":
    main()
