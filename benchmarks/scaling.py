"""What it costs to have units computed elsewhere: two workers for one, an empty unit, Ray's scheduler.

python -m benchmarks.scaling [unit] [ray] [two_workers]
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from shiftproof._device import describe_environment
from shiftproof.audits import AuditOptions, ask, run_audit
from shiftproof.engine import HERE, Channel, Engine, Shared, Unit, open_run, parse_engine, workers_of
from shiftproof.probe import Response

RESULT = Path(__file__).parent / "results" / "scale.json"
REPEATS = 2
N_IMAGES = 4000
EMPTY_UNITS = 1000
NODES, CORES_EACH = 2, 1


def empty(_: None, channel: Channel) -> None:
    """A unit that does nothing."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds() -> float:
    """Of this process, and of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def audit_seconds(device: str) -> tuple[float, float]:
    """A whole audit, one thread for each worker, from the question to the report: clock and processors."""
    options = AuditOptions(
        protocols=("grid:4",), limit=N_IMAGES, device=device, threads=1, method="direct", pictures=False
    )
    question = ask("zoo:cnn2", "demo:mnist", options)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_run("audit", question.config(), out=Path(folder) / "r") as run,
    ):
        before = cpu_seconds()
        taken = seconds(lambda: run_audit(question, run=run))
        return taken, cpu_seconds() - before


def two_workers() -> dict[str, Any]:
    """In turns, so that a slow minute of the machine meets both."""
    one, two = [], []
    for _ in range(REPEATS):
        one.append(audit_seconds("cpu"))
        two.append(audit_seconds("cpu,cpu"))
    best = min(one)[0] / min(two)[0]
    return {
        "audit": f"zoo:cnn2, {N_IMAGES:,} digits, grid:4, direct, one thread each",
        "one_s": [round(each, 2) for each, _ in one],
        "two_s": [round(each, 2) for each, _ in two],
        "one_cpu_s": [round(each, 2) for _, each in one],
        "two_cpu_s": [round(each, 2) for _, each in two],
        "speed_up": round(best, 3),
        "efficiency": round(best / 2, 3),
        # What two workers do beside the work, such as starting: it holds where others use the machine too.
        "cpu_ratio": round(min(each for _, each in one) / min(each for _, each in two), 3),
    }


def rate(engine: Engine) -> tuple[float, float]:
    """Seconds until a first unit is done, and empty units a second after that."""
    start = time.perf_counter()
    with workers_of(engine, Shared.of(None)) as workers:
        workers.run([empty] * 4)
        started = time.perf_counter() - start
        return started, EMPTY_UNITS / seconds(lambda: workers.run([empty] * EMPTY_UNITS))


def keeping_ms() -> float:
    """To name a unit of an audit, to see that it is not there, and to write it under its seal."""
    options = AuditOptions(protocols=("grid:4",), limit=1000, device="cpu")
    response: Response = run_audit(ask("zoo:cnn2", "demo:mnist", options)).responses["grid:4"]
    content = response.to_bytes()
    with tempfile.TemporaryDirectory() as folder, open_run("r", {}, out=Path(folder) / "r") as run:

        def keep(number: int) -> None:
            unit = Unit("probe", {"rows": [0, 1000], "number": number}, {})
            assert not run.units.has(unit)
            run.units.keep(unit, content)

        times = [seconds(lambda number=number: keep(number)) for number in range(50)]  # type: ignore[misc]
    return 1000 * statistics.median(times)


def on_ray() -> dict[str, Any] | None:
    """On a cluster of several nodes on this machine; None without Ray."""
    if importlib.util.find_spec("ray") is None:
        return None
    from tests.ray_cluster import RayCluster

    with tempfile.TemporaryDirectory() as folder:
        cluster = RayCluster(Path(folder))
        try:
            for _ in range(NODES):
                cluster.add(CORES_EACH)
            command = [sys.executable, "-m", "benchmarks.scaling", f"ray:{cluster.address}"]
            done = subprocess.run(
                command, env=cluster.environment, check=True, capture_output=True, text=True
            )
        finally:
            cluster.close()
    started, per_s = json.loads(done.stdout.splitlines()[-1])
    return {
        "version": importlib.metadata.version("ray"),
        "nodes": NODES,
        "workers": NODES * CORES_EACH,
        "start_s": round(started, 2),
        "empty_units_per_s": round(per_s),
        "ms_per_unit": round(1000 / per_s, 3),
    }


def units() -> dict[str, Any]:
    """What a unit costs beside its work."""
    started, per_s = rate(Engine(workers=2))
    _, here_per_s = rate(HERE)
    return {
        "keep_ms": round(keeping_ms(), 3),
        "here_ms": round(1000 / here_per_s, 4),
        "local_worker_ms": round(1000 / per_s, 3),
        "local_workers": 2,
        "local_start_s": round(started, 2),
        "local_empty_units_per_s": round(per_s),
    }


PARTS: dict[str, Callable[[], dict[str, Any] | None]] = {
    "unit": units,
    "ray": on_ray,
    "two_workers": two_workers,
}


def main(names: Sequence[str]) -> None:
    """Measure these parts, and keep the others: each says when it was measured, and beside what load."""
    record: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in names:
        load = [round(each, 2) for each in os.getloadavg()]
        found = PARTS[name]()
        if found is None:
            continue
        record[name] = {
            **found,
            "empty_units": EMPTY_UNITS,
            "measured": datetime.now(UTC).date().isoformat(),
            "load_before": load,
            "environment": describe_environment(torch.device("cpu")),
        }
        RESULT.write_text(json.dumps(record, indent=1) + "\n")
        print(json.dumps({name: record[name]}, indent=1), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].startswith("ray:"):
        print(json.dumps(rate(parse_engine(sys.argv[1]))))
    else:
        main(sys.argv[1:] or list(PARTS))
