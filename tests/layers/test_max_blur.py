"""MaxBlurPool, the global mean, and both beside independent code."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.onnx_export import export_onnx
from torch import Tensor, nn

from shiftproof.errors import OptionError, ShapeError, UnknownNameError
from shiftproof.layers import BlurPool2d, GlobalMeanPool, MaxBlurPool2d
from shiftproof.shifts import BORDERS, Border


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_convention_by_hand() -> None:
    """Windows of 2 begin at their position: maxima 4 4 0 8 8 of 0 4 0 0 8 0, of which 0, 2 and 4 are kept."""
    maps = torch.tensor([0.0, 4, 0, 0, 8, 0]).expand(1, 1, 2, 6)
    answers = {
        border: [float(x) for x in MaxBlurPool2d(1, stride=(1, 2), border=border)(maps)[0, 0, 0]]
        for border in ("edge", "reflect", "circular")
    }
    assert answers["edge"] == [4, 3, 8]
    assert answers["reflect"] == [4, 3, 8]
    assert answers["circular"] == [3, 3, 6]  # maxima 4 4 0 8 8 0


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [(16, 12), (15, 13)])
@pytest.mark.parametrize(("pool_size", "stride"), [(2, 2), (3, 2), (3, 3)])
def test_oracle_parts(border: Border, size: tuple[int, int], pool_size: int, stride: int) -> None:
    maps = noise(2, 3, *size)
    if border == "circular":
        wrapped = torch.cat([maps, maps[:, :, : pool_size - 1]], 2)
        dense = F.max_pool2d(torch.cat([wrapped, wrapped[..., : pool_size - 1]], 3), pool_size, 1)
    else:
        dense = F.max_pool2d(maps, pool_size, 1)
    pool = MaxBlurPool2d(3, pool_size=pool_size, kernel_size=4, stride=stride, border=border).double()
    expected = BlurPool2d(3, kernel_size=4, stride=stride, border=border).double()(dense)
    torch.testing.assert_close(pool(maps), expected, atol=1e-14, rtol=0)
    learning = maps.clone().requires_grad_()
    torch.testing.assert_close(pool(learning), expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("size", [(16, 12), (15, 13), (7, 8)])
def test_takes_the_place_of_a_max_pool(size: tuple[int, int]) -> None:
    maps = noise(2, 3, *size)
    for pool_size in (2, 3):
        expected = nn.MaxPool2d(pool_size)(maps)
        assert MaxBlurPool2d(3, pool_size=pool_size, stride=pool_size)(maps.float()).shape == expected.shape
        one_tap = MaxBlurPool2d(3, pool_size=pool_size, kernel_size=1, stride=pool_size)
        assert torch.equal(one_tap(maps), expected)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_oracle_kornia(kernel_size: int) -> None:
    from kornia.filters import MaxBlurPool2D

    maps = noise(2, 3, 16, 12)
    theirs = MaxBlurPool2D(kernel_size, 2, 2)(maps)
    ours = MaxBlurPool2d(3, kernel_size=kernel_size, border="zeros").double()(maps)
    inner = (slice(None), slice(None), slice(2, 5), slice(2, 3))
    torch.testing.assert_close(ours[inner], theirs[inner], atol=1e-7, rtol=0)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("pool_size", "kernel_size"), [(2, 3), (3, 4), (2, 5), (2, 4), (3, 3)])
def test_commutes_with_flips_when_the_sum_of_sizes_is_odd(
    pool_size: int, kernel_size: int, border: Border
) -> None:
    maps = noise(2, 3, 12, 16)
    pool = MaxBlurPool2d(3, pool_size=pool_size, kernel_size=kernel_size, border=border).double()
    if border == "circular" and (pool_size + kernel_size) % 2:
        # On a circle the windows of the maximum begin at every position, so that flips meet others.
        moved = pool(maps.flip([3])).flip([3])
        rolls = [moved.roll(d, 3) for d in range(moved.shape[3])]
        assert min(float((roll - pool(maps)).abs().max()) for roll in rolls) <= 1e-12
        return
    error = float((pool(maps.flip([2, 3])) - pool(maps).flip([2, 3])).abs().max())
    assert error <= 1e-12 if (pool_size + kernel_size) % 2 else error > 0.1


def test_mean_after_the_maximum_is_invariant_on_a_circle() -> None:
    """A maximum at every position commutes with rolls; the blur then gives all phases one mean."""
    maps, head = noise(1, 3, 8, 6), GlobalMeanPool()
    shifts = list(product(range(8), range(6)))
    for kernel_size, bound in ((2, 1e-12), (3, 1e-12), (7, 1e-12)):
        pool = MaxBlurPool2d(3, kernel_size=kernel_size, border="circular").double()
        means = torch.stack([head(pool(maps.roll(shift, (2, 3)))) for shift in shifts])
        assert float((means - means[0]).abs().max()) <= bound
    aliased = torch.stack([head(nn.MaxPool2d(2)(maps.roll(shift, (2, 3)))) for shift in shifts])
    assert float((aliased - aliased[0]).abs().max()) >= 0.01


@pytest.mark.parametrize("border", BORDERS)
def test_oracle_gradients(border: Border) -> None:
    pool = MaxBlurPool2d(2, border=border).double()
    assert torch.autograd.gradcheck(pool, (noise(1, 2, 5, 4).requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_any_float_dtype(dtype: torch.dtype) -> None:
    maps = noise(2, 3, 9, 8).to(dtype)
    answer = MaxBlurPool2d(3).to(dtype)(maps)
    assert answer.dtype == dtype
    expected = MaxBlurPool2d(3).double()(maps.double())
    torch.testing.assert_close(answer.double(), expected, atol=4 * torch.finfo(dtype).eps, rtol=0.01)
    means = GlobalMeanPool()(maps)
    assert means.dtype == dtype
    torch.testing.assert_close(means.double(), maps.double().mean((2, 3)), atol=1e-3, rtol=0.01)


def every_border(pool_size: int) -> nn.Sequential:
    pools = [MaxBlurPool2d(3, pool_size=pool_size, stride=(1, 2), border=border) for border in BORDERS]
    return nn.Sequential(*pools, GlobalMeanPool())


def test_compiles_to_one_graph() -> None:
    layers, maps = every_border(2).double(), noise(2, 3, 9, 64)
    torch.compiler.reset()
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(maps), layers(maps))


def test_oracle_onnxruntime(tmp_path: Path) -> None:
    layers = every_border(3)
    exported = export_onnx(layers, noise(2, 3, 9, 64).float(), tmp_path / "max-blur.onnx")
    session = onnxruntime.InferenceSession(exported)
    more = noise(5, 3, 9, 64, seed=1).float()
    (answer,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), layers(more), atol=1e-6, rtol=0)


def test_bad_input() -> None:
    with pytest.raises(OptionError, match=r"Expected `pool_size` of at least 1, got 0\."):
        MaxBlurPool2d(3, pool_size=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'reflect'"):
        MaxBlurPool2d(3, border="reflec")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="Expected feature maps with 3 channels"):
        MaxBlurPool2d(3)(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ShapeError, match=r"shape \(N, C, H, W\), got \(2, 8\)"):
        GlobalMeanPool()(torch.zeros(2, 8))
    with pytest.raises(ShapeError, match="at least 3 × 3 positions, got 2 × 8"):
        MaxBlurPool2d(3, pool_size=3)(torch.zeros(1, 3, 2, 8))
