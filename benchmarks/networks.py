"""Every network of the zoo beside `cnn2`: parameters, multiply-adds, milliseconds per image.

Usage: python -m benchmarks.networks [--out FILE]

The networks take turns, on one thread; see `shiftproof.study`, whose costs these are.
"""

from __future__ import annotations

import argparse
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from shiftproof._device import describe_machine
from shiftproof.study._costs import measure_costs
from shiftproof.zoo import build_network, networks

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "networks.json")
    options = parser.parse_args()
    names = networks.names()
    costs = measure_costs([build_network(name) for name in names], torch.device("cpu"))
    rows = [
        {"network": name, "n_parameters": networks.get(name).n_parameters, **cost.record().to_dict()}
        for name, cost in zip(names, costs, strict=True)
    ]
    record = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "versions": {**{n: version(n) for n in ("shiftproof", "torch")}, "python": platform.python_version()},
        "rows": rows,
    }
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
