"""The translation-sensitivity map: how far the features of a moved image are from those of the image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from shiftproof._charts import Quantity, draw_curve, draw_map
from shiftproof._figures import drawing
from shiftproof.adapters import Classifier, Model, as_classifier, evaluating
from shiftproof.data import UNKNOWN, Images
from shiftproof.errors import DataError, OptionError
from shiftproof.explain._batches import device_of, float_batches
from shiftproof.explain._layer_answer import Function, layer_function
from shiftproof.metrics import Estimate, NotApplicable, estimate_mean
from shiftproof.records import SensitivityRecord
from shiftproof.shifts import Border, check_border, extend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Offset = tuple[int, int]
# Distances between images are taken among so many: all pairs of more would cost more than the map.
PAIRED_IMAGES = 200
OF_CLASSES = "median distance between images of different classes"
OF_IMAGES = "median distance between different images"


@dataclass(frozen=True, eq=False)
class SensitivityMap:
    """Distances between the features of an image and of the image moved.

    Args:
        layer: Path of the layer; None for the logits.
        offsets_px: int64 (S, 2), (dy, dx), row by row.
        distance: float64 (N, S): ‖g(T x) − g(x)‖₂ ÷ `scale`, unitless.
        cosine: float64 (N, S): cosine of the angle between both, in [−1, 1]; 1 is no change.
        scale: What distances were divided by.
        scale_is: What that is, in words.
    """

    layer: str | None
    offsets_px: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    distance: Floats
    cosine: Floats
    scale: float
    scale_is: str

    @property
    def map(self) -> Floats:
        """S(dy, dx), the mean over images: float64 (2R + 1, 2R + 1); the middle is no shift."""
        return self._square(self.distance)

    @property
    def cosine_map(self) -> Floats:
        """The mean cosine, of the same shape."""
        return self._square(self.cosine)

    def radial(
        self, *, cosine: bool = False, confidence: float = 0.95
    ) -> dict[int, Estimate | NotApplicable]:
        """The mean over all offsets of one max(|dy|, |dx|) in px, with an interval; images are the sample.

        Args:
            cosine: Of the cosines in place of the distances.
            confidence: Nominal coverage.
        """
        radius = np.abs(self.offsets_px).max(1)
        values, bounds = (self.cosine, (-1.0, 1.0)) if cosine else (self.distance, (0.0, None))
        unit = "cosine" if cosine else self.scale_is
        return {
            int(r): estimate_mean(
                values[:, radius == r].mean(1), unit=unit, bounds=bounds, confidence=confidence
            )
            for r in np.unique(radius)
        }

    def record(self) -> SensitivityRecord:
        """Maps and curves, as an explanation holds them; see `Explanation.beside`."""
        return SensitivityRecord(
            layer=self.layer,
            n_images=len(self.distance),
            scale=self.scale,
            scale_is=self.scale_is,
            max_shift_px=int(self.offsets_px.max()),
            map=self.map.tolist(),
            cosine_map=self.cosine_map.tolist(),
            radial={str(r): found for r, found in self.radial().items()},
            radial_cosine={str(r): found for r, found in self.radial(cosine=True).items()},
        )

    def plot(self, *, cosine: bool = False) -> tuple[Figure, list[Axes]]:
        """Draw the map and beside it the mean against the radius, with its interval.

        Args:
            cosine: Of the cosines in place of the distances.

        Raises:
            DataError: A single image, which has no interval.
            MissingDependencyError: matplotlib is not installed.
        """
        others = "classes" if self.scale_is == OF_CLASSES else "images"
        quantity = Quantity("distance", f"× that of other {others}", higher_is_better=False)
        if cosine:
            quantity = Quantity("cosine", "1 = no change")
        values = self.cosine if cosine else self.distance
        curve = {r: e for r, e in self.radial(cosine=cosine).items() if isinstance(e, Estimate)}
        if not curve:
            raise DataError("at least two images to draw", len(self.distance))
        means = values.mean(0)
        points = {
            (float(dy), float(dx)): _Point(mean)
            for (dy, dx), mean in zip(self.offsets_px, means, strict=True)
        }
        with drawing(1, 2, inches=(9.6, 4.0)) as (figure, (left, right)):
            draw_map(left, points, quantity)
            draw_curve(right, curve, quantity)
            figure.suptitle(f"{self.layer or 'logits'}, {len(self.distance)} images", fontsize="medium")
        return figure, [left, right]

    def _square(self, values: Floats) -> Floats:
        side = round(len(self.offsets_px) ** 0.5)
        means: Floats = values.mean(0).reshape(side, side)
        return means


@dataclass(frozen=True, slots=True)
class _Point:
    """A mean to draw as a colour, which shows no interval."""

    value: float

    @property
    def low(self) -> float:
        return self.value

    @property
    def high(self) -> float:
        return self.value


def sensitivity_map(
    model: Model | Classifier,
    data: Images,
    *,
    layer: str | None = None,
    max_shift_px: int = 8,
    border: Border = "zeros",
    batch_size: int = 64,
) -> SensitivityMap | NotApplicable:
    """Compare the features of each image with those of the image under every shift of a square.

    S(dy, dx) is the mean over images of ‖g(T x) − g(x)‖₂ over the median distance between the features of
    unmoved images of different classes: at 1 a shift changes as much as another class does. Images without a
    known class, or of one class alone, are compared with every other image instead, which `scale_is` says.

    Args:
        model: Images (N, C, H, W), float32 in [0, 1]. A module is put in evaluation mode, and comes back as
            it was, without a hook.
        data: The images; distances between them are taken among the first 200.
        layer: Path of a layer as in `named_modules`, or None for the logits. Maps are compared number by
            number.
        max_shift_px: Radius of the square, at least 1 and less than the image.
        border: What comes in from outside.
        batch_size: Images at a time.

    Returns:
        The map; not applicable where the features of all images are the same, so that there is no scale.

    Raises:
        DataError: Fewer than two images.
        OptionError: A radius outside the image, or a layer of a model that is no module.
        UnknownNameError: No such layer or border.

    Convention:
        The distances of a layer are those within that layer alone: norms of vectors of different length do
        not compare. A vector of zeros has cosine 1 with itself and 0 with others.
        Pinned by tests/explain/test_sensitivity.py.

    Source:
        Kauderer-Abrams 2017, arXiv:1801.01450 (the map, its scale and its radial mean); Myburgh et al. 2021
        (the cosine).

    Example:
        >>> from shiftproof.data import load_data
        >>> mass = lambda images: images.sum((2, 3)).repeat(1, 2)
        >>> found = sensitivity_map(mass, load_data("mnist", "test").head(20), max_shift_px=1)
        >>> found.map.shape, bool(found.map.max() < 1e-4)
        ((3, 3), True)
    """
    border = check_border(border)
    if len(data) < 2:
        raise DataError("at least two images, to compare", len(data))
    if not 1 <= max_shift_px < min(data.image_shape[1:]):
        raise OptionError(f"a radius from 1 to {min(data.image_shape[1:]) - 1} px", max_shift_px)
    classifier = as_classifier(model)
    device = device_of(classifier)
    classifier = classifier.to(device)
    with evaluating(classifier.model), torch.inference_mode():
        function = layer_function(classifier, layer)
        unmoved = [
            function(images).flatten(1).float().cpu() for images in float_batches(data, batch_size, device)
        ]
        scale, scale_is = _scale(torch.cat(unmoved)[:PAIRED_IMAGES], data.labels[:PAIRED_IMAGES])
        if scale == 0:
            return NotApplicable(f"the {scale_is} is 0: the features do not tell images apart")
        axis = range(-max_shift_px, max_shift_px + 1)
        square = list(product(axis, axis))
        found = [
            _compare(function, images, before, square, border)
            for images, before in zip(float_batches(data, batch_size, device), unmoved, strict=True)
        ]
    distance, cosine = (np.concatenate([part[i] for part in found]) for i in (0, 1))
    return SensitivityMap(layer, np.array(square, np.int64), distance / scale, cosine, scale, scale_is)


def _compare(
    function: Function, images: Tensor, before: Tensor, square: list[Offset], border: Border
) -> tuple[Floats, Floats]:
    """Distance and cosine of each image under each shift, float64 (n, S)."""
    reach = square[-1][0]
    height, width = images.shape[2:]
    extended = extend(images, (reach, reach), border)
    distances, cosines = [], []
    for dy, dx in square:
        moved = extended[:, :, reach - dy : reach - dy + height, reach - dx : reach - dx + width]
        after = before if (dy, dx) == (0, 0) else function(moved).flatten(1).float().cpu()
        distances.append((after - before).norm(dim=1, dtype=torch.float64))
        cosines.append(_cosine(after, before))
    return torch.stack(distances, 1).numpy(), torch.stack(cosines, 1).numpy()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Between rows, float64; 1 where both are the same, 0 where only one is zero."""
    a, b = a.double(), b.double()
    product_of_norms = a.norm(dim=1) * b.norm(dim=1)
    cosine = (a * b).sum(1) / torch.where(product_of_norms > 0, product_of_norms, 1.0)
    return torch.where((a == b).all(1), 1.0, cosine.clamp(-1, 1))


def _scale(features: Tensor, labels: Tensor) -> tuple[float, str]:
    """The median distance between images, and which images."""
    distances = torch.cdist(features[None].double(), features[None].double())[0]
    pairs = torch.triu(torch.ones_like(distances, dtype=torch.bool), 1)
    known = labels != UNKNOWN
    classes = pairs & known[:, None] & known & (labels[:, None] != labels)
    if bool(classes.any()):
        return _median(distances[classes]), OF_CLASSES
    return _median(distances[pairs]), OF_IMAGES


def _median(values: Tensor) -> float:
    return float(np.median(values.numpy()))
