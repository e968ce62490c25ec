"""A network that can be stopped after its layers, and run on with another tensor: by watching it run.

For what torch.fx cannot follow. Only moments at which a single tensor is alive can be used, and whether that
is so is tried out: with this tensor of one image in its place, the run of another image has to give the
answer to the first, bit by bit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from shiftproof.adapters import Classifier
from shiftproof.anatomy import Motion, Place, Placed, Randomness, Reason
from shiftproof.errors import ModelError
from shiftproof.explain._circular import CircularBorders
from shiftproof.explain._runs import Moment, RunState
from shiftproof.explain._watched_network import N_IMAGES, WatchedNetwork, run, watch_network
from shiftproof.explain._watching import WatchedCall

SHOWN = "shown"


class WatchedRuns:
    """By running the network as it is, and putting a tensor in the place of another.

    Args:
        classifier: A module in evaluation mode.
        images: (N, C, H, W) in [0, 1] on its device; the first ones are used to try moments out.

    Raises:
        ModelError: It draws at random, or does not give the same answer twice.
    """

    def __init__(self, classifier: Classifier, images: Tensor) -> None:
        self.classifier = classifier
        self._images = images[:N_IMAGES]
        self._size_px = (int(images.shape[2]), int(images.shape[3]))
        whole = ((0, self._size_px[0]), (0, self._size_px[1]))
        self._of_images = Place((2, 3), self._size_px, content=whole)
        self._graph: WatchedNetwork = watch_network(classifier, images)
        names = list(self._graph.steps)
        self._steps = list(self._graph.steps.values())
        self.moments = tuple(
            Moment(step.name, step.kind, step.layer, (N_IMAGES, *step.shape))
            for step in self._steps[: names.index(self._graph.answer) + 1]
        )
        self._tried: dict[int, tuple[Place | None] | Reason] = {}
        self._check_repeatable()

    def _check_repeatable(self) -> None:
        """Also for what is seldom drawn: two answers that are equal do not tell that others will be."""
        randomness = Randomness()
        with randomness:
            first, again = (self.run(self._images, (), around=False).logits for _ in range(2))
        what = f"explain {self.classifier.name}"
        if randomness.was_asked:
            raise ModelError.cannot(
                what,
                "it draws at random in evaluation mode",
                cause="Another run may give another answer to the same images.",
            )
        if not torch.equal(first, again):
            raise ModelError.cannot(
                what,
                "it gave two answers to the same images",
                cause="Its answer depends on more than the images, such as the time or earlier runs.",
            )

    def placed(self, index: int) -> Placed:
        """Where the answer of a step lies in the image."""
        if index == 0:
            return self._of_images
        step = self._steps[index]
        if step.space is not None:
            return step.space.place(self._size_px)
        return None if step.is_row else Reason(step.name, "Its answer is neither maps nor one row.")

    def alive_at(self, index: int) -> tuple[Place | None, ...] | Reason:
        """Where the tensor lies that alone is alive after a step; or why it cannot be stopped there."""
        if index not in self._tried:
            self._tried[index] = self._try(index)
        return self._tried[index]

    def loses_nothing(self, index: int, motion: Motion) -> bool:
        """Whether a step gets and gives what has no positions; see `Runs`."""
        inputs = [self._graph.steps[name] for name in self._steps[index].inputs]
        return index > 0 and all(step.is_row for step in (self._steps[index], *inputs))

    def _try(self, index: int) -> tuple[Place | None] | Reason:
        if index == 0:
            return (self._of_images,)
        place = self.placed(index)
        if isinstance(place, Reason):
            return place
        name = self.moments[index].name
        try:
            expected = self.run(self._images, [index], around=False)
            others = self.run(self._images.flip(0), (), around=False)
            found = self.run_on(index, [expected.alive[index][0].clone()], others, around=False)
        except (KeyError, RuntimeError, ModelError):
            return Reason(name, "It is not reached for every image.")
        if not torch.equal(found, expected.logits):
            return Reason(name, "Other tensors are alive after it, or it is overwritten in place.")
        return (place,)

    def run(self, images: Tensor, at: Collection[int], *, around: bool) -> RunState:
        """Run it whole; see `Runs`."""
        wanted = {self.moments[index].name: index for index in at}
        alive: dict[int, tuple[Tensor, ...]] = {0: (images.clone(),)}

        def keep(call: WatchedCall) -> None:
            if call.name in wanted:
                alive[wanted[call.name]] = (call.answer.clone(),)

        shown = self.classifier.shown(images)
        with CircularBorders() if around else nullcontext():
            logits = run(self.classifier, shown.clone(), keep).flatten(1)
        missing = [self.moments[index].name for index in at if index > 0 and index not in alive]
        if missing:
            raise ModelError.cannot(
                f"explain {self.classifier.name}",
                f"for some images it runs without {missing[0]}",
                cause="Its control flow depends on the images.",
            )
        return RunState(alive, logits, {SHOWN: shown})

    def run_on(self, index: int, alive: Sequence[Tensor], record: RunState, *, around: bool) -> Tensor:
        """The logits with this tensor in the place of what a step gives; see `Runs`."""
        if index == 0:
            return self.run(alive[0], (), around=around).logits
        name = self.moments[index].name

        def replace(call: WatchedCall) -> Tensor | None:
            return alive[0] if call.name == name else None

        with CircularBorders() if around else nullcontext():
            return run(self.classifier, record.others[SHOWN].clone(), replace).flatten(1)
