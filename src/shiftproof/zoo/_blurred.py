"""cnn2 with downsampling and borders that keep to shifts: blurred, on a circle, or without aliases."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import nn

from shiftproof.errors import ShapeError
from shiftproof.layers import AliasFreeActivation, GlobalMeanPool, LowPassPool2d, MaxBlurPool2d, conv2d
from shiftproof.zoo._article import ARTICLE
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

FILTERS = (20, 40)
KERNEL = 5

# From the number of channels to the layers between two convolutions, each with the start of its name.
Between = Callable[[int], dict[str, nn.Module]]


def _max_pool(channels: int) -> dict[str, nn.Module]:
    return {"relu": nn.ReLU(), "pool": nn.MaxPool2d(2)}


def _max_blur_pool(channels: int) -> dict[str, nn.Module]:
    return {"relu": nn.ReLU(), "pool": MaxBlurPool2d(channels)}


def _alias_free_pool(channels: int) -> dict[str, nn.Module]:
    return {"relu": AliasFreeActivation(nn.ReLU()), "pool": LowPassPool2d(2)}


def _blurred(
    between: Between, image_shape: ImageShape, n_classes: int, *, circular: bool, mean: bool
) -> nn.Sequential:
    """cnn2, with its pools, borders and head as told."""
    channels, height, width = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, n_filters in enumerate(FILTERS, start=1):
        layers[f"conv{block}"] = conv2d(
            channels, n_filters, KERNEL, border="circular" if circular else "valid"
        )
        for start, layer in between(n_filters).items():
            layers[f"{start}{block}"] = layer
        lost = 0 if circular else KERNEL - 1
        channels, height, width = n_filters, (height - lost) // 2, (width - lost) // 2
    layers["mean" if mean else "flatten"] = GlobalMeanPool() if mean else nn.Flatten()
    layers["dense1"] = nn.Linear(channels if mean else channels * height * width, 100)
    layers["relu3"] = nn.ReLU()
    layers["head"] = nn.Linear(100, n_classes)
    return nn.Sequential(layers)


def _valid(between: Between, mean: bool, image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    if min(image_shape[1:]) < 16:  # 16 → 12 → 6 → 2 → 1 px
        raise ShapeError(
            "images of at least 16 × 16 px",
            f"{image_shape[1]} × {image_shape[2]}",
            cause="Two 5 × 5 convolutions and two pools leave nothing of them.",
            fix="Use larger images, or another network.",
        )
    return _blurred(between, image_shape, n_classes, circular=False, mean=mean)


def _circular(between: Between, image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """On a circle a stride is exact only where it divides the size, at every stage."""
    if any(size_px % 4 for size_px in image_shape[1:]):
        raise ShapeError(
            "images whose height and width are multiples of 4 px",
            f"{image_shape[1]} × {image_shape[2]}",
            cause="The network halves its maps twice, and on a circle only even sizes can be halved exactly.",
            fix="Crop or pad the images, or use cnn2-blur or cnn2-gap.",
        )
    return _blurred(between, image_shape, n_classes, circular=True, mean=True)


for _spec in (
    NetworkSpec(
        "cnn2-blur",
        partial(_valid, _max_blur_pool, False),
        85_670,
        "cnn2 with max pools that blur before they subsample",
        f"Zhang 2019, arXiv:1904.11486 (MaxBlurPool, kernel size 3, reflect), in modelcnn2 of {ARTICLE}; "
        "takes the weights of cnn2",
    ),
    NetworkSpec(
        "cnn2-gap",
        partial(_valid, _max_pool, True),
        25_670,
        "cnn2 with a global mean before its dense layers",
        f"Lin, Chen and Yan 2014, arXiv:1312.4400 (global average pooling), in modelcnn2 of {ARTICLE}",
    ),
    NetworkSpec(
        "cnn2-circular",
        partial(_circular, _max_pool),
        25_670,
        "cnn2 on a circle, global mean: exact for circular shifts by multiples of 4 px",
        f"Chaman and Dokmanić 2021, arXiv:2011.14214 (circular convolutions, global mean), in modelcnn2 of "
        f"{ARTICLE}",
    ),
    NetworkSpec(
        "cnn2-aliasfree",
        partial(_circular, _alias_free_pool),
        25_670,
        "cnn2 on a circle without aliases: exact for every circular shift by whole pixels",
        "Michaeli, Michaeli and Soudry 2023, arXiv:2303.08085 (ideal low-pass pools and up-sampled "
        f"activations), in modelcnn2 of {ARTICLE}; ReLU in place of their polynomials, so that raw input "
        "trains too",
    ),
):
    networks.register(_spec.name, _spec)
