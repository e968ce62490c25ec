"""What is proved of every network of the zoo as it is built, with the time that it takes.

python -m benchmarks.certificates
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from shiftproof._device import describe_environment
from shiftproof.certify import certify
from shiftproof.zoo import build_network, networks

RESULT = Path(__file__).parent / "results" / "certificates.json"


def main() -> None:
    rows = []
    for name in networks.names():
        start = time.perf_counter()
        found = certify(build_network(name).eval(), n_images=2).to_dict()
        rows.append(
            {
                "network": name,
                "seconds": round(time.perf_counter() - start, 2),
                "headline": found["headline"],
                "circular": found["circular"],
                "interior": found["interior"],
                "checks": found["checks"],
            }
        )
        print(f"{name}: {found['headline']} ({rows[-1]['seconds']} s)")
    record = {
        "environment": describe_environment(torch.device("cpu")),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "rows": rows,
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
