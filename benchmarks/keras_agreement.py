"""Whether networks trained here and networks trained by Keras with TensorFlow end equally good.

Usage: python -m benchmarks.keras_agreement [--rows NAME,…] [--seeds N] [--epochs N] [--images N]
                                            [--threads N] [--keras PYTHON] [--runs FOLDER] [--out FILE]

Each row of the article's study is trained with several seeds by both: ours by `shiftproof.fit`, theirs by
keras_training.py, which shares no code with it. All are asked about the same three test sets, which lie
in FOLDER/test-sets.npz. A finished training is a file in FOLDER and is not done again.

The sampling unit is the training run: seeds of the two frameworks have nothing in common, so runs are
not paired, and the interval of a difference of means over runs is Welch's. A network that is good on one
test set is good on another, so the nine differences are not independent; of nine intervals of 95 % each
there would still be one without 0 now and then between equal frameworks. The record has both: intervals
of 95 % each, and wider ones (Bonferroni) that hold 95 % for all of them together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.sets import TEST_SETS, moved
from scipy.stats import ttest_ind

from shiftproof._device import describe_machine
from shiftproof._files import write_atomically
from shiftproof._threads import available_cores, worker_pool
from shiftproof._version import __version__
from shiftproof.data import load_data
from shiftproof.study import load_study
from shiftproof.train import INPUT_SCALES, fit
from shiftproof.zoo import build_network

HERE = Path(__file__).parent
ROWS = ("cnn1", "cnn2", "cnn2-augmented")
WHO = ("ours", "theirs")
CONFIDENCE = 0.95
Result = dict[str, Any]


def write_test_sets(path: Path) -> None:
    """Float images (N, 1, 28, 28) in [0, 1], as Keras wants them: channels last."""
    data, seed = load_data("mnist", "test"), load_study("article").shift_seed
    sets = {name: moved(data, name, seed).permute(0, 2, 3, 1).numpy() for name in TEST_SETS}
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, labels=data.labels.numpy(), allow_pickle=False, **sets)
    unfinished.replace(path)


def train_ours(row: str, seed: int, epochs: int, n_images: int, test_sets: Path, threads: int) -> Result:
    """A training as `shiftproof reproduce` does it; what keras_training.py prints of its own."""
    (arm,) = (arm for arm in load_study("article").arms if arm.name == row)
    recipe = arm.recipe.model_copy(update={"epochs": epochs})
    network = build_network(arm.network, seed=seed, input_scale=INPUT_SCALES[recipe.input_scale])
    with worker_pool(threads) as pool:
        history = fit(network, load_data("mnist", "train").head(n_images), recipe, seed=seed, pool=pool)
    sets = np.load(test_sets)
    labels = torch.from_numpy(sets["labels"])
    accuracy = {}
    with torch.inference_mode():
        for name in TEST_SETS:
            images = torch.from_numpy(sets[name]).permute(0, 3, 1, 2).contiguous()
            answers = torch.cat([network(batch).argmax(1) for batch in torch.split(images, 500)])
            accuracy[name] = round(float((answers == labels).double().mean()), 6)
    return {
        "accuracy": accuracy,
        "training_loss": [round(record.loss, 6) for record in history],
        "torch": torch.__version__,
        "machine": describe_machine(torch.device("cpu")),
    }


def train_theirs(
    row: str, seed: int, epochs: int, n_images: int, test_sets: Path, threads: int, keras: str
) -> Result:
    """The same by Keras, in a process of its own."""
    numbers = map(str, (seed, epochs, n_images))
    found = subprocess.run(
        [keras, "-m", "benchmarks.keras_training", row, *numbers, str(test_sets)],
        cwd=HERE.parent,
        env=os.environ
        | {
            "KERAS_BACKEND": "tensorflow",
            "CUDA_VISIBLE_DEVICES": "",
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": str(threads),
        },
        check=False,
        capture_output=True,  # TensorFlow writes a page about the processor
        text=True,
    )
    if found.returncode:
        raise SystemExit(f"keras_training.py failed:\n{found.stderr}")
    result: Result = json.loads(found.stdout.splitlines()[-1])
    return result


def compare(values: dict[str, list[float]], n_comparisons: int) -> Result:
    """Means over runs, their difference with its intervals, and whether these include 0."""
    ours, theirs = (values[who] for who in WHO)
    test = ttest_ind(ours, theirs, equal_var=False)
    each, all_together = (
        [round(float(end), 6) for end in test.confidence_interval(confidence)]
        for confidence in (CONFIDENCE, 1 - (1 - CONFIDENCE) / n_comparisons)
    )
    means = statistics.mean(ours), statistics.mean(theirs)
    return {
        "ours": round(means[0], 6),
        "theirs": round(means[1], 6),
        "difference": round(means[0] - means[1], 6),
        "interval": each,
        "interval_all_together": all_together,
        "p_value": round(float(test.pvalue), 4),
        "includes_0": each[0] <= 0 <= each[1],
        "includes_0_all_together": all_together[0] <= 0 <= all_together[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--keras", default=str(HERE.parent / ".venv-keras" / "bin" / "python"))
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs" / "keras-agreement")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "keras-agreement.json")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    test_sets = arguments.runs.absolute() / "test-sets.npz"
    if not test_sets.exists():
        write_test_sets(test_sets)

    def trained(who: str, row: str, seed: int) -> Result:
        path = arguments.runs / f"{who}-{row}-{arguments.epochs}x{arguments.images}-seed{seed}.json"
        if not path.exists():
            task = row, seed, arguments.epochs, arguments.images, test_sets, arguments.threads
            result = train_ours(*task) if who == "ours" else train_theirs(*task, arguments.keras)
            write_atomically(path, json.dumps(result) + "\n")
        result = json.loads(path.read_text())
        shown = "  ".join(f"{name} {value:.4f}" for name, value in result["accuracy"].items())
        print(f"{who:6s} {row:14s} seed {seed}: {shown}", flush=True)
        return {"seed": seed, **result}

    # Seed by seed, so that a run that is cut short has something of every row.
    runs: dict[str, dict[str, list[Result]]] = {row: {who: [] for who in WHO} for row in rows}
    for seed in range(arguments.seeds):
        for row in rows:
            for who in WHO:
                runs[row][who].append(trained(who, row, seed))

    n_comparisons = len(rows) * len(TEST_SETS)
    versions = ["-c", "import keras, tensorflow; print(keras.__version__, tensorflow.__version__)"]
    found = subprocess.run([arguments.keras, *versions], check=True, capture_output=True, text=True)
    keras, tensorflow = found.stdout.split()[-2:]
    record = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "versions": {
            "shiftproof": __version__,
            "torch": torch.__version__,
            "keras": keras,
            "tensorflow": tensorflow,
            "python": platform.python_version(),
        },
        "epochs": arguments.epochs,
        "images": arguments.images,
        "seeds": arguments.seeds,
        "confidence": CONFIDENCE,
        "sampling_unit": "training run",
        "interval": "Welch; of each difference, and (Bonferroni) of all differences together",
        "rows": [
            {
                "row": row,
                "test_sets": {
                    name: compare(
                        {who: [run["accuracy"][name] for run in runs[row][who]] for who in WHO},
                        n_comparisons,
                    )
                    for name in TEST_SETS
                },
                "training_loss": compare(
                    {who: [run["training_loss"][-1] for run in runs[row][who]] for who in WHO},
                    n_comparisons,
                ),
                "runs": runs[row],
            }
            for row in rows
        ],
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    for row in record["rows"]:
        for name, found in row["test_sets"].items():
            low, high = found["interval"]
            print(
                f"{row['row']:14s} {name:13s} ours {found['ours']:.4f}  theirs {found['theirs']:.4f}  "
                f"difference {found['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
            )
    print(f"Written to {arguments.out}")


if __name__ == "__main__":
    main()
