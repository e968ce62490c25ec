"""Lie derivatives: against central differences of real shifts, closed forms, and exact equivariance."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shiftproof.adapters import digest_of_module
from shiftproof.data import LabelledImages
from shiftproof.errors import DataError, OptionError, UnknownNameError
from shiftproof.explain import LieDerivative, layer_lie_derivative, lie_derivative, tangent
from shiftproof.layers import BlurPool2d
from shiftproof.metrics import Estimate, NotApplicable
from shiftproof.shifts import translate


@pytest.fixture(scope="module")
def few(digits: LabelledImages) -> LabelledImages:
    return digits.head(4)


def smooth_network() -> nn.Sequential:
    """No kinks: its answer has a derivative everywhere."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=2),
        nn.GELU(),
        nn.Conv2d(4, 6, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(600, 5),
    ).eval()


def circular_network(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    conv = {"padding": 1, "padding_mode": "circular"}
    first, second = nn.Conv2d(1, 4, 3, **conv), nn.Conv2d(4, 4, 3, **conv)  # type: ignore[arg-type]
    return nn.Sequential(
        first, *layers, second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


def value(found: Estimate | NotApplicable) -> float:
    assert isinstance(found, Estimate)
    return found.value


@pytest.mark.parametrize("method", ["forward", "double-backward", "differences"])
def test_it_is_the_limit_of_real_shifts(few: LabelledImages, method: str) -> None:
    """Central differences of `translate` in float64: relative error 1e-6 on a smooth network."""
    network = smooth_network()
    found = lie_derivative(network, few, method=method, precise=True)  # type: ignore[arg-type]
    double, images = copy.deepcopy(network).double(), few.images.double() / 255
    step_px = 1e-4
    for axis, direction in enumerate(((1.0, 0.0), (0.0, 1.0))):
        with torch.no_grad():
            ahead, behind = (
                double(
                    translate(
                        images,
                        [sign * step_px * d for d in direction],
                        border="circular",
                        interpolation="fourier",
                    )
                )
                for sign in (1, -1)
            )
        for ours, theirs in ((found.logits, (ahead - behind)),
                             (found.probs, ahead.softmax(-1) - behind.softmax(-1))):  # fmt: skip
            expected = (theirs / (2 * step_px)).numpy()
            assert np.linalg.norm(ours[:, axis] - expected) < 1e-6 * np.linalg.norm(expected)


def test_the_methods_agree(few: LabelledImages) -> None:
    found = {
        method: lie_derivative(smooth_network(), few, method=method, precise=precise)  # type: ignore[arg-type]
        for method, precise in (("forward", True), ("double-backward", False), ("differences", False))
    }
    exact = found["forward"].logits
    for method, tolerance in (("double-backward", 1e-5), ("differences", 1e-2)):
        assert np.linalg.norm(found[method].logits - exact) < tolerance * np.linalg.norm(exact)
    assert {method: each.how.precision for method, each in found.items()} == {
        "forward": "float64", "double-backward": "float32", "differences": "float32",
    }  # fmt: skip


def test_a_linear_answer_has_a_closed_form(few: LabelledImages) -> None:
    """⟨w, x⟩ with w a wave: the derivative along y is 2πf times that with the wave turned by a quarter."""
    y = torch.arange(28, dtype=torch.float64)[:, None].expand(28, 28)
    cosine, sine = (wave(2 * torch.pi * 3 / 28 * y) for wave in (torch.cos, torch.sin))
    linear = nn.Linear(784, 1, bias=False).double()
    linear.weight = nn.Parameter(cosine.reshape(1, -1))
    network = nn.Sequential(nn.Flatten(), linear)
    found = lie_derivative(network, few, precise=True)
    # The content moves down: w(y) against x(y − t), so that the wave is met later.
    expected = -2 * torch.pi * 3 / 28 * (sine * few.images[:, 0] / 255.0).sum((1, 2))
    assert found.logits[:, 0, 0] == pytest.approx(expected.numpy(), rel=1e-6)
    assert abs(found.logits[:, 1]).max() < 1e-9
    lengths = np.abs(found.logits[:, 0, 0])
    assert value(found.norm("y")) == pytest.approx(lengths.mean())
    assert found.norm("y").unit == "logits per px"  # type: ignore[union-attr]
    assert value(found.mean_abs("y")) == 0


def test_convention_positive_is_down_and_right() -> None:
    """A ramp that gets brighter downwards gets darker as its content moves down."""
    ramp = torch.arange(8.0).reshape(1, 1, 8, 1).expand(1, 1, 8, 8)
    assert tangent(ramp, 0, between="cubic", border="edge")[0, 0, 3, 3] == -1
    assert tangent(ramp, 1, between="cubic", border="edge").abs().max() == 0
    wave = torch.sin(2 * torch.pi * torch.arange(8.0) / 8).reshape(1, 1, 1, 8)
    assert tangent(wave, 1)[0, 0, 0, 0].item() == pytest.approx(-2 * np.pi / 8, rel=1e-5)


@given(
    st.integers(0, 2**30), st.sampled_from([(7, 6), (8, 5)]), st.sampled_from(["zeros", "edge", "reflect"])
)
def test_tangents_are_limits_of_shifts(seed: int, size: tuple[int, int], border: str) -> None:
    images = torch.rand(2, 2, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    step_px = 1e-4
    for axis in (0, 1):
        offset = [step_px * (axis == 0), step_px * (axis == 1)]
        back = [-part for part in offset]
        ahead, behind = (
            translate(images, o, border="circular", interpolation="fourier") for o in (offset, back)
        )
        torch.testing.assert_close(tangent(images, axis), (ahead - behind) / (2 * step_px), rtol=0, atol=1e-5)
        # Bilinear: the mean of the derivatives from both sides.
        ahead, behind = (translate(images, o, border=border) for o in (offset, back))  # type: ignore[arg-type]
        cubic = tangent(images, axis, between="cubic", border=border)  # type: ignore[arg-type]
        torch.testing.assert_close(cubic, (ahead - behind) / (2 * step_px), rtol=0, atol=1e-9)


def test_linear_circular_networks_are_exactly_invariant_and_equivariant(few: LabelledImages) -> None:
    network = circular_network()
    found = lie_derivative(network, few, precise=True)
    assert abs(found.logits).max() < 1e-6
    for layer in ("0", "1"):
        maps = layer_lie_derivative(network, few, layer, precise=True)
        assert not isinstance(maps, NotApplicable)
        assert value(maps.relative("y")) < 1e-6
        assert value(maps.relative("x")) < 1e-6
    assert abs(lie_derivative(network, few).logits).max() < 1e-6


def test_meaning_what_aliases_is_not_equivariant(few: LabelledImages) -> None:
    """A pointwise function makes frequencies that pixels cannot hold; a stride folds them, a blur less."""
    pointwise = layer_lie_derivative(circular_network(nn.GELU()), few, "1", precise=True)
    stride, blurred = (
        layer_lie_derivative(circular_network(layer), few, "1", precise=True)
        for layer in (nn.AvgPool2d(1, 2), BlurPool2d(4, border="circular"))
    )
    assert not isinstance(pointwise, NotApplicable)
    assert not isinstance(stride, NotApplicable)
    assert not isinstance(blurred, NotApplicable)
    assert stride.stride_px == blurred.stride_px == (2, 2)
    assert 1e-3 < value(pointwise.relative("y")) < value(stride.relative("y"))
    assert value(blurred.relative("y")) < value(stride.relative("y")) / 2


def test_maps_that_stand_still_are_off_by_one(few: LabelledImages) -> None:
    class Still(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            torch.manual_seed(1)
            return torch.rand(1, 2, 28, 28, dtype=images.dtype) + 0 * images

    network = nn.Sequential(nn.Identity(), Still(), nn.Flatten(), nn.Linear(1568, 2)).eval()
    found = layer_lie_derivative(network, few, "1")
    assert not isinstance(found, NotApplicable)
    assert value(found.relative("y")) == pytest.approx(1)
    identity = layer_lie_derivative(network, few, "0")
    assert not isinstance(identity, NotApplicable)
    assert value(identity.relative("x")) == 0


def test_unpadded_maps_move_between_cubic_pixels(few: LabelledImages) -> None:
    found = layer_lie_derivative(smooth_network(), few, "0")
    assert found == NotApplicable(
        "the maps of 0 cover 24 × 24 px, so that they do not repeat as the image does; use between='cubic'"
    )
    conv = nn.Sequential(nn.Conv2d(1, 3, 5), nn.Flatten(), nn.Linear(1728, 2))
    exact = layer_lie_derivative(conv, few, "0", between="cubic", border="zeros", precise=True)
    assert not isinstance(exact, NotApplicable)
    assert value(exact.relative("y")) < 1e-9
    assert exact.stride_px == (1, 1)


@pytest.mark.parametrize(
    ("model", "method", "note"),
    [
        (lambda net: lambda x: net(x.detach()), "differences", "forward: the model detaches its answer"),
        (
            lambda net: lambda x: net(torch.from_numpy(x.numpy())),
            "differences",
            "double-backward: Can't call",
        ),
        (lambda net: lambda x: 1 * net(x), "forward", None),
        (lambda net: net, "forward", None),
    ],
)
def test_the_first_method_that_works_is_taken_and_said(
    few: LabelledImages,
    model: Callable[[nn.Module], Callable[[Tensor], Tensor]],
    method: str,
    note: str | None,
) -> None:
    network = smooth_network().requires_grad_(requires_grad=False)
    found = lie_derivative(model(network), few)
    assert found.how.method == method
    assert (found.how.notes == ()) if note is None else any(n.startswith(note) for n in found.how.notes)
    exact = lie_derivative(network, few, precise=True)
    assert np.linalg.norm(found.logits - exact.logits) < 0.01 * np.linalg.norm(exact.logits)


def test_an_operation_without_forward_mode_is_differentiated_twice(few: LabelledImages) -> None:
    class Cubed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
            slope: Tensor = 3 * x**2
            return slope * grad

    torch.manual_seed(0)
    linear = nn.Linear(784, 3).requires_grad_(requires_grad=False)
    found = lie_derivative(lambda x: Cubed.apply(linear(x.flatten(1))), few)  # type: ignore[no-untyped-call]
    exact = lie_derivative(lambda x: linear(x.flatten(1)) ** 3, few)
    assert found.how.method == "double-backward"
    assert exact.how.method == "forward"
    assert found.logits == pytest.approx(exact.logits, rel=1e-4, abs=1e-6)


def test_numbers_compare_with_those_per_unit_of_a_sampling_grid(few: LabelledImages) -> None:
    """`grid_sample` has −1 at the first and 1 at the last pixel with `align_corners`: 13.5 px per unit."""
    found = lie_derivative(smooth_network(), few)
    theta = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    grid = nn.functional.affine_grid(theta, [1, 1, 28, 28], align_corners=True)
    px = (grid[0, :, 0, 1] + 1) * found.px_per_grid_unit("y")
    assert px.tolist() == pytest.approx(list(range(28)), abs=1e-4)


def test_the_model_comes_back_as_it_was(few: LabelledImages) -> None:
    network = smooth_network().train()
    before, modes = digest_of_module(network), [m.training for m in network.modules()]
    gradients = [p.grad for p in network.parameters()]
    for precise in (False, True):
        for method in ("forward", "double-backward", "differences"):
            lie_derivative(network, few, method=method, precise=precise)
        layer_lie_derivative(network, few, "2", between="cubic", border="zeros", precise=precise)
    assert digest_of_module(network) == before
    assert [m.training for m in network.modules()] == modes
    assert [p.grad for p in network.parameters()] == gradients == [None] * 6
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())
    assert all(p.dtype == torch.float32 for p in network.parameters())


def test_same_bytes_and_any_batch_size(few: LabelledImages) -> None:
    first, again, single = (lie_derivative(smooth_network(), few, batch_size=n) for n in (4, 4, 1))
    assert first.logits.tobytes() == again.logits.tobytes()
    assert single.logits == pytest.approx(first.logits, rel=1e-4, abs=1e-6)
    assert first.record().to_dict()["how"] == {
        "between": "fourier", "border": "circular", "method": "forward", "precision": "float32", "notes": [],
    }  # fmt: skip
    one = LieDerivative(first.logits[:1], first.probs[:1], first.size_px, first.how)
    assert isinstance(one.norm("y"), NotApplicable)
    assert one.record().norm["y"] == one.norm("y")


def test_what_has_no_positions_is_not_applicable(few: LabelledImages) -> None:
    network = nn.Sequential(circular_network(), nn.Identity())
    reasons = {layer: layer_lie_derivative(network, few, layer) for layer in ("0", "0.3", "1")}
    assert reasons["0"] == NotApplicable("0 holds several layers; choose one of them")
    for layer in ("0.3", "1"):
        found = reasons[layer]
        assert isinstance(found, NotApplicable)
        assert "no positions" in found.reason
    for between in ("fourier", "cubic"):
        tiny = nn.Sequential(nn.AvgPool2d(14), nn.Flatten())
        assert layer_lie_derivative(tiny, few, "0", between=between) == NotApplicable(
            "the maps of 0 have 2 × 2 positions, too few to move between"
        )


def test_errors(few: LabelledImages) -> None:
    network = smooth_network()
    with pytest.raises(DataError, match="at least one image"):
        lie_derivative(network, few.head(0))
    with pytest.raises(OptionError, match="border 'circular' with interpolation 'fourier', got 'zeros'"):
        lie_derivative(network, few, border="zeros")
    with pytest.raises(UnknownNameError, match="method"):
        lie_derivative(network, few, method="backward")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="interpolation"):
        lie_derivative(network, few, between="bilinear")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="layer"):
        layer_lie_derivative(network, few, "conv")
    with pytest.raises(OptionError, match="no layer for a model that is no module"):
        layer_lie_derivative(lambda x: x.flatten(1), few, "conv")
    with pytest.raises(UnknownNameError, match="axis"):
        lie_derivative(network, few).norm("z")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at least 1 image"):
        lie_derivative(network, few, batch_size=0)
