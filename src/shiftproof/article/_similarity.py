"""How far apart two sets of images are to a first layer, which sees them through small windows."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import unfold

from shiftproof.data import LabelledImages

WINDOW_PX = 5
MAX_IMAGES = 500


def window_distance(a: LabelledImages, b: LabelledImages) -> float:
    """Fréchet distance between the 5 × 5 windows of two sets, each taken as a normal distribution.

    It looks at pixels only, at no network and at no label, so that it can be set beside what transfers
    without going in a circle.

    Args:
        a: Images; the first 500 are used.
        b: Images with as many channels.

    Returns:
        0 for equal mean and covariance; in grey levels from 0 to 1, summed in squares over the window.

    Source:
        Dowson and Landau 1982, The Fréchet distance between multivariate normal distributions.

    Example:
        >>> from shiftproof.article import draw_gratings, inverted
        >>> gratings = draw_gratings(50)
        >>> window_distance(gratings, gratings)
        0.0
        >>> window_distance(gratings, inverted(gratings)) < window_distance(gratings, gratings.head(2))
        True
    """
    (mean_a, covariance_a), (mean_b, covariance_b) = (_moments(each) for each in (a, b))
    root = _square_root(covariance_a)
    both = _square_root(root @ covariance_b @ root)
    squared = (mean_a - mean_b).square().sum() + (covariance_a + covariance_b - 2 * both).trace()
    # Rounding leaves 1e-14 of what is exactly 0.
    return math.sqrt(round(float(squared.clamp(min=0)), 9))


def _moments(data: LabelledImages) -> tuple[Tensor, Tensor]:
    images = data.images[:MAX_IMAGES].double() / 255
    windows = unfold(images, WINDOW_PX).movedim(1, -1).flatten(0, 1)
    return windows.mean(0), windows.t().cov()


def _square_root(matrix: Tensor) -> Tensor:
    """Of a symmetric matrix without negative eigenvalues, but for rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.t()
    return root
