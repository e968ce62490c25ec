"""The Lie derivative: how fast an answer, or a feature map, changes as the image begins to move."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from shiftproof._registry import unknown_name
from shiftproof.adapters import Classifier, Model, as_classifier, evaluating
from shiftproof.anatomy import Place, Reason
from shiftproof.data import Images
from shiftproof.errors import DataError
from shiftproof.explain._batches import device_of, float_batches
from shiftproof.explain._directional import Method, choose_method, directional_derivative
from shiftproof.explain._layer_answer import Function, in_double, layer_function
from shiftproof.explain._read import read_runs
from shiftproof.explain._tangent import Between, tangent
from shiftproof.metrics import Estimate, NotApplicable, estimate_mean
from shiftproof.records import LieRecord
from shiftproof.shifts import Border

Axis = Literal["y", "x"]
AXES: tuple[Axis, ...] = ("y", "x")
# Two positions hold the highest frequency alone, which has no derivative, and no position between neighbours.
FEWEST_POSITIONS = 3
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Differentiation:
    """How a derivative was taken.

    Args:
        between: Which continuous image lies between the pixels; see `tangent`.
        border: What comes in from outside.
        method: See `directional_derivative`.
        precision: `float32` or `float64`.
        notes: Why a method before this one did not work.
    """

    between: Between
    border: Border
    method: Method
    precision: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LieDerivative:
    """The derivative of the answer to the position of the image, at no shift.

    Args:
        logits: float64 (N, 2, K), per px; the axes are y and x, positive as the content moves down and right.
        probs: The same of the softmax.
        size_px: (height, width) of the images.
        how: How it was taken.
    """

    logits: Floats
    probs: Floats
    size_px: tuple[int, int]
    how: Differentiation

    def norm(self, axis: Axis, *, confidence: float = 0.95) -> Estimate | NotApplicable:
        """Mean over images of the length of the derivative of the logits: logits per px; 0 is invariant."""
        lengths = np.linalg.norm(self.logits[:, _number(axis)], axis=-1)
        return estimate_mean(lengths, unit="logits per px", bounds=(0, None), confidence=confidence)

    def mean_abs(self, axis: Axis, *, confidence: float = 0.95) -> Estimate | NotApplicable:
        """Mean over images of the mean absolute derivative of a class probability: per px.

        Source:
            Gruver, Finzi, Goldblum and Wilson 2023, arXiv:2210.02984 (the end-to-end error). Theirs is per
            unit of a sampling grid that is 2 wide: ours times `px_per_grid_unit`. Their images are bilinear
            and mirrored at the border.
        """
        changes = np.abs(self.probs[:, _number(axis)]).mean(-1)
        return estimate_mean(changes, unit="probability per px", bounds=(0, None), confidence=confidence)

    def px_per_grid_unit(self, axis: Axis) -> float:
        """Pixels in one unit of coordinates from −1 at the first to 1 at the last pixel."""
        return (self.size_px[_number(axis)] - 1) / 2

    def record(self) -> LieRecord:
        """The estimates, as an explanation holds them; see `Explanation.beside`."""
        return LieRecord(
            how=asdict(self.how),
            norm={axis: self.norm(axis) for axis in AXES},
            mean_abs={axis: self.mean_abs(axis) for axis in AXES},
            px_per_grid_unit={axis: self.px_per_grid_unit(axis) for axis in AXES},
        )


@dataclass(frozen=True, eq=False)
class LayerLieDerivative:
    """How far the maps of a layer fail to move with the image, at no shift.

    Args:
        layer: Its path.
        stride_px: Pixels from one position to the next, (down, right).
        residual: float64 (N, 2): root mean square of d/dt [T₋ₜ f(Tₜ x)] over positions and channels, per px.
        expected: The same of how maps would change that move with the image.
        how: How it was taken.
    """

    layer: str
    stride_px: tuple[float, float]
    residual: Floats
    expected: Floats
    how: Differentiation

    def relative(self, axis: Axis, *, confidence: float = 0.95) -> Estimate | NotApplicable:
        """Mean over images of residual ÷ expected: 0 moves with the image, 1 is as far off as not to move.

        Images whose maps are the same everywhere have nothing that could move, and are left out.
        """
        residual, expected = self.residual[:, _number(axis)], self.expected[:, _number(axis)]
        moves = expected > 0
        if not moves.any():
            return NotApplicable(f"the maps of {self.layer} are the same at all positions")
        return estimate_mean(
            residual[moves] / expected[moves],
            unit="of the change of maps that move with the image",
            bounds=(0, None),
            confidence=confidence,
        )


def lie_derivative(
    model: Model | Classifier,
    data: Images,
    *,
    between: Between = "fourier",
    border: Border = "circular",
    method: Method | Literal["auto"] = "auto",
    precise: bool = False,
    batch_size: int = 32,
) -> LieDerivative:
    """Differentiate the logits and the softmax by the position of the image, at no shift.

    Args:
        model: Images (N, C, H, W), float in [0, 1], to logits (N, K). A module is put in evaluation mode, and
            comes back as it was.
        data: The images.
        between: Which continuous image lies between the pixels. By default the band-limited one.
        border: What comes in from outside; `circular` with `fourier`.
        method: How to differentiate; `auto` takes the first that works, in the order of `METHODS`.
        precise: Compute in float64, with a copy of the model; a function of others keeps float32.
        batch_size: Images at a time.

    Returns:
        One derivative for each image, axis and class.

    Raises:
        DataError: No images.
        UnknownNameError: Another method or interpolation.
        OptionError: `fourier` with a border that is not circular.
        ShiftproofError: The answer is none, as in `Classifier.checked`.

    Convention:
        Per px, positive as the content moves down or right. ReLU at 0 and ties of max pooling have no
        derivative; there it is the one of the side that torch chooses, except with `differences`.
        Pinned by tests/explain/test_lie.py.

    Source:
        Gruver, Finzi, Goldblum and Wilson 2023, arXiv:2210.02984; differs: band-limited and in px.

    Example:
        >>> from shiftproof.data import load_data
        >>> mean = lambda images: images.mean((2, 3)).repeat(1, 2)
        >>> found = lie_derivative(mean, load_data("mnist", "test").head(3), precise=True)
        >>> bool(abs(found.logits).max() < 1e-6)
        True
    """
    classifier = as_classifier(model)
    with evaluating(classifier.model):
        function, dtype, device = _asked(classifier, data, None, precise)
        how = _how(function, data, between, border, method, dtype, device)
        values, derivatives = [], []
        for images in float_batches(data, batch_size, device, dtype):
            both = _both_axes(function, images, how)
            values.append(both[0][0].double().cpu())
            derivatives.append(torch.stack([derivative for _, derivative in both], 1).double().cpu())
    of_logits = torch.cat(derivatives)
    probs = torch.cat(values).softmax(-1)[:, None]
    of_probs = probs * (of_logits - (probs * of_logits).sum(-1, keepdim=True))
    return LieDerivative(of_logits.numpy(), of_probs.numpy(), data.image_shape[1:], how)


def layer_lie_derivative(
    model: Model | Classifier,
    data: Images,
    layer: str,
    *,
    between: Between = "fourier",
    border: Border = "circular",
    method: Method | Literal["auto"] = "auto",
    precise: bool = False,
    batch_size: int = 32,
) -> LayerLieDerivative | NotApplicable:
    """Differentiate T₋ₜ f(Tₜ x) at t = 0: a layer whose maps move with the image has derivative 0.

    The maps are moved back by t ÷ stride positions, through the same kind of interpolation as the image.

    Args:
        model: As in `lie_derivative`; a module.
        data: The images.
        layer: Path of the layer, as in `named_modules`.
        between: Which continuous image, and which continuous maps, lie between the numbers. With `fourier`
            maps and image have to repeat over the same length. With `cubic` the outermost positions of the
            maps, which have no neighbour, do not count; a stride above 1 px adds the error of the spline.
        border: What comes in from outside; `circular` with `fourier`.
        method: As in `lie_derivative`.
        precise: Compute in float64, with a copy of the model.
        batch_size: Images at a time.

    Returns:
        One residual for each image and axis; not applicable where the answer of the layer has no positions
        or fewer than three along an axis, or maps do not repeat over the length of the image.

    Raises:
        OptionError: The model is no module, or a border that does not fit.
        UnknownNameError: No such layer.
        DataError: No images.

    Source:
        Gruver, Finzi, Goldblum and Wilson 2023, arXiv:2210.02984; differs: relative to the change of maps
        that move, and "not applicable" where a layer has no positions, instead of 0.
    """
    classifier = as_classifier(model)
    with evaluating(classifier.model):
        function, dtype, device = _asked(classifier, data, layer, precise)
        place = _place_of(classifier, data, layer, device)
        if isinstance(place, NotApplicable):
            return place
        lengths = tuple(
            float(stride) * size for stride, size in zip(place.stride_px, place.size, strict=True)
        )
        if between == "fourier" and lengths != data.image_shape[1:]:
            return NotApplicable(
                f"the maps of {layer} cover {lengths[0]:g} × {lengths[1]:g} px, so that they do not repeat "
                "as the image does; use between='cubic'"
            )
        how = _how(function, data, between, border, method, dtype, device)
        found = [
            _residuals(_both_axes(function, images, how), place, how)
            for images in float_batches(data, batch_size, device, dtype)
        ]
    residual, expected = (np.concatenate([part[i] for part in found]) for i in (0, 1))
    stride_px = (float(place.stride_px[0]), float(place.stride_px[1]))
    return LayerLieDerivative(layer, stride_px, residual, expected, how)


def _asked(
    classifier: Classifier, data: Images, layer: str | None, precise: bool
) -> tuple[Function, torch.dtype, torch.device]:
    """What to differentiate, in which precision, and where the model is."""
    if not len(data):
        raise DataError("at least one image", "none")
    device = device_of(classifier)
    classifier = classifier.to(device)
    double = in_double(classifier) if precise else None
    dtype = torch.float32 if double is None else torch.float64
    return layer_function(double or classifier, layer), dtype, device


def _how(
    function: Function,
    data: Images,
    between: Between,
    border: Border,
    method: Method | Literal["auto"],
    dtype: torch.dtype,
    device: torch.device,
) -> Differentiation:
    first = next(float_batches(data, 1, device, dtype))
    direction = tangent(first, 0, between=between, border=border)
    notes: tuple[str, ...] = ()
    if method == "auto":
        method, notes = choose_method(function, first, direction)
    return Differentiation(between, border, method, str(dtype).removeprefix("torch."), notes)


def _both_axes(function: Function, images: Tensor, how: Differentiation) -> list[tuple[Tensor, Tensor]]:
    directions = [tangent(images, axis, between=how.between, border=how.border) for axis in (0, 1)]
    return [directional_derivative(function, images, each, how.method) for each in directions]


def _place_of(
    classifier: Classifier, data: Images, layer: str, device: torch.device
) -> Place | NotApplicable:
    first = next(float_batches(data, 2, device))
    runs, _ = read_runs(classifier, first.expand(2, -1, -1, -1))
    calls = [index for index, moment in enumerate(runs.moments) if moment.layer == layer]
    if not calls:
        return NotApplicable(f"{layer} holds several layers; choose one of them")
    place = runs.placed(calls[0])
    if place is None or isinstance(place, Reason):
        return NotApplicable(f"the answer of {layer} has no positions that belong to places of the image")
    if min(place.size) < FEWEST_POSITIONS:
        rows, columns = place.size
        return NotApplicable(
            f"the maps of {layer} have {rows} × {columns} positions, too few to move between"
        )
    return place


def _residuals(
    both: list[tuple[Tensor, Tensor]], place: Place, how: Differentiation
) -> tuple[Floats, Floats]:
    """Root mean squares of the residual and of what was expected, each float64 (n, 2)."""
    residuals, expected = [], []
    for axis, (value, derivative) in enumerate(both):
        # What is moved back by −t ÷ stride changes by minus the tangent, once every stride.
        moving = tangent(place.maps(value), axis, between=how.between, border=how.border)
        moving = moving / float(place.stride_px[axis])
        rest = place.maps(derivative) - moving
        residuals.append(_root_mean_square(rest, how.between))
        expected.append(_root_mean_square(moving, how.between))
    return np.stack(residuals, 1), np.stack(expected, 1)


def _root_mean_square(maps: Tensor, between: Between) -> Floats:
    inner = maps[:, :, 1:-1, 1:-1] if between == "cubic" else maps
    rms: Floats = inner.double().square().mean((1, 2, 3)).sqrt().cpu().numpy()
    return rms


def _number(axis: Axis) -> int:
    if axis not in AXES:
        raise unknown_name("axis", axis, AXES)
    return AXES.index(axis)
