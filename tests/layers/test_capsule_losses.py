"""What capsules learn from, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import RECONSTRUCTION_WEIGHT, CapsuleDecoder, margin_loss


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_convention_margin_loss_by_hand() -> None:
    """Right class 0.5: (0.9 − 0.5)² = 0.16. Others 0.3 and 0.05: 0.5 · (0.3 − 0.1)² = 0.02 and 0."""
    lengths = torch.tensor([[0.5, 0.3, 0.05], [0.5, 0.3, 0.05], [0.05, 0.95, 0.1]])
    labels = torch.tensor([0, 2, 1])
    # Second: 0.85² + 0.5 · (0.4² + 0.2²). Third: all on the right side of their margins.
    assert_close(margin_loss(lengths, labels), torch.tensor([0.18, 0.7225 + 0.1, 0.0]))
    other = margin_loss(lengths[:1], labels[:1], present=0.7, absent=0.2, absent_weight=1)
    assert_close(other, torch.tensor([0.04 + 0.01]))


def test_nothing_learned_costs_the_right_class_only() -> None:
    loss = margin_loss(torch.zeros(2, 10), torch.tensor([3, 9]))
    assert_close(loss, torch.tensor([0.81, 0.81]))


def test_reference_weight_of_the_reconstruction() -> None:
    """0.0005 × the sum over 784 pixels is 0.392 × their mean."""
    assert pytest.approx(0.392) == RECONSTRUCTION_WEIGHT * 784


def test_decoder_looks_at_the_capsule_of_the_class_only() -> None:
    decoder, capsules = CapsuleDecoder(4, 3, (2, 5, 6), hidden=(7,)).double(), noise(2, 4, 3)
    classes = torch.tensor([1, 3])
    images = decoder(capsules, classes)
    assert images.shape == (2, 2, 5, 6)
    assert 0 < float(images.detach().min()) <= float(images.detach().max()) < 1
    others = capsules.clone()
    others[0, [0, 2, 3]] += 1
    others[1, :3] -= 1
    assert torch.equal(decoder(others, classes), images)
    others[0, 1] += 1
    assert not torch.equal(decoder(others, classes)[0], images[0])


def test_reference_parameters_of_the_decoder() -> None:
    decoder = CapsuleDecoder(10, 16, (1, 28, 28))
    counts = [p.numel() for p in decoder.parameters()]
    assert counts == [160 * 512, 512, 512 * 1024, 1024, 1024 * 784, 784]
    assert sum(counts) == 1_411_344


def test_gradients() -> None:
    labels = torch.tensor([2, 0])
    lengths = noise(2, 3).sigmoid().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: margin_loss(v, labels), (lengths,))
    decoder = CapsuleDecoder(3, 2, (1, 2, 2), hidden=(4, 5)).double()
    assert torch.autograd.gradcheck(lambda v: decoder(v, labels), (noise(2, 3, 2).requires_grad_(),))


def test_bad_input_says_what_to_change() -> None:
    with pytest.raises(ShapeError, match=r"`labels` of shape \(N,\), got \(2, 3\) and \(3,\)"):
        margin_loss(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(OptionError, match="layers of at least 1 number, got 160 → 0 → 784"):
        CapsuleDecoder(10, 16, (1, 28, 28), hidden=(0,))
