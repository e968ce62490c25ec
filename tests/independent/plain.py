"""What the checks of this folder share, written from the definitions: bytes, seeds, shifts, two networks."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d

PACKAGE = Path(__file__).parents[2] / "src" / "shiftproof"
MNIST = PACKAGE / "data" / "mnist"
FILES = {"train": "train", "test": "t10k"}
# The article's three test sets: the largest |dy| and |dx| in pixels.
SETS = {"article-none": (0, 0), "article-small": (1, 1), "article-large": (3, 4)}

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Weights = dict[str, Tensor]


def digits(split: str) -> tuple[npt.NDArray[np.uint8], Integers]:
    """Bytes (N, 28, 28) and labels (N,): 16 and 8 bytes of header, then the numbers."""
    images = gzip.decompress((MNIST / f"{FILES[split]}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((MNIST / f"{FILES[split]}-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def seed_for(seed: int, *words: str | int) -> int:
    """The first 63 bits of the SHA-256 of `[seed, *words]` as JSON without blanks."""
    text = json.dumps([seed, *words], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def limited(n: int, n_drawn: int, seed: int = 0) -> list[int]:
    """The rows that `--limit` draws at random."""
    generator = torch.Generator().manual_seed(seed_for(seed, "limit"))
    return [int(row) for row in torch.randperm(n, generator=generator)[:n_drawn]]


def uniform(protocol: str, n_images: int, n_draws: int, seed: int = 0) -> Floats:
    """What the law of a protocol draws from: numbers in [0, 1), (N, draws, 2) for dy and dx."""
    generator = torch.Generator().manual_seed(seed_for(seed, "protocol", protocol))
    drawn = torch.rand(n_images, n_draws, 2, dtype=torch.float64, generator=generator)
    return np.asarray(drawn.numpy())


def warped(images: Floats, offsets_px: Floats) -> Floats:
    """Images (N, 28, 28), each moved by its (dy, dx), by OpenCV: bilinear, zeros from outside.

    In single precision: of doubles it knows the place to a 32nd of a pixel only.
    """
    moves = [np.array([[1.0, 0, dx], [0, 1.0, dy]]) for dy, dx in offsets_px]
    return np.stack(
        [
            cv2.warpAffine(image.astype(np.float32), move, image.shape[::-1], flags=cv2.INTER_LINEAR)
            for image, move in zip(images, moves, strict=True)
        ]
    )


def moved(image: Floats, dy: int, dx: int) -> Floats:
    """One image (28, 28) moved by whole pixels; what leaves it is lost, and zeros come in."""
    result = np.zeros_like(image)
    height, width = image.shape
    for y in range(max(0, dy), min(height, height + dy)):
        result[y, max(0, dx) : width + min(0, dx)] = image[y - dy, max(0, -dx) : width - max(0, dx)]
    return result


def weights_in(checkpoint: Path) -> Weights:
    """The weights of a trained network, in float64, by the name of the layer."""
    saved = load_file(checkpoint)
    prefix = "network/body."
    return {k.removeprefix(prefix): v.double() for k, v in saved.items() if k.startswith(prefix)}


def packaged(name: str) -> Weights:
    """The weights of a network that comes trained."""
    return weights_in(PACKAGE / "zoo" / "trained" / f"{name}.safetensors")


def batch_of(images: Floats) -> Tensor:
    """Images (N, 28, 28) as a batch (N, 1, 28, 28)."""
    return torch.from_numpy(np.ascontiguousarray(images, np.float64))[:, None]


def cnn2(weights: Weights, images: Tensor) -> Tensor:
    """The article's second network, function by function: logits (N, 10)."""
    maps = max_pool2d(conv2d(images, weights["conv1.weight"], weights["conv1.bias"]).relu(), 2)
    maps = max_pool2d(conv2d(maps, weights["conv2.weight"], weights["conv2.bias"]).relu(), 2)
    return dense_layers(weights, maps.flatten(1))


def dense_nn(weights: Weights, images: Tensor) -> Tensor:
    """The dense network of the article's text: logits (N, 10)."""
    hidden = linear(images.flatten(1), weights["dense1.weight"], weights["dense1.bias"]).relu()
    hidden = linear(hidden, weights["dense2.weight"], weights["dense2.bias"]).relu()
    return linear(hidden, weights["head.weight"], weights["head.bias"])


def dense_layers(weights: Weights, features: Tensor) -> Tensor:
    """The two last layers of every cnn2."""
    hidden = linear(features, weights["dense1.weight"], weights["dense1.bias"]).relu()
    return linear(hidden, weights["head.weight"], weights["head.bias"])


def undecided(logits: Tensor) -> int:
    """Images whose two largest logits are so close that single precision may order them otherwise."""
    first, second = logits.topk(2, dim=1).values.T
    return int((first - second < 1e-4 * logits.abs().amax(1)).sum())
