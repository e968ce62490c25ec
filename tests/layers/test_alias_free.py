"""Alias-free layers: exact for the shifts that theory names, and measured for the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from scipy import signal
from tests.onnx_export import export_onnx
from torch import Tensor, nn

from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import AliasFreeActivation, LowPassPool2d
from shiftproof.shifts import translate

FRACTIONS = ((0.0, 0.5), (0.25, -0.7), (3.1, 1.9))
HALVES = ((0.0, 0.5), (1.5, 2.0), (-0.5, 3.5))


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def without_highest(maps: Tensor) -> Tensor:
    """Maps without the highest frequency of axes of even length: what a fractional shift can move."""
    for dim in (2, 3):
        n = maps.shape[dim]
        if n % 2 == 0:
            shape = [n if axis == dim else 1 for axis in range(4)]
            wave = ((-1.0) ** torch.arange(n, dtype=torch.float64)).reshape(shape)
            maps = maps - wave * (maps * wave).mean(dim, keepdim=True)
    return maps


def moved(maps: Tensor, offset: tuple[float, float]) -> Tensor:
    return translate(maps, offset, border="circular", interpolation="fourier")


def error(layer: Callable[[Tensor], Tensor], maps: Tensor, offsets: tuple[tuple[float, float], ...]) -> float:
    """Largest difference between moving before and after a layer."""
    return max(float((layer(moved(maps, o)) - moved(layer(maps), o)).abs().max()) for o in offsets)


# --- theorems --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (8, 9), (1, 2)])
@pytest.mark.parametrize(("degree", "factor"), [(2, 2), (3, 2), (5, 3), (7, 4)])
def test_polynomials_commute_with_every_fraction(size: tuple[int, int], degree: int, factor: int) -> None:
    """Degree d fits where d ≤ 2 · factor − 1."""
    layer = AliasFreeActivation(lambda maps: maps**degree - maps, factor=factor)
    maps = without_highest(noise(2, 3, *size))
    assert error(layer, maps, FRACTIONS) <= 1e-14 * max(10.0, float(layer(maps).abs().max()))


@pytest.mark.parametrize(("degree", "factor"), [(4, 2), (6, 3)])
def test_polynomials_of_one_degree_more_do_not(degree: int, factor: int) -> None:
    layer = AliasFreeActivation(lambda maps: maps**degree, factor=factor)
    assert error(layer, noise(2, 3, 7, 9), FRACTIONS) > 1e-3


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (8, 9)])
def test_any_activation_commutes_with_shifts_of_the_fine_grid(size: tuple[int, int]) -> None:
    maps = without_highest(noise(2, 3, *size))
    assert error(AliasFreeActivation(nn.ReLU()), maps, HALVES) <= 1e-13
    thirds = ((1 / 3, 0.0), (2 / 3, -4 / 3))
    assert error(AliasFreeActivation(nn.ReLU(), factor=3), maps, thirds) <= 1e-13
    assert error(nn.ReLU(), maps, HALVES) > 0.1


def test_error_of_relu_falls_with_the_factor() -> None:
    maps = without_highest(noise(2, 3, 16, 16))
    plain = error(nn.ReLU(), maps, FRACTIONS)
    errors = [error(AliasFreeActivation(nn.ReLU(), factor=f), maps, FRACTIONS) for f in (2, 4, 8)]
    assert plain > 0.3
    assert errors[0] < plain / 3
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


@pytest.mark.parametrize("size", [(8, 12), (12, 16), (9, 12)])
@pytest.mark.parametrize("stride", [2, 3, (1, 4)])
def test_a_shift_before_the_pool_is_a_smaller_one_after_it(
    size: tuple[int, int], stride: int | tuple[int, int]
) -> None:
    pool, maps = LowPassPool2d(stride), noise(2, 3, *size)
    smaller = pool(maps)
    assert smaller.shape[2:] == (-(-size[0] // pool.stride[0]), -(-size[1] // pool.stride[1]))
    scale = [after / before for after, before in zip(smaller.shape[2:], size, strict=True)]
    for dy, dx in ((1.0, 0.0), (-1.0, 3.0), (0.3, 0.6)):
        expected = moved(smaller, (dy * scale[0], dx * scale[1]))
        torch.testing.assert_close(pool(moved(maps, (dy, dx))), expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(smaller.mean((2, 3)), maps.mean((2, 3)), atol=1e-14, rtol=0)


# --- oracles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(9, 15), (8, 12)])
def test_oracle_scipy_resample(size: tuple[int, int]) -> None:
    """Ideal resampling; on axes of even length SciPy keeps the highest frequency."""
    maps = without_highest(noise(2, 3, *size))
    fine = signal.resample(signal.resample(maps.numpy(), 2 * size[0], axis=2), 2 * size[1], axis=3)
    seen: list[Tensor] = []

    def keep(up: Tensor) -> Tensor:
        seen.append(up)
        return up

    back = AliasFreeActivation(keep)(maps)
    np.testing.assert_allclose(seen[0].numpy(), fine, atol=1e-12)
    torch.testing.assert_close(back, maps, atol=1e-13, rtol=0)
    third = signal.resample(signal.resample(maps.numpy(), size[0] // 3, axis=2), size[1] // 3, axis=3)
    if size == (9, 15):  # 3 and 5 positions: odd, so nothing has to be left out
        np.testing.assert_allclose(LowPassPool2d(3)(maps).numpy(), third, atol=1e-12)


def test_convention_by_hand() -> None:
    """sin² = (1 − cos)/2, and a wave of 2 cycles on 8 positions is one of 2 cycles on 4: left out there."""
    angle = 2 * torch.pi * torch.arange(8, dtype=torch.float64) / 8
    wave = angle.sin().expand(1, 1, 8, 8)
    squared = AliasFreeActivation(torch.square)(wave)
    torch.testing.assert_close(squared, ((1 - (2 * angle).cos()) / 2).expand(1, 1, 8, 8))
    expected = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    torch.testing.assert_close(LowPassPool2d()(squared), expected)
    torch.testing.assert_close(LowPassPool2d()(wave), wave[:, :, ::2, ::2])
    checkerboard = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(4).expand(1, 1, 8, 8)
    assert float(AliasFreeActivation(nn.Identity())(checkerboard).abs().max()) <= 1e-15


def test_oracle_gradients() -> None:
    layers = nn.Sequential(AliasFreeActivation(torch.tanh), LowPassPool2d((1, 2)))
    for size in ((4, 6), (5, 3)):
        assert torch.autograd.gradcheck(layers, (noise(1, 2, *size).requires_grad_(),))


# --- types and tools -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_any_float_dtype(dtype: torch.dtype) -> None:
    maps = noise(2, 3, 8, 9).to(dtype)
    for layer in (AliasFreeActivation(nn.ReLU()), LowPassPool2d()):
        answer = layer(maps)
        assert answer.dtype == dtype
        # Half precision is rounded once, at the end.
        expected = layer(maps.double())
        torch.testing.assert_close(answer.double(), expected, atol=1e-5, rtol=torch.finfo(dtype).eps)


def test_compiles_to_one_graph() -> None:
    layers, maps = nn.Sequential(AliasFreeActivation(nn.ReLU()), LowPassPool2d()), noise(2, 3, 8, 9)
    torch.compiler.reset()
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(maps), layers(maps))


def test_oracle_onnxruntime(tmp_path: Path) -> None:
    layers, maps = nn.Sequential(AliasFreeActivation(nn.ReLU()), LowPassPool2d()), noise(2, 3, 8, 9).float()
    session = onnxruntime.InferenceSession(export_onnx(layers, maps, tmp_path / "free.onnx"))
    (answer,) = session.run(None, {session.get_inputs()[0].name: maps.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), layers(maps), atol=1e-5, rtol=0)


def test_bad_input() -> None:
    with pytest.raises(
        OptionError, match=r"Expected `factor` of at least 2, got 1\. A grid as fine as before"
    ):
        AliasFreeActivation(nn.ReLU(), factor=1)
    with pytest.raises(OptionError, match="Expected `activation` to be a function of a tensor, got 'relu'"):
        AliasFreeActivation("relu")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="Expected `stride` of at least 1, got 0"):
        LowPassPool2d(0)
    with pytest.raises(ShapeError, match=r"shape \(N, C, H, W\), got \(3, 8\)"):
        AliasFreeActivation(nn.ReLU())(torch.zeros(3, 8))
    assert repr(AliasFreeActivation(nn.ReLU())).startswith("AliasFreeActivation(\n  factor=2\n")
