"""One epoch of a row of the article's study with shiftproof; prints the seconds it took."""

from __future__ import annotations

import sys
import time

from shiftproof._threads import worker_pool
from shiftproof.data import load_data
from shiftproof.study import load_study
from shiftproof.train import INPUT_SCALES, fit
from shiftproof.zoo import build_network


def main(row: str, n_images: int, threads: int | None = None) -> None:
    (arm,) = (arm for arm in load_study("article").arms if arm.name == row)
    recipe = arm.recipe.model_copy(update={"epochs": 1})
    data = load_data("mnist", "train").head(n_images)

    def epoch(n: int) -> float:
        network = build_network(arm.network, input_scale=INPUT_SCALES[recipe.input_scale])
        with worker_pool(threads) as pool:
            start = time.perf_counter()
            fit(network, data.head(n), recipe, pool=pool)
            return time.perf_counter() - start

    epoch(128 * 10)
    print(epoch(n_images))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
