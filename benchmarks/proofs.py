"""What certify proves of random networks, and what is true of them: every shift, in float64.

Usage: python -m benchmarks.proofs [--networks N] [--first SEED] [--out FILE]

The networks are those of tests/certify/any_networks.py, which knows nothing of the rules of certify. Counted
are proofs that are false, of which there must be none, and networks that no circular shift changes though
nothing is proved of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import torch
from tests.certify.judging import judged

from shiftproof._device import describe_machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=3000)
    parser.add_argument("--first", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "proofs.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    false: list[str] = []
    missed: list[int] = []
    start = time.process_time()
    for seed in range(args.first, args.first + args.networks):
        judgement = judged(seed)
        verdicts[judgement.verdict] += 1
        if judgement.false:
            false.append(judgement.false)
            print(judgement.false, flush=True)
        if judgement.missed:
            missed.append(seed)
            reasons[judgement.ended_by.partition(": ")[2]] += 1
        if (seed - args.first + 1) % 500 == 0:
            print(
                seed - args.first + 1, dict(verdicts), len(false), "false,", len(missed), "missed", flush=True
            )
    invariant = verdicts["all-shifts"] + len(missed)
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "seeds": [args.first, args.first + args.networks],
        "networks": args.networks - verdicts.pop("no network", 0),
        "verdicts": dict(sorted(verdicts.items())),
        "false": false,
        "missed": len(missed),
        "share_of_the_invariant_that_is_missed": round(len(missed) / invariant, 4) if invariant else None,
        "missed_because": dict(reasons.most_common(20)),
        "missed_seeds": missed[:100],
        "cpu_s": round(time.process_time() - start, 1),
    }
    args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(false)} false, {len(missed)} missed of {invariant}; written to {args.out}")


if __name__ == "__main__":
    main()
