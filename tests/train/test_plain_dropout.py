"""Networks with dropout train as a plain loop does with the masks that are drawn; and the masks are random.

Masks are computed here again from their definition: a generator for each epoch, position and lane, and one
number in [0, 1) for each number of a layer, in binary, that is compared with the probability to keep it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from numpy.random import SFC64
from tests.train import plain_loop
from tests.train.plain_loop import Settings, seed_for
from tests.train.test_plain_loop import assert_equal_to_rounding, distance, fitted, small
from torch import Tensor, nn

from shiftproof.data import LabelledImages
from shiftproof.zoo import Network, build_network

Bits = npt.NDArray[np.bool_]
# From random bits and a number of images to the masks of all layers, each (images, …).
Masks = Callable[[SFC64, int], list[Bits]]

SEED = 3
KEEP = (0.5, 0.75)  # of the article's two layers
SIDE_PX = 12
BLOCK = 24  # pixels that `standard-nn` computes together: the largest divisor of 144 up to 32


def kept(bits: SFC64, keep: float, n_blocks: int, n_values: int) -> Bits:
    """Which of (blocks, values) are kept, each with probability `keep`, a multiple of 1/256.

    All draws of a block share its words: value i is told by bit 31 − i // words of word i % words. The last
    binary digit of all the numbers in [0, 1) is drawn first, as ones where the digit is 0.
    """
    n_words = math.ceil(n_values / 32)
    n_all = n_blocks * n_words
    n_digits = len(f"{round(keep * 256):08b}".rstrip("0"))
    numbers: npt.NDArray[np.float64] = np.zeros((n_all, 32))
    for digit in range(n_digits, 0, -1):
        words = bits.random_raw(math.ceil(n_all / 2)).view(np.uint32)[:n_all]
        is_one = (words[:, None] >> np.arange(31, -1, -1, dtype=np.uint32)) & 1 == 0
        numbers += is_one * 0.5**digit
    by_place = (numbers < keep).reshape(n_blocks, n_words, 32).transpose(0, 2, 1)
    return np.asarray(by_place.reshape(n_blocks, -1)[:, :n_values])


def masks_by_layer(*layers: tuple[float, tuple[int, ...]]) -> Masks:
    """Layers of this probability to keep and shape of an image's numbers, one after the other."""

    def masks(bits: SFC64, n_images: int) -> list[Bits]:
        return [
            kept(bits, keep, 1, n_images * math.prod(shape)).reshape(n_images, *shape)
            for keep, shape in layers
        ]

    return masks


def masks_by_pixel(bits: SFC64, n_images: int) -> list[Bits]:
    """Of `standard-nn`: blocks of (100 channels, pixels, images), as (images, pixels, channels)."""
    n_blocks = SIDE_PX**2 // BLOCK
    found = []
    for keep in KEEP:
        blocks = kept(bits, keep, n_blocks, 100 * BLOCK * n_images)
        of_pixels = blocks.reshape(n_blocks, 100, BLOCK, n_images).transpose(3, 0, 2, 1)
        found.append(of_pixels.reshape(n_images, SIDE_PX**2, 100))
    return found


def lanes(start: int, stop: int) -> list[tuple[int, int]]:
    """A batch is cut in two: where each part begins, and how many images it has."""
    middle = round((start + stop) / 2)
    return [(start, middle - start), (middle, stop - middle)]


def masks_of_lane(masks: Masks, epoch: int, first: int, lane: int, n_images: int) -> list[Bits]:
    return masks(SFC64(seed_for(SEED, "dropout", epoch, first, lane)), n_images)


class _Given(nn.Module):
    """Dropout with a mask that someone else sets."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep, self.mask = keep, torch.empty(0)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.mask.to(features.dtype) / self.keep


def with_given_masks(network: Network) -> tuple[Network, list[_Given]]:
    """A copy in float64 whose dropout layers are told their masks."""
    plain = copy.deepcopy(network).double()
    given = []
    for name, layer in list(plain.body.named_children()):
        if isinstance(layer, nn.Dropout):
            given.append(_Given(1 - layer.p))
            setattr(plain.body, name, given[-1])
    return plain, given


def trained_with(
    masks: Masks, network: Network, data: LabelledImages, settings: Settings
) -> tuple[Network, dict[str, Tensor]]:
    """The plain loop with the masks that are drawn for both lanes."""
    plain, given = with_given_masks(network)

    def set_masks(epoch: int, start: int, stop: int) -> None:
        drawn = [
            masks_of_lane(masks, epoch, first, lane, n)
            for lane, (first, n) in enumerate(lanes(start, stop))
            if n
        ]
        for layer, parts in zip(given, zip(*drawn, strict=True), strict=True):
            layer.mask = torch.from_numpy(np.concatenate(parts))

    return plain, plain_loop.train(plain, data.images, data.labels, settings, set_masks)


# Batches of 6 and 5, so that a lane has as few images as two, and words have bits to spare.
SETTINGS = Settings(epochs=6, batch_size=6, seed=SEED)


def test_masks_in_float64_are_those_of_the_definition(digits: LabelledImages, tmp_path: Path) -> None:
    network = build_network("dense-nn", seed=1, image_shape=(1, 12, 12)).double()
    data = small(digits, 12, 17)
    masks = masks_by_layer((0.5, (100,)), (0.75, (100,)))
    plain, expected = trained_with(masks, network, data, SETTINGS)
    assert_equal_to_rounding(fitted(network, data, SETTINGS, tmp_path / "c"), expected)
    assert_equal_to_rounding(network.state_dict(), plain.state_dict())


@pytest.mark.parametrize(
    ("name", "size_px", "masks"),
    [
        ("standard-nn", SIDE_PX, masks_by_pixel),
        ("dense-nn", 12, masks_by_layer((0.5, (100,)), (0.75, (100,)))),
        ("all-cnn", 9, masks_by_layer((205 / 256, (1, 9, 9)), (0.5, (96, 5, 5)), (0.5, (192, 3, 3)))),
    ],
)
def test_with_dropout_the_same_to_the_rounding_of_float32(
    name: str, size_px: int, masks: Masks, digits: LabelledImages, tmp_path: Path
) -> None:
    """The stages as they run, against float64. The epsilon of Adam keeps rounding from becoming steps."""
    network = build_network(name, seed=1, image_shape=(1, size_px, size_px))
    start = copy.deepcopy(network).double()
    data = small(digits, size_px, 17)
    settings = Settings(epochs=2, batch_size=6, seed=SEED, epsilon=1e-3)
    plain, _ = trained_with(masks, network, data, settings)
    fitted(network, data, settings, tmp_path / "c")
    assert distance(network.double(), plain, start) < 1e-4

    def others(bits: SFC64, n_images: int) -> list[Bits]:
        return masks(SFC64(int(bits.random_raw())), n_images)

    other, _ = trained_with(others, start, data, settings)
    assert distance(network, other, start) > 0.02, "with other masks it is another training"


def drawn_masks() -> Iterator[tuple[str, float, Bits]]:
    """Of `standard-nn` in two epochs of two steps of 8 images: where they are from, and each mask."""
    for epoch in (1, 2):
        for start in (0, 8):
            for lane, (first, n_images) in enumerate(lanes(start, start + 8)):
                drawn = masks_of_lane(masks_by_pixel, epoch, first, lane, n_images)
                for layer, (keep, mask) in enumerate(zip(KEEP, drawn, strict=True), start=1):
                    yield f"epoch {epoch}, position {first}, lane {lane}, layer {layer}", keep, mask


def deviations(both: Bits, probability: float) -> float:
    """How many standard deviations a share of independent draws is from its probability."""
    return abs(float(both.mean()) - probability) / math.sqrt(probability * (1 - probability) / both.size)


def test_masks_keep_the_share_that_was_asked_for() -> None:
    found = list(drawn_masks())
    assert len(found) == 16
    for where, keep, mask in found:
        assert deviations(mask, keep) < 5, where
        # Of each channel, pixel and image by itself, too.
        for axes in ((0, 1), (0, 2), (1, 2)):
            shares = mask.mean(axes)
            n = mask.size / shares.size
            assert np.abs(shares - keep).max() < 6 * math.sqrt(keep * (1 - keep) / n), where
    for layer, keep in enumerate(KEEP, start=1):
        together = np.stack([mask for where, _, mask in found if where.endswith(f"layer {layer}")])
        assert deviations(together, keep) < 4


def test_masks_of_epochs_steps_lanes_and_layers_are_independent() -> None:
    for (where, p, a), (there, q, b) in combinations(drawn_masks(), 2):
        assert deviations(a & b, p * q) < 5, f"{where}; {there}"


def test_neighbours_in_a_mask_are_independent() -> None:
    """Images, pixels and channels; and the draws of one random word, which lie a whole row of words apart."""
    for where, keep, mask in drawn_masks():
        for axis in range(3):
            n = mask.shape[axis]
            for lag in (1, 2, n // 2):
                first, second = np.arange(n - lag), np.arange(lag, n)
                both = mask.take(first, axis) & mask.take(second, axis)
                # Neighbours overlap, which makes the spread of the share half as large again at most.
                assert deviations(both, keep**2) < 1.5 * 5, (where, axis, lag)
        blocks = mask.reshape(-1, SIDE_PX**2 // BLOCK, BLOCK, 100).transpose(1, 3, 2, 0)
        flat = blocks.reshape(len(blocks), -1)
        n_words = math.ceil(flat.shape[1] / 32)
        assert deviations(flat[:, n_words:] & flat[:, :-n_words], keep**2) < 1.5 * 5, where
