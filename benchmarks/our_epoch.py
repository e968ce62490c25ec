"""Epochs of a row of the article's study with shiftproof."""

from __future__ import annotations

import sys

import torch
from benchmarks.turns import take_turns

from shiftproof._threads import worker_pool
from shiftproof.data import load_data
from shiftproof.study import load_study
from shiftproof.train import INPUT_SCALES, fit
from shiftproof.zoo import build_network


def main(row: str, n_images: int, threads: int, device: str) -> None:
    (arm,) = (arm for arm in load_study("article").arms if arm.name == row)
    recipe = arm.recipe.model_copy(update={"epochs": 1})
    data = load_data("mnist", "train").head(n_images)
    network = build_network(arm.network, input_scale=INPUT_SCALES[recipe.input_scale])
    with worker_pool(threads) as pool:
        take_turns(lambda: fit(network, data, recipe, pool=pool, device=torch.device(device)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
