"""The answers of a model to one image under every whole shift, as soon as each is known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shiftproof._text import said
from shiftproof.adapters import Classifier, Task
from shiftproof.errors import ModelError, OptionError
from shiftproof.probe import Choice, Views, choose_method
from shiftproof.serve._exhibit import Exhibit
from shiftproof.serve._maps import Layer, feature_maps, layer_named, layers_of
from shiftproof.shifts import Border, Interpolation, find_protocol, translate

# Of up to so many classes all probabilities are told; of more, those of the likeliest few.
ALL_UP_TO, FEW = 10, 5
DECIMALS = 5
# A part of a plane is to take about so long: short enough to answer something else in between.
PART_S = 0.15
MOST_AT_ONCE = 64


class Cell(NamedTuple):
    """The answer at one shift.

    Args:
        place: Row by row from the top left of the plane.
        answer: Class, probability, class, probability, …, the predicted one first and then the likeliest;
            empty where there is none.
    """

    place: int
    answer: tuple[float, ...]


class Part(NamedTuple):
    """Some cells of a plane, and why others have no answer."""

    cells: tuple[Cell, ...]
    failure: str = ""


class _Way(NamedTuple):
    choice: Choice
    views: Views


class Answers:
    """Asks the models of an exhibit. Only one thread may use it at a time.

    Args:
        exhibit: Models and images.
    """

    def __init__(self, exhibit: Exhibit) -> None:
        self.exhibit = exhibit
        self._ways: dict[tuple[int, Border], _Way] = {}
        self._layers: dict[int, tuple[Layer, ...]] = {}

    def way(self, model: int, border: Border) -> _Way:
        """How a model is asked about all shifts; found out once."""
        key = (model, border)
        if key not in self._ways:
            shown = self.exhibit
            protocol = find_protocol(f"grid:{shown.radius_px}", border=border)
            views = Views.draw(protocol, 1, shown.size_px, seed=0)
            choice = choose_method("auto", shown.models[model], views, shown.images, shown.device)
            self._ways[key] = _Way(choice, views)
        return self._ways[key]

    def plane(self, model: int, pixels: Tensor, border: Border) -> Iterator[Part]:
        """All whole shifts of an image: at once where that is exact, else from the middle outwards.

        Args:
            model: Its number in the exhibit.
            pixels: uint8 (C, H, W).
            border: What comes in from outside.
        """
        choice, views = self.way(model, border)
        image = self._as_shown(pixels)
        if choice.plan is None:
            yield from self._one_by_one(model, image, views)
            return
        with torch.inference_mode():
            outputs = choice.plan.logits(views.batch(image, slice(0, 1)))[0, 1:].float()
        yield _part(self.exhibit.tasks[model], self._places(views.offsets_px), outputs)

    def single(
        self,
        model: int,
        pixels: Tensor,
        offset_px: tuple[float, float],
        border: Border,
        interpolation: Interpolation,
    ) -> tuple[tuple[float, ...], Tensor]:
        """The answer at any shift, also between pixels, and what the model saw: float32 (C, H, W).

        Raises:
            OptionError: A shift beyond the plane, or `fourier` with a border that is not circular.
            ModelError: The model fails there.
        """
        moved = self._moved(self._as_shown(pixels), offset_px, border, interpolation)
        with torch.inference_mode():
            (answer,) = ranked(self.exhibit.tasks[model], self.exhibit.models[model](moved))
        return answer, moved[0].cpu()

    def layers(self, model: int) -> tuple[Layer, ...]:
        """The layers whose maps can be shown; found out once."""
        if model not in self._layers:
            shown = self.exhibit
            self._layers[model] = layers_of(shown.models[model], shown.images.image_shape)
        return self._layers[model]

    def maps(
        self,
        model: int,
        pixels: Tensor,
        offset_px: tuple[float, float],
        border: Border,
        interpolation: Interpolation,
        layer: str,
    ) -> list[dict[str, Any]]:
        """The maps of a layer, as `feature_maps` gives them.

        Raises:
            OptionError: No such layer, or a shift as for `single`.
            ModelError: The model fails there.
        """
        image = self._as_shown(pixels)
        moved = self._moved(image, offset_px, border, interpolation)
        found = layer_named(self.layers(model), layer)
        return feature_maps(self.exhibit.models[model], found, image, moved, offset_px)

    def _moved(
        self, image: Tensor, offset_px: tuple[float, float], border: Border, interpolation: Interpolation
    ) -> Tensor:
        if not all(abs(d) <= self.exhibit.radius_px for d in offset_px):
            raise OptionError(f"a shift of at most {self.exhibit.radius_px} px", offset_px)
        return translate(image, offset_px, border=border, interpolation=interpolation)

    def _as_shown(self, pixels: Tensor) -> Tensor:
        return pixels[None].to(self.exhibit.device).float().div_(255)

    def _places(self, offsets_px: Tensor) -> list[int]:
        radius = self.exhibit.radius_px
        return [int((dy + radius) * (2 * radius + 1) + dx + radius) for dy, dx in offsets_px.tolist()]

    def _one_by_one(self, model: int, image: Tensor, views: Views) -> Iterator[Part]:
        classifier, task = self.exhibit.models[model], self.exhibit.tasks[model]
        places = self._places(views.offsets_px)
        order = views.offsets_px.square().sum(1).argsort(stable=True).tolist()
        canvas = views.batch(image, slice(0, 1)).canvas
        done, at_once = 0, 1
        while done < len(order):
            chosen = order[done : done + at_once]
            offsets = [(int(dy), int(dx)) for dy, dx in views.offsets_px[chosen].tolist()]
            started = time.perf_counter()
            with torch.inference_mode():
                moved = torch.cat([views.window(canvas, views.corner, offset) for offset in offsets])
                part = _asked(classifier, task, moved, [places[row] for row in chosen])
            yield part
            done += len(chosen)
            per_view_s = (time.perf_counter() - started) / len(chosen)
            at_once = max(1, min(MOST_AT_ONCE, 2 * at_once, int(PART_S / max(per_view_s, 1e-6))))


def _asked(classifier: Classifier, task: Task, moved: Tensor, places: Sequence[int]) -> Part:
    """The answers to some views; where the model fails, those of the views at which it does not."""
    try:
        return Part(tuple(map(Cell, places, ranked(task, classifier(moved)))))
    except (ModelError, RuntimeError, MemoryError) as error:
        if len(places) == 1:
            return Part((Cell(places[0], ()),), said(error))
    parts = [_asked(classifier, task, view[None], [place]) for view, place in zip(moved, places, strict=True)]
    cells = tuple(cell for part in parts for cell in part.cells)
    return Part(cells, next((part.failure for part in parts if part.failure), ""))


def _part(task: Task, places: Sequence[int], outputs: Tensor) -> Part:
    """The cells of outputs (S, K), without an answer where one is not finite."""
    finite = torch.isfinite(outputs).all(1)
    answers = iter(ranked(task, outputs[finite]))
    cells = tuple(
        Cell(place, next(answers) if good else ())
        for place, good in zip(places, finite.tolist(), strict=True)
    )
    return Part(cells, "" if bool(finite.all()) else "The model answers with what is no number.")


def ranked(task: Task, outputs: Tensor) -> list[tuple[float, ...]]:
    """For each row of outputs (n, K) classes and their probabilities in turn, as in `Cell`.

    Example:
        >>> ranked(Task(), torch.tensor([[0.0, 1.0]]))
        [(1, 0.73106, 0, 0.26894)]
        >>> ranked(Task("binary", "probabilities", 0.9), torch.tensor([[0.75]]))
        [(0, 0.25, 1, 0.75)]
    """
    chances = class_probabilities(task, outputs)
    # By the logits: two probabilities may both be rounded to 1. Of equal ones the first class comes first.
    numbers = chances if task.name == "binary" else outputs.double()
    predicted = task.decided(outputs).long()[:, None]
    numbers = numbers.scatter(1, predicted, torch.inf)
    n_told = chances.shape[1] if chances.shape[1] <= ALL_UP_TO else FEW
    order = numbers.sort(dim=1, descending=True, stable=True).indices[:, :n_told]
    return [
        tuple(number for k, p in zip(classes, row, strict=True) for number in (k, _told(p)))
        for classes, row in zip(order.tolist(), chances.gather(1, order).tolist(), strict=True)
    ]


def class_probabilities(task: Task, outputs: Tensor) -> Tensor:
    """Of each class: float64 (…, K), or (…, 2) of a binary task; outputs (…, K).

    Example:
        >>> class_probabilities(Task("binary", "logits", 0.5), torch.tensor([[0.0]]))
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    chances = task.probabilities(outputs.double())
    return torch.cat([1 - chances, chances], -1) if task.name == "binary" else chances


def _told(chance: float) -> float:
    """A probability with a few decimals, but never 0 or 1 for what is not quite that."""
    least = 10.0**-DECIMALS
    return (
        round(chance, DECIMALS) if chance in (0, 1) else min(max(round(chance, DECIMALS), least), 1 - least)
    )
