"""The fixture for the tests of others: found by pytest, passes and fails as it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from shiftproof.audits import Audit
from shiftproof.data import LabelledImages
from shiftproof.errors import GateError
from shiftproof.testing import check_shift_invariant
from shiftproof.zoo import build_network

pytest_plugins = ["pytester"]


def brightness(images: Tensor) -> Tensor:
    total = images.sum((1, 2, 3)) / 784
    return torch.stack([total, 0.1 - total], 1)


def test_the_fixture_is_found_and_passes(
    assert_shift_invariant: Callable[..., Audit], test_digits: LabelledImages
) -> None:
    images = test_digits.images.float() / 255
    result = assert_shift_invariant(brightness, images, radius_px=2, border="circular", min_agreement=0.98)
    assert result.passed()


def test_a_model_that_changes_its_mind_fails(test_digits: LabelledImages) -> None:
    with pytest.raises(AssertionError, match=r"Expected agreement>=0\.99 under grid:4, got 0\.\d+") as caught:
        check_shift_invariant(build_network("cnn1").eval(), test_digits)
    assert isinstance(caught.value, GateError)


def test_few_images_prove_little(test_digits: LabelledImages) -> None:
    """All of them agree, but five images could do that by chance."""
    images = test_digits.images[:5]
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)).eval()
    with pytest.raises(GateError, match="inconclusive"):
        check_shift_invariant(network, images, radius_px=1, border="circular")


@pytest.mark.slow
def test_pytest_finds_it_by_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import torch

        def test_good(assert_shift_invariant):
            assert_shift_invariant(lambda x: torch.eye(2)[:1].expand(len(x), 2), torch.rand(400, 1, 9, 9))
        """
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
