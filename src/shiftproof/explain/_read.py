"""A network to be stopped after its steps: traced where that is possible, else watched."""

from __future__ import annotations

from torch import Tensor

from shiftproof.adapters import Classifier
from shiftproof.anatomy import Reason, read_network
from shiftproof.explain._runs import Runs, TracedRuns
from shiftproof.explain._watched import WatchedRuns


def read_runs(classifier: Classifier, images: Tensor) -> tuple[Runs, tuple[str, ...]]:
    """The network, to be stopped after its steps; and what a reader has to know about how it was read."""
    assert classifier.pipeline is not None
    _, channels, height, width = images.shape
    steps = read_network(classifier.pipeline, (channels, height, width), any_answer=False)
    if not isinstance(steps, Reason) and steps.trace.mixed is None:
        return TracedRuns(classifier, steps), ()
    why = steps if isinstance(steps, Reason) else steps.trace.mixed
    note = f"It was watched and not traced, and can be cut only where one tensor is alive. {why}"
    return WatchedRuns(classifier, images), (note,)
