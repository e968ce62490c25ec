"""Detail-preserving pools: the definition by hand, both limits, how far they are from shift-invariant."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.onnx_export import export_onnx
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d
from torch.testing import assert_close

from shiftproof.errors import OptionError, ShapeError, UnknownNameError
from shiftproof.layers import DETAIL_KINDS, DetailKind, DetailPreservingPool2d

VARIANTS = list(itertools.product(DETAIL_KINDS, (True, False)))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pool_of(
    channels: int, kind: DetailKind = "lite", symmetric: bool = True, stride: int | tuple[int, int] = 2
) -> DetailPreservingPool2d:
    """A pool in float64 whose parameters are not all alike."""
    pool = DetailPreservingPool2d(channels, kind=kind, symmetric=symmetric, stride=stride).double()
    for seed, parameter in enumerate(pool.parameters(), start=10):
        parameter.data += 0.3 * noise(*parameter.shape, seed=seed)
    return pool


def with_powers(pool: DetailPreservingPool2d, log_alpha: float, log_lambda: float) -> DetailPreservingPool2d:
    pool.log_alpha.data.fill_(log_alpha)
    pool.log_lambda.data.fill_(log_lambda)
    return pool.double()


def one_by_one(pool: DetailPreservingPool2d, features: Tensor, over: str = "mean") -> Tensor:
    """The definition, window by window, in plain numbers."""
    (sy, sx), values = pool.stride, features.numpy()
    n, channels, height, width = values.shape
    log_alpha, log_lambda = pool.log_alpha.tolist(), pool.log_lambda.tolist()
    answer = np.zeros((n, channels, height // sy, width // sx))
    bordered = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for i, c, y, x in np.ndindex(*answer.shape):
        window = values[i, c, y * sy : (y + 1) * sy, x * sx : (x + 1) * sx]
        coarse = window.mean()
        if pool.coarse_filter is not None:
            taps = pool.coarse_filter[c, 0].detach().numpy()
            coarse = (bordered[i, c, y * sy : y * sy + 3, x * sx : x * sx + 3] * taps).sum()
        d = window - coarse
        v = (d if pool.symmetric else np.maximum(d, 0)) ** 2 + 1e-3
        r = v / (v.mean() if over == "mean" else v.sum())
        w = r ** (np.exp(log_lambda[c]) / 2) + np.exp(log_alpha[c])
        answer[i, c, y, x] = (window * w).mean() / w.mean()
    return torch.from_numpy(answer)


@pytest.mark.parametrize(("kind", "symmetric"), VARIANTS)
@pytest.mark.parametrize("stride", [2, (1, 3)])
def test_oracle_the_definition_in_plain_numbers(
    kind: DetailKind, symmetric: bool, stride: int | tuple[int, int]
) -> None:
    pool, features = pool_of(3, kind, symmetric, stride), noise(2, 3, 6, 6)
    assert_close(pool(features).detach(), one_by_one(pool, features))


def test_convention_by_hand() -> None:
    """Mean 1, d = −1, −1, −1, 3; v = 1.001 thrice and 9.001, mean 3.001; r = 0.33356 and 2.99933;
    w = √r + 1 = 1.57754 and 2.73186; answer 4 · 2.73186 / 7.46449. Not symmetric: v = 0.001 and 9.001,
    mean 2.251; √r = 0.02108 and 1.99967; answer 4 · 2.99967 / 6.06290."""
    window = torch.tensor([[[[0.0, 0.0], [0.0, 4.0]]]], dtype=torch.float64)
    for symmetric, expected in ((True, 1.46392), (False, 1.97903)):
        pool = DetailPreservingPool2d(1, symmetric=symmetric).double()
        assert float(pool(window).detach()) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(("kind", "symmetric"), VARIANTS)
def test_limits_that_are_a_mean_pool(kind: DetailKind, symmetric: bool) -> None:
    features = noise(2, 3, 8, 8)
    for powers in ((0, -40), (40, 0)):  # λ → 0; α → ∞
        pool = with_powers(DetailPreservingPool2d(3, kind=kind, symmetric=symmetric), *powers)
        assert_close(pool(features).detach(), avg_pool2d(features, 2), rtol=0, atol=1e-14)


def test_limit_that_is_a_max_pool() -> None:
    """λ → ∞ and α → 0: the pixel farthest above the mean of its window is its largest."""
    features = (
        torch.randperm(2 * 3 * 64, generator=torch.Generator().manual_seed(0)).view(2, 3, 8, 8).double()
    )
    pool = with_powers(DetailPreservingPool2d(3, symmetric=False), -800, 12)
    assert_close(pool(features).detach(), max_pool2d(features, 2), rtol=0, atol=1e-12)


def test_limit_that_is_the_most_marked_pixel() -> None:
    dark = torch.tensor([[[[5.0, 5.0], [0.0, 5.0]]]], dtype=torch.float64)
    symmetric, upwards = (
        with_powers(DetailPreservingPool2d(1, symmetric=flag), -800, 12) for flag in (True, False)
    )
    assert float(symmetric(dark).detach()) == pytest.approx(0, abs=1e-12)
    assert float(upwards(dark).detach()) == pytest.approx(5, abs=1e-12)


def test_meaning_a_larger_power_keeps_more_of_a_detail() -> None:
    dot = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    dot[..., 1, 0] = 1
    answers = [
        float(with_powers(DetailPreservingPool2d(1), 0, log_lambda)(dot).detach())
        for log_lambda in (-9, -1, 0, 1, 2)
    ]
    assert answers == sorted(answers)
    assert answers[0] == pytest.approx(0.25, abs=1e-4)
    assert answers[-1] > 0.8


def test_the_kernel_that_divides_by_the_sum_is_this_pool_for_another_alpha() -> None:
    """r is a quarter of ours there; α · 4^(λ/2) here makes up for it."""
    pool, features = pool_of(3), noise(2, 3, 6, 6)
    by_sum = one_by_one(pool, features, over="sum")
    pool.log_alpha.data += np.log(4) * pool.log_lambda.data.exp() / 2
    assert_close(pool(features).detach(), by_sum)


@given(st.integers(0, 500), st.sampled_from(VARIANTS), st.floats(-3, 6), st.floats(-9, 9))
def test_answers_lie_inside_their_window(
    seed: int, variant: tuple[DetailKind, bool], log_lambda: float, log_alpha: float
) -> None:
    """It is a weighted mean, whatever was learned; so a constant stays a constant, up to the border."""
    kind, symmetric = variant
    pool = with_powers(DetailPreservingPool2d(1, kind=kind, symmetric=symmetric), log_alpha, log_lambda)
    features = 10 * noise(1, 1, 6, 6, seed=seed)
    answers = pool(features).detach()
    assert bool((answers <= max_pool2d(features, 2) + 1e-12).all())
    assert bool((answers >= -max_pool2d(-features, 2) - 1e-12).all())
    assert_close(pool(torch.full_like(features, 7)).detach(), torch.full_like(answers, 7))


@pytest.mark.parametrize(("kind", "symmetric"), VARIANTS)
def test_gradients(kind: DetailKind, symmetric: bool) -> None:
    pool = pool_of(2, kind, symmetric)
    features = noise(1, 2, 4, 6).requires_grad_()
    names = [name for name, _ in pool.named_parameters()]

    def answer(features: Tensor, *values: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(pool, dict(zip(names, values, strict=True)), (features,))
        return result

    assert torch.autograd.gradcheck(answer, (features, *pool.parameters()))


def test_large_powers_stay_finite_in_float32() -> None:
    """4^(λ/2) overflows from λ = 128 on; training meets such a λ in raw pixels."""
    pool = DetailPreservingPool2d(1)
    pool.log_lambda.data.fill_(7)  # λ = 1097
    features = (255 * noise(1, 1, 8, 8)).float().requires_grad_()
    pool(features).sum().backward()
    gradients = [features.grad, *(p.grad for p in pool.parameters())]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    features = (300 * noise(2, 3, 8, 8)).to(dtype)  # squares beyond the largest float16
    pool = DetailPreservingPool2d(3, kind="full").to(dtype)
    exact = DetailPreservingPool2d(3, kind="full").float()
    exact.load_state_dict(pool.state_dict())
    answer = pool(features)
    assert answer.dtype == dtype
    # One rounding of the answer; α and λ are 1 and exact.
    assert_close(answer.float(), exact(features.float()), rtol=torch.finfo(dtype).eps, atol=1e-2)


def test_odd_sizes_lose_what_fills_no_window() -> None:
    pool, features = pool_of(2), noise(1, 2, 7, 9)
    assert pool(features).shape == max_pool2d(features, 2).shape == (1, 2, 3, 4)
    assert_close(pool(features), pool(features[:, :, :6, :8]))


@pytest.mark.slow
def test_compiled_and_exported(tmp_path: Path) -> None:
    pool, features = DetailPreservingPool2d(2, kind="full", symmetric=False).eval(), noise(3, 2, 8, 6).float()
    expected = pool(features).detach()
    assert_close(torch.compile(pool, backend="aot_eager", fullgraph=True)(features), expected)
    session = onnxruntime.InferenceSession(export_onnx(pool, features[:2], tmp_path / "dpp.onnx"))
    (answer,) = session.run(None, {session.get_inputs()[0].name: features.numpy()})
    assert_close(torch.from_numpy(answer), expected)


def drift(pool: DetailPreservingPool2d, features: Tensor, shift_px: int) -> float:
    """Largest change of the global mean under a circular shift, beside how much that mean varies."""
    means, moved = (pool(f).mean((2, 3)) for f in (features, features.roll(shift_px, 3)))
    return float(((moved - means).abs().max() / means.std()).detach())


def test_not_shift_invariant_but_for_its_stride() -> None:
    """Even the global mean changes with a shift by 1 px: for noise by 0.8 of its own spread as the pool
    starts, and by 1.5 to 3 further from a mean pool, which is invariant. A max pool's changes by 1.4.
    Shifts by the stride are exact."""
    features = noise(64, 4, 16, 16)
    drifts = [drift(with_powers(DetailPreservingPool2d(4), -3, p), features, 1) for p in (-40, 0, 3)]
    assert drifts[0] < 1e-12
    assert drifts[1] > 0.75
    assert drifts[2] > 1.5 * drifts[1]
    started = DetailPreservingPool2d(4).double()
    assert 0.4 < drift(started, features, 1) < drifts[1]
    assert torch.equal(started(features.roll(2, 3)), started(features).roll(1, 3))


def test_bad_input_says_what_to_change() -> None:
    with pytest.raises(UnknownNameError, match=r"detail-preserving pool, got 'light'\. Did you mean 'lite'"):
        DetailPreservingPool2d(3, kind="light")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="at least 1 in `channels`, got 0"):
        DetailPreservingPool2d(0)
    with pytest.raises(OptionError, match=r"`stride` of at least 1 px, got \(2, 0\)"):
        DetailPreservingPool2d(3, stride=(2, 0))
    with pytest.raises(ShapeError, match=r"feature maps with 3 channels, got \(1, 4, 8, 8\)"):
        DetailPreservingPool2d(3)(torch.zeros(1, 4, 8, 8))
    with pytest.raises(ShapeError, match=r"at least \(2, 2\) px, got \(1, 8\)"):
        DetailPreservingPool2d(3)(torch.zeros(1, 3, 1, 8))
