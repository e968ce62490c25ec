"""The answers of a model to one image under every whole shift, as soon as each is known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from shiftproof._text import said
from shiftproof.adapters import Classifier, Task
from shiftproof.errors import ModelError, OptionError
from shiftproof.probe import Gallery, MethodChoice, Views, choose_method
from shiftproof.serve._exhibit import Exhibit
from shiftproof.serve._maps import Layer, feature_maps, layer_named, layers_of
from shiftproof.serve._told import Still, Told, told
from shiftproof.shifts import Border, Interpolation, find_protocol, translate

# A part of a plane is to take about so long: short enough to answer something else in between.
PART_S = 0.15
MOST_AT_ONCE = 64
GALLERY_AT_ONCE = 16
NO_NUMBER = "The model answers with what is no number, or no direction."


class Cell(NamedTuple):
    """The answer at one shift.

    Args:
        place: Row by row from the top left of the plane.
        answer: None where there is none.
    """

    place: int
    answer: Told | None


class Part(NamedTuple):
    """Some cells of a plane, and why others have no answer."""

    cells: tuple[Cell, ...]
    failure: str = ""


class Shown(NamedTuple):
    """An image on the page.

    Args:
        pixels: uint8 (C, H, W).
        place: Which of the images of the exhibit it is; −1 for another one.
    """

    pixels: Tensor
    place: int = -1


class _Way(NamedTuple):
    choice: MethodChoice
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
        self._galleries: dict[int, Gallery] = {}

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

    def plane(self, model: int, shown: Shown, border: Border) -> Iterator[Part]:
        """All whole shifts of an image: at once where that is exact, else from the middle outwards.

        Args:
            model: Its number in the exhibit.
            shown: The image.
            border: What comes in from outside.
        """
        yield from self._prepared(model)
        choice, views = self.way(model, border)
        image, asked = self._as_shown(shown.pixels), self._asked(model, shown)
        if choice.plan is None:
            yield from self._one_by_one(replace(asked, classifier=choice.classifier), image, views)
            return
        with torch.inference_mode():
            outputs = choice.plan.logits(views.batch(image, slice(0, 1)))[0].float()
            yield _part(self._places(views.offsets_px), asked.told(outputs[1:], asked.still(outputs[0])))

    def single(
        self,
        model: int,
        shown: Shown,
        offset_px: tuple[float, float],
        border: Border,
        interpolation: Interpolation,
    ) -> tuple[Told | None, Tensor]:
        """The answer at any shift, also between pixels, and what the model saw: float32 (C, H, W).

        Raises:
            OptionError: A shift beyond the plane, or `fourier` with a border that is not circular.
            ModelError: The model fails there.
        """
        for _ in self._prepared(model):
            pass
        image, asked = self._as_shown(shown.pixels), self._asked(model, shown)
        moved = self._moved(image, offset_px, border, interpolation)
        with torch.inference_mode():
            still = asked.still(asked.classifier(image)[0] if asked.compares else None)
            (answer,) = asked.told(asked.classifier(moved), still)
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
        shown: Shown,
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
        image = self._as_shown(shown.pixels)
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

    def _prepared(self, model: int) -> Iterator[Part]:
        """Embed the images among which neighbours are looked for, once; parts without cells meanwhile."""
        places = self.exhibit.gallery(model)
        if places is None or model in self._galleries:
            return
        vectors = []
        for rows in torch.split(places, GALLERY_AT_ONCE):
            pixels = self.exhibit.images.take(rows).pixels(slice(0, len(rows)))
            with torch.inference_mode():
                vectors.append(self.exhibit.models[model](pixels.to(self.exhibit.device).float().div_(255)))
            yield Part(())
        self._galleries[model] = Gallery(
            normalize(torch.cat(vectors), dim=-1), places.to(self.exhibit.device)
        )

    def _asked(self, model: int, shown: Shown) -> _Asked:
        known = self.exhibit
        return _Asked(known.models[model], known.tasks[model], self._galleries.get(model), shown.place)

    def _one_by_one(self, asked: _Asked, image: Tensor, views: Views) -> Iterator[Part]:
        places = self._places(views.offsets_px)
        order = views.offsets_px.square().sum(1).argsort(stable=True).tolist()
        canvas = views.batch(image, slice(0, 1)).canvas
        still = asked.still(asked.unshifted(image))
        done, at_once = 0, 1
        while done < len(order):
            chosen = order[done : done + at_once]
            offsets = [(int(dy), int(dx)) for dy, dx in views.offsets_px[chosen].tolist()]
            started = time.perf_counter()
            with torch.inference_mode():
                moved = torch.cat([views.window(canvas, views.corner, offset) for offset in offsets])
                part = asked.part(moved, [places[row] for row in chosen], still)
            yield part
            done += len(chosen)
            per_view_s = (time.perf_counter() - started) / len(chosen)
            at_once = max(1, min(MOST_AT_ONCE, 2 * at_once, int(PART_S / max(per_view_s, 1e-6))))


@dataclass(frozen=True, eq=False)
class _Asked:
    """A model, and what is needed to tell its answers to the views of one image."""

    classifier: Classifier
    task: Task
    gallery: Gallery | None
    place: int

    @property
    def compares(self) -> bool:
        """Whether an answer says how much it is like that to the unshifted image."""
        return self.task.name in ("multi-label", "embedding")

    @torch.inference_mode()
    def unshifted(self, image: Tensor) -> Tensor | None:
        """The answer to the image as it is, where it is compared with and the model gives one."""
        if not self.compares:
            return None
        try:
            return self.classifier(image)[0]
        except (ModelError, RuntimeError, MemoryError):
            return None  # its cell says why

    def still(self, outputs: Tensor | None) -> Still:
        """What its answers are compared with: that to the unshifted image, (K,), if there is one."""
        return Still(outputs, self.place)

    def told(self, outputs: Tensor, still: Still) -> list[Told | None]:
        """Of each row (n, K); None where it is not finite, or no embedding."""
        good = torch.isfinite(outputs).all(1)
        if self.gallery is not None:
            good &= outputs.any(1)
        answers = iter(told(self.task, outputs[good], still, self.gallery))
        return [next(answers) if each else None for each in good.tolist()]

    def part(self, moved: Tensor, places: Sequence[int], still: Still) -> Part:
        """The answers to some views; where the model fails, those of the views at which it does not."""
        try:
            return _part(places, self.told(self.classifier(moved), still))
        except (ModelError, RuntimeError, MemoryError) as error:
            if len(places) == 1:
                return Part((Cell(places[0], None),), said(error))
        parts = [self.part(view[None], [at], still) for view, at in zip(moved, places, strict=True)]
        cells = tuple(cell for part in parts for cell in part.cells)
        return Part(cells, next((part.failure for part in parts if part.failure), ""))


def _part(places: Sequence[int], answers: Sequence[Told | None]) -> Part:
    return Part(tuple(map(Cell, places, answers)), "" if all(answers) else NO_NUMBER)
