"""An explanation in another process: the same network, read again, and the same measurement."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch

from shiftproof.adapters import Classifier, SentClassifier, evaluating, sent
from shiftproof.engine import Engine, Shared
from shiftproof.explain._interventions import Measurement
from shiftproof.explain._read import read_runs
from shiftproof.explain._runs import Runs
from shiftproof.explain._staircase import Subject


def shared_by(
    classifier: Classifier, runs: Runs, measurement: Measurement, engine: Engine
) -> Shared[Subject]:
    """What the batches of an explanation share."""
    here = runs, measurement
    if engine.is_here:
        return Shared.of(here)
    on_cpu = replace(measurement, images=measurement.images.cpu())
    return Shared(here, _There(sent(classifier), on_cpu, torch.get_num_threads()))


@dataclass(frozen=True, eq=False)
class _There:
    """What makes it again. As many threads as here: they decide how sums are split, and so the last bits."""

    model: SentClassifier
    measurement: Measurement
    n_threads: int

    def __call__(self, device: str) -> Subject:
        torch.set_num_threads(self.n_threads)
        place = torch.device(device)
        classifier = self.model.here().to(place)
        _as_long_as_the_process.enter_context(evaluating(classifier.model))
        images = self.measurement.images.to(place)
        runs, _ = read_runs(classifier, images)
        return runs, replace(self.measurement, images=images)


_as_long_as_the_process = ExitStack()
