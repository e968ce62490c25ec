"""Units that take a moment, and processes that compute them, for faults that come often."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from shiftproof._text import record_text
from shiftproof.engine import Channel, Engine, Run, Shared, Unit, execute, open_run, parse_engine
from shiftproof.errors import ShiftproofError

CONFIG = {"what": "numbers by their seed"}


def unit(seed: int) -> Unit:
    return Unit("numbers", {"seed": seed}, {})


def make(seconds: float, channel: Channel, *, seed: int, run: Run) -> int:
    """The unit, by parts with a moment in between; its process."""
    if run.units.has(unit(seed)):
        return os.getpid()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        channel.check_stop()
        time.sleep(0.002)
    drawn = np.random.default_rng(seed).standard_normal(20_000)
    run.units.keep(unit(seed), save({"numbers": drawn}))
    channel.send(os.getpid())
    return os.getpid()


def compute(out: Path, n_units: int, seconds: float, engine: Engine) -> None:
    """All units of a run, and its report."""
    with open_run("numbers", CONFIG, out=out) as run:
        tasks = [partial(make, seed=seed, run=run) for seed in range(n_units)]
        for result in execute(tasks, Shared.of(seconds), engine=engine):
            if isinstance(result, ShiftproofError):
                raise result
        run.write_report(record_text({"units": [unit(seed).key for seed in range(n_units)]}))


def contents(out: Path) -> dict[str, bytes]:
    """The report and every finished unit."""
    units = sorted((out / "units").glob("numbers-*.safetensors"))
    return {path.name: path.read_bytes() for path in [out / "report.json", *units]}


if __name__ == "__main__":
    folder, how_many, how_long, where, n_workers = sys.argv[1:]
    chosen = parse_engine(where, workers=int(n_workers) or None)
    compute(Path(folder), int(how_many), float(how_long), chosen)
