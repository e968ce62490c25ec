"""The units of a study: a training of an arm, and what a network answers under a protocol."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import torch

from shiftproof.engine import Run, Unit
from shiftproof.probe import measure_response
from shiftproof.shifts import find_protocol
from shiftproof.study._materials import Materials
from shiftproof.study._spec import Arm
from shiftproof.train import INPUT_SCALES, EpochRecord, Progress, fit
from shiftproof.zoo import Network, build_network


def training_unit(materials: Materials, arm: Arm, seed: int) -> Unit:
    """The training of an arm with a seed: all that its result depends on."""
    return Unit(
        "train",
        {
            "network": arm.network,
            "recipe": arm.recipe.model_dump(mode="json"),
            "seed": seed,
            "device": materials.device.type,
            "torch": torch.__version__,
        },
        {"data": materials.training.digest},
    )


def train_arm(
    materials: Materials,
    arm: Arm,
    seed: int,
    checkpoint: Path,
    *,
    pool: Executor,
    on_progress: Callable[[Progress], None],
    check_stop: Callable[[], None],
) -> list[EpochRecord]:
    """Train the network of an arm from its beginning, or go on from a checkpoint; as `fit`."""
    data = materials.training
    network = build_network(
        arm.network,
        seed=seed,
        input_scale=INPUT_SCALES[arm.recipe.input_scale],
        image_shape=data.image_shape,
        n_classes=len(data.class_names),
    )
    return fit(
        network,
        data,
        arm.recipe,
        seed=seed,
        device=materials.device,
        pool=pool,
        checkpoint=checkpoint,
        on_progress=on_progress,
        check_stop=check_stop,
    )


def measured(
    materials: Materials,
    run: Run,
    network_key: str,
    load: Callable[[], Network],
    protocol_name: str,
    *,
    threads: int | None,
) -> Unit:
    """The unit with what a network answers under a protocol, found or measured.

    Args:
        materials: Study and data.
        run: Where the unit is kept.
        network_key: Names the network: equal keys, equal weights.
        load: Gives the network; called only where there is something to measure.
        protocol_name: One of the study's.
        threads: Cores that may be used; all by default.
    """
    protocol, seed = find_protocol(protocol_name), materials.study.shift_seed
    inputs = {"network": network_key, "data": materials.test.digest}
    unit = Unit("probe", {**protocol.identity(), "seed": seed}, inputs)
    if not run.units.has(unit):
        response = measure_response(
            load().to(materials.device),
            materials.test,
            protocol,
            seed=seed,
            device=materials.device,
            threads=threads,
            provenance={**inputs},
        )
        run.units.keep(unit, response.to_bytes())
    return unit
