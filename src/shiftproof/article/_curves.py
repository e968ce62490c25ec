"""Learning curves: which images a network has right before training and after each epoch of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shiftproof._digest import Json
from shiftproof._threads import in_order
from shiftproof.article._lab import Lab, Tensors
from shiftproof.data import LabelledImages
from shiftproof.engine import Unit
from shiftproof.train import Progress, Recipe, fit
from shiftproof.zoo import Network

Floats = npt.NDArray[np.float64]
BATCH = 250


def learning_curves(
    lab: Lab,
    build: Callable[[], Network],
    data: LabelledImages,
    watched: Mapping[str, LabelledImages],
    recipe: Recipe,
    *,
    seed: int,
    label: str,
    start: Mapping[str, Json] | None = None,
) -> Tensors:
    """Train a network and ask it about some images after each epoch; found, or trained and kept.

    Args:
        lab: Where to keep the answers.
        build: Makes the network as it is before training.
        data: Training images.
        watched: Images to ask about, by name. No choice is made by the answers.
        recipe: Settings of the training.
        seed: Of order and dropout.
        label: What is trained, for whoever watches.
        start: What else `build` depends on than the network's name, as in `Lab.trained`.

    Returns:
        For each name bool (epochs + 1, N): which images are right, first of all before training.
    """
    network = build()
    spec = lab.training_spec(network, recipe, seed, start)
    inputs = {"data": data.digest} | {f"watched/{name}": each.digest for name, each in watched.items()}

    def learn() -> Tensors:
        answers: dict[str, list[Tensor]] = {name: [] for name in watched}

        def ask() -> None:
            for name, images in watched.items():
                answers[name].append(right_answers(network, images, lab))

        def tell(progress: Progress) -> None:
            lab.channel.send((label, progress))
            if progress.epoch_done:
                ask()

        network.to(lab.device)
        ask()
        fit(
            network,
            data,
            recipe,
            seed=seed,
            device=lab.device,
            pool=lab.pool,
            on_progress=tell,
            check_stop=lab.channel.check_stop,
        )
        lab.channel.send((label, None))
        return {name: torch.stack(each) for name, each in answers.items()}

    return lab.found_or_made(Unit("curves", spec, inputs), learn)


def right_answers(network: Network, data: LabelledImages, lab: Lab) -> Tensor:
    """Which images a network classifies rightly: bool (N,). It is left in the mode that it was in."""

    @torch.inference_mode()
    def ask(first: int) -> Tensor:
        images = data.images[first : first + BATCH].to(lab.device).float().div_(255)
        answers: Tensor = network(images).argmax(1).cpu() == data.labels[first : first + BATCH]
        return answers

    was_training = network.training
    network.eval()
    batches = [partial(ask, first) for first in range(0, len(data), BATCH)]
    found = in_order(lab.pool, batches) if lab.device.type == "cpu" else [batch() for batch in batches]
    network.train(was_training)
    return torch.cat(found)


def epochs_until(curve: Floats, goal: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """When a learning curve first reaches a goal, on a straight line between two evaluations.

    Args:
        curve: Accuracies (epochs + 1, …), before training first.
        goal: Accuracy to reach, of the shape of one evaluation.

    Returns:
        Epochs (…), and whether the goal is reached (…). Where it is not, all epochs: it takes longer.

    Example:
        >>> curve = np.array([[0.1, 0.1], [0.5, 0.2], [0.7, 0.3]])
        >>> epochs_until(curve, 0.6)
        (array([1.5, 2. ]), array([ True, False]))
    """
    wanted = np.asarray(goal, np.float64)
    reaches = curve >= wanted
    reached: npt.NDArray[np.bool_] = np.asarray(reaches.any(0))
    after = np.maximum(1, reaches.argmax(0))
    low, high = (np.take_along_axis(curve, at[None], 0)[0] for at in (after - 1, after))
    rise = np.where(high > low, high - low, 1.0)
    epochs = after - 1 + np.clip((wanted - low) / rise, 0, 1)
    return np.where(reached, epochs, float(len(curve) - 1)), reached
