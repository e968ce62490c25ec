"""Epochs of a row of the article's study in PyTorch as one would write it, plain or compiled.

It shares no code with shiftproof. Layers in torch's own layout, a fused Adam, batches by index from
memory; the shifts of the augmentation are torch's own affine sampling, the whole batch at once. Compiled:
`torch.compile` of forward pass and loss, for the one size that batches have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from benchmarks.mnist import read
from benchmarks.turns import take_turns
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample


class PixelRows(nn.Module):
    """(N, 1, H, W) to (N, H·W, 1): Keras' `Dense` sees one pixel at a time."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(2).transpose(1, 2)


def network(name: str) -> nn.Sequential:
    if name == "standard-nn":
        return nn.Sequential(
            PixelRows(),
            *(nn.Linear(1, 100), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(100, 100), nn.ReLU(), nn.Dropout(0.25)),
            *(nn.Flatten(), nn.Linear(78_400, 10)),
        )
    layers: list[nn.Module] = [nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2)]
    if name == "cnn2":
        layers += [nn.Conv2d(20, 40, 5), nn.ReLU(), nn.MaxPool2d(2)]
    n_features = 2880 if name == "cnn1" else 640
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(n_features, 100), nn.ReLU(), nn.Linear(100, 10))


def shifted(images: Tensor) -> Tensor:
    """Each image by up to 10 % of its size, edge pixels repeated."""
    affine = torch.eye(2, 3).repeat(len(images), 1, 1)
    affine[:, :, 2] = torch.rand(len(images), 2) * 0.4 - 0.2  # in half sizes
    grid = affine_grid(affine, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def main(row: str, n_images: int, how: str, device: str) -> None:
    torch.set_default_device(device)
    images = torch.from_numpy(
        read("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)[:n_images].copy()
    ).to(device)
    labels = torch.from_numpy(read("train-labels-idx1-ubyte.gz", 8)[:n_images].copy()).long().to(device)
    model = network(row.removesuffix("-augmented"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, eps=1e-7, fused=True)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(model(x), y)

    loss: Callable[[Tensor, Tensor], Tensor] = torch.compile(loss_of) if how == "compiled" else loss_of

    def epoch() -> None:
        model.train()
        order = torch.randperm(n_images)
        for start in range(0, n_images, 128):
            batch = order[start : start + 128]
            x = images[batch].float()
            if row.endswith("-augmented"):
                x = shifted(x)
            optimizer.zero_grad()
            torch.autograd.backward(loss(x, labels[batch]))
            optimizer.step()

    def whole_epoch() -> None:
        epoch()
        if device == "cuda":
            torch.cuda.synchronize()

    take_turns(whole_epoch)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
