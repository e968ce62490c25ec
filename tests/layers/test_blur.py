"""BlurPool: what theory says of it, and independent code."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from tests.onnx_export import export_onnx
from torch import nn

from shiftproof.errors import OptionError, ShapeError, ShiftproofError, UnknownNameError
from shiftproof.layers import BlurPool2d
from shiftproof.shifts import BORDERS, Border

# Written by hand: Pascal's triangle.
TAPS = {
    1: [1.0],
    2: [1.0, 1.0],
    3: [1.0, 2.0, 1.0],
    4: [1.0, 3.0, 3.0, 1.0],
    5: [1.0, 4.0, 6.0, 4.0, 1.0],
    6: [1.0, 5.0, 10.0, 10.0, 5.0, 1.0],
    7: [1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0],
}
SCIPY_MODES = {"zeros": "constant", "edge": "nearest", "reflect": "mirror", "circular": "grid-wrap"}
WITHOUT_ZEROS: tuple[Border, ...] = ("edge", "reflect", "circular")


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layer(kernel_size: int, border: Border = "circular", stride: int | tuple[int, int] = 2) -> BlurPool2d:
    return BlurPool2d(3, kernel_size=kernel_size, stride=stride, border=border).double()


# --- theorems --------------------------------------------------------------------------------------


def largest_change_of_the_mean(kernel_size: int) -> float:
    maps, pool = noise(2, 3, 8, 10), layer(kernel_size)
    means = [pool(maps.roll((dy, dx), (2, 3))).mean((2, 3)) for dy, dx in product(range(8), range(10))]
    return max(float((mean - means[0]).abs().max()) for mean in means)


@pytest.mark.parametrize("kernel_size", range(2, 8))
def test_global_mean_is_invariant_to_every_circular_shift(kernel_size: int) -> None:
    """Binomial kernels are zero at the highest frequency: both phases have the same mean."""
    assert largest_change_of_the_mean(kernel_size) <= 1e-12


def test_global_mean_is_not_invariant_without_a_blur() -> None:
    assert largest_change_of_the_mean(1) >= 0.01


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel_size", range(1, 8))
def test_even_kernels_commute_with_flips_and_odd_ones_do_not(kernel_size: int, border: Border) -> None:
    maps, pool = noise(2, 3, 8, 12), layer(kernel_size, border)
    for dims in ([2], [3], [2, 3]):
        error = float((pool(maps.flip(dims)) - pool(maps).flip(dims)).abs().max())
        assert error <= 1e-12 if kernel_size % 2 == 0 else error > 0.1


@pytest.mark.parametrize("kernel_size", range(1, 8))
def test_a_constant_stays_constant_but_for_zeros(kernel_size: int) -> None:
    maps = torch.full((1, 3, 9, 12), 0.7, dtype=torch.float64)
    for border in WITHOUT_ZEROS:
        assert float((layer(kernel_size, border)(maps) - 0.7).abs().max()) <= 1e-15
    darkened = layer(kernel_size, "zeros")(maps)
    torch.testing.assert_close(darkened[:, :, 2:-2, 2:-2], torch.full_like(darkened[:, :, 2:-2, 2:-2], 0.7))
    assert (float(darkened.min()) < 0.6) == (kernel_size > 1)


@pytest.mark.parametrize("stride", [1, 2, 3, (1, 2), (4, 3)])
@pytest.mark.parametrize("kernel_size", [2, 3, 6])
def test_shifts_by_the_stride_are_exact_on_a_circle(kernel_size: int, stride: int | tuple[int, int]) -> None:
    pool, maps = layer(kernel_size, stride=stride), noise(2, 3, 12, 12)
    moved = pool(maps.roll(pool.stride, (2, 3)))
    torch.testing.assert_close(moved, pool(maps).roll((1, 1), (2, 3)), atol=1e-14, rtol=0)


# --- oracles ---------------------------------------------------------------------------------------


def test_convention_by_hand() -> None:
    """Odd kernels are centred at input 2i, even ones at 2i + 1/2."""
    impulses = torch.eye(6, dtype=torch.float64)[:, None, None].expand(6, 1, 1, 6)

    def taps(kernel_size: int, border: Border, i: int) -> list[float]:
        """The weights of all inputs in output i."""
        pool = BlurPool2d(1, kernel_size=kernel_size, stride=(1, 2), border=border).double()
        # One row: a vertical blur of a constant changes nothing under these borders.
        return [float(x) for x in pool(impulses)[:, 0, 0, i]]

    assert taps(1, "edge", 1) == [0, 0, 1, 0, 0, 0]
    assert taps(2, "edge", 1) == [0, 0, 1 / 2, 1 / 2, 0, 0]
    assert taps(3, "edge", 1) == [0, 1 / 4, 1 / 2, 1 / 4, 0, 0]
    assert taps(4, "edge", 1) == [0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0]
    assert taps(3, "edge", 0) == [3 / 4, 1 / 4, 0, 0, 0, 0]
    assert taps(3, "reflect", 0) == [1 / 2, 1 / 2, 0, 0, 0, 0]
    assert taps(3, "circular", 0) == [1 / 2, 1 / 4, 0, 0, 0, 1 / 4]
    assert taps(4, "circular", 2) == [1 / 8, 0, 0, 1 / 8, 3 / 8, 3 / 8]


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel_size", range(1, 8))
@pytest.mark.parametrize(("stride", "size"), [(1, (5, 8)), (2, (8, 9)), (3, (7, 8)), ((1, 4), (2, 3))])
def test_oracle_scipy(
    kernel_size: int, border: Border, stride: int | tuple[int, int], size: tuple[int, int]
) -> None:
    """Also where maps are smaller than the margin: SciPy folds as often as it takes."""
    maps, pool = noise(2, 3, *size), layer(kernel_size, border, stride)
    taps = np.array(TAPS[kernel_size]) / sum(TAPS[kernel_size])
    blurred = maps.numpy()
    for axis in (2, 3):
        # SciPy centres an even kernel half a position early; ours half a position late.
        origin = -1 if kernel_size % 2 == 0 else 0
        mode: Any = SCIPY_MODES[border]
        blurred = ndimage.correlate1d(blurred, taps, axis=axis, mode=mode, origin=origin)
    expected = torch.from_numpy(blurred[:, :, :: pool.stride[0], :: pool.stride[1]].copy())
    torch.testing.assert_close(pool(maps), expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("size", [(16, 12), (15, 13)])
def test_oracle_kornia(kernel_size: int, size: tuple[int, int]) -> None:
    from kornia.filters import BlurPool2D

    maps = noise(2, 3, *size)
    theirs = BlurPool2D(kernel_size, 2)(maps)
    torch.testing.assert_close(layer(kernel_size, "zeros")(maps), theirs, atol=1e-7, rtol=0)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(layer(kernel_size, "reflect")(maps)[inner], theirs[inner], atol=1e-7, rtol=0)


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("size", [(16, 12), (15, 13)])
def test_oracle_timm(kernel_size: int, size: tuple[int, int]) -> None:
    """Odd kernels; for even ones timm gives a row too many."""
    from timm.layers import BlurPool2d as TimmBlurPool2d

    maps = noise(2, 3, *size)
    theirs = TimmBlurPool2d(3, kernel_size, 2).double()(maps)
    torch.testing.assert_close(layer(kernel_size, "reflect")(maps), theirs, atol=1e-7, rtol=0)


def test_even_kernels_give_as_many_outputs_as_odd_ones() -> None:
    from timm.layers import BlurPool2d as TimmBlurPool2d

    maps = noise(1, 3, 8, 8)
    assert TimmBlurPool2d(3, 4, 2).double()(maps).shape[2:] == (5, 5)
    assert layer(4, "reflect")(maps).shape[2:] == (4, 4)


# --- properties ------------------------------------------------------------------------------------


@given(
    size=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    stride=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel_size=st.integers(1, 7),
    border=st.sampled_from(BORDERS),
)
def test_size_is_rounded_up(
    size: tuple[int, int], stride: tuple[int, int], kernel_size: int, border: Border
) -> None:
    answer = BlurPool2d(2, kernel_size=kernel_size, stride=stride, border=border)(torch.zeros(1, 2, *size))
    assert answer.shape == (1, 2, -(-size[0] // stride[0]), -(-size[1] // stride[1]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel_size", [1, 4, 7])
@pytest.mark.parametrize("border", BORDERS)
def test_any_float_dtype(dtype: torch.dtype, kernel_size: int, border: Border) -> None:
    """Taps are exact in every one of them, so whole numbers from a binomial sum are off by rounding only."""
    maps = noise(2, 3, 9, 8).to(dtype)
    pool = BlurPool2d(3, kernel_size=kernel_size, border=border).to(dtype)
    taps = torch.tensor(TAPS[kernel_size], dtype=torch.float64)
    assert torch.equal(pool.kernel[0, 0].double(), torch.outer(taps, taps) / taps.sum() ** 2)
    answer = pool(maps)
    assert answer.dtype == dtype
    expected = layer(kernel_size, border)(maps.double())
    torch.testing.assert_close(answer.double(), expected, atol=4 * torch.finfo(dtype).eps, rtol=0.01)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 2), (3, 2), (4, (1, 3))])
def test_oracle_gradients(border: Border, kernel_size: int, stride: int | tuple[int, int]) -> None:
    maps = noise(1, 3, 5, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer(kernel_size, border, stride), (maps,))
    assert torch.autograd.gradgradcheck(layer(kernel_size, border, stride), (maps,))


def every_kind() -> nn.Sequential:
    """All borders, odd and even kernels, in one chain."""
    kinds = product(BORDERS, (3, 4), ((1, 1), (1, 2)))
    return nn.Sequential(layer(1), *(layer(k, border, stride) for border, k, stride in kinds))


@pytest.mark.slow
def test_compiles_to_one_graph() -> None:
    pool, maps = every_kind(), noise(2, 3, 9, 512)
    torch.compiler.reset()
    compiled = torch.compile(pool, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(maps), pool(maps))


def test_oracle_onnxruntime(tmp_path: Path) -> None:
    pool, maps = every_kind().float(), noise(2, 3, 9, 512).float()
    session = onnxruntime.InferenceSession(export_onnx(pool, maps, tmp_path / "blur.onnx"))
    more = noise(5, 3, 9, 512, seed=1).float()
    (answer,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), pool(more), atol=1e-6, rtol=0)


def test_layout_in_memory_does_not_matter() -> None:
    maps, pool = noise(2, 3, 9, 8), layer(3)
    turned = maps.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(pool(maps), pool(turned))
    assert torch.equal(pool(maps), pool(maps.contiguous(memory_format=torch.channels_last)))


# --- learned kernels -------------------------------------------------------------------------------


def test_a_learned_kernel_starts_binomial_and_stays_normalised() -> None:
    maps = noise(2, 3, 8, 8).float()
    pool = BlurPool2d(3, kernel_size=5, learned=True)
    torch.testing.assert_close(pool(maps), BlurPool2d(3, kernel_size=5)(maps))
    assert [tuple(p.shape) for p in pool.parameters()] == [(3, 1, 5, 5)]
    optimizer = torch.optim.SGD(pool.parameters(), lr=100.0)
    for _ in range(3):
        optimizer.zero_grad()
        pool(maps).square().mean().backward()
        optimizer.step()
    constant = torch.full((1, 3, 8, 8), 0.7)
    torch.testing.assert_close(pool(constant), torch.full((1, 3, 4, 4), 0.7))
    assert not torch.allclose(pool(maps), BlurPool2d(3, kernel_size=5)(maps), atol=0.01)


def test_oracle_gradients_of_a_learned_kernel() -> None:
    pool = BlurPool2d(2, kernel_size=3, learned=True).double()
    (logits,) = pool.parameters()

    def answer(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = torch.func.functional_call(pool, {"logits": weights}, (maps,))
        return output

    inputs = (noise(1, 2, 5, 4).requires_grad_(), logits.detach().requires_grad_())
    assert torch.autograd.gradcheck(answer, inputs)


def test_a_fixed_kernel_is_no_weight() -> None:
    pool = BlurPool2d(3)
    assert not list(pool.parameters())
    assert not pool.state_dict()
    assert repr(pool) == "BlurPool2d(3, kernel_size=3, stride=(2, 2), border='reflect')"
    assert repr(BlurPool2d(3, learned=True)).endswith("border='reflect', learned=True)")


# --- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"channels": 0}, OptionError, "Expected `channels` of at least 1, got 0."),
        ({"kernel_size": 8}, OptionError, "Expected `kernel_size` from 1 to 7, got 8. Use kernel_size=3."),
        ({"kernel_size": 0}, OptionError, "Expected `kernel_size` of at least 1, got 0."),
        ({"kernel_size": 2.0}, OptionError, "Expected `kernel_size` of at least 1, got 2.0."),
        ({"kernel_size": 1, "learned": True}, OptionError, "from 2 to 7, got 1. One tap that sums to one"),
        ({"stride": 0}, OptionError, "Expected `stride` of at least 1, got 0."),
        ({"stride": (2, -1)}, OptionError, "Expected `stride` of at least 1, got -1."),
        ({"stride": (1, 2, 3)}, OptionError, r"as one number or \(down, right\), got \(1, 2, 3\)"),
        ({"border": "mirror"}, UnknownNameError, "Expected the name of a border, got 'mirror'"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[ShiftproofError], match: str) -> None:
    with pytest.raises(error, match=match):
        BlurPool2d(**{"channels": 3, **options})


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((3, 8, 8), r"shape \(N, C, H, W\), got \(3, 8, 8\)"),
        ((1, 4, 8, 8), "Build the layer with channels=4"),
    ],
)
def test_bad_maps(shape: tuple[int, ...], match: str) -> None:
    with pytest.raises(ShapeError, match=match):
        BlurPool2d(3)(torch.zeros(shape))
