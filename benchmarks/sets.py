"""The article's test sets, and how well a network does on them."""

from __future__ import annotations

from torch import Tensor

from shiftproof.data import LabelledImages
from shiftproof.probe import measure_response
from shiftproof.shifts import check_border, find_protocol, translate
from shiftproof.zoo import Network

TEST_SETS = ("article-none", "article-small", "article-large")


def moved(data: LabelledImages, name: str, seed: int = 0) -> Tensor:
    """All images as a protocol moves them: float32 (N, C, H, W) in [0, 1]."""
    protocol, n = find_protocol(name), len(data)
    offsets_px = protocol.draw(n, data.image_shape[1:], seed=seed)
    return translate(
        data.images.float() / 255,
        offsets_px.expand(n, *offsets_px.shape[-2:])[:, 0],
        border=check_border(protocol.border),
        interpolation=protocol.interpolation,
    )


def accuracy(network: Network, data: LabelledImages, name: str, seed: int = 0) -> float:
    """Share of right answers under a protocol, with the shifts that a seed draws."""
    response = measure_response(network, data, find_protocol(name), seed=seed, threads=1)
    return float((response.predicted == response.labels[:, None]).mean())
