"""Write the networks that come with the package, from the runs of the studies that trained them.

    python -m benchmarks.package_networks RUN [RUN ...]

Each row of a run becomes `src/shiftproof/zoo/trained/ROW.safetensors`: weights alone, as float16 where that
leaves each accuracy of the table as it is, with the record of the training in the header.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.sets import TEST_SETS, accuracy

from shiftproof.data import load_data
from shiftproof.zoo import load_network, read_checkpoint, write_weights

PACKAGE = Path(__file__).parents[1] / "src" / "shiftproof" / "zoo" / "trained"
LICENCE = "Apache-2.0; trained on MNIST (CC BY-SA 3.0)"
MAX_BYTES = 2_000_000
# One or two of 10,000 answers: the published table has steps of ten.
TOLERANCE = 0.00021


def package(run: Path) -> None:
    """Write every network that a run has trained."""
    config = json.loads((run / "run.json").read_text())["config"]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for event in events:
        if event["event"] == "trained":
            row = event["what"].removesuffix(", seed 0")
            source = run / "units" / f"train-{event['unit'][:32]}.safetensors"
            write(source, row, {"packaged": facts(config, event)})


def facts(config: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """What a run says of a training."""
    study = config["study"]
    return {
        "command": f"shiftproof study {study['name']} --preset {study['preset']} --seeds 1",
        "seconds": None if event.get("resumed") else event["seconds"],
        "finished": event["time"][:10],
        "environment": config["environment"],
        "licence": LICENCE,
    }


def write(source: Path, name: str, more: dict[str, Any]) -> None:
    """Write one network, in half precision where no accuracy changes, and say what it has become."""
    checkpoint = read_checkpoint(source)
    path = PACKAGE / f"{name}.safetensors"
    exact = measured(source)
    for half in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder) / path.name
            write_weights(checkpoint, trial, half=half)
            accuracy = measured(trial)
        if all(abs(accuracy[name] - exact[name]) <= TOLERANCE for name in TEST_SETS):
            break
    more["packaged"]["accuracy"] = accuracy
    write_weights(checkpoint, path, half=half, more=more)
    size = path.stat().st_size
    assert size <= MAX_BYTES, f"{path.name} has {size:,} bytes"
    print(f"{name}: {size:,} bytes, {'float16' if half else 'float32'}, {accuracy}")


def measured(path: Path) -> dict[str, float]:
    """Share of right answers on the article's three test sets."""
    network, test = load_network(path), load_data("mnist", "test")
    return {name: accuracy(network, test, name) for name in TEST_SETS}


if __name__ == "__main__":
    PACKAGE.mkdir(exist_ok=True)
    for folder in sys.argv[1:]:
        package(Path(folder))
