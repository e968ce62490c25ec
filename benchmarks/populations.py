"""Images, shifts and trained networks whose truth is known, to count how often an interval holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator], Floats]


@dataclass(frozen=True, slots=True)
class Cell:
    """A population, and how much of it is seen.

    Args:
        name: In words.
        draw: A sample: float64 (n,), one number per image; or (K, n) of K networks.
        truth: The mean of the population.
    """

    name: str
    draw: Draw
    truth: float


def betas(g: np.random.Generator, mean: float, icc: float, size: int) -> Floats:
    """How often each image is right; `icc` is the correlation of two shifts of an image."""
    spread = (1 - icc) / icc
    return g.beta(mean * spread, (1 - mean) * spread, size)


def shares(mean: float, icc: float, n_shifts: int, n: int) -> Cell:
    """Beta-binomial: some images are fragile, most are not."""
    name = f"{n_shifts} shifts, correlation {icc:g}, mean {mean:g}, {n} images"
    return Cell(name, lambda g: g.binomial(n_shifts, betas(g, mean, icc, n)) / n_shifts, mean)


def mixture(mean: float, fragile: float, n: int) -> Cell:
    """Most images never change, a few often."""

    def draw(g: np.random.Generator) -> Floats:
        wrong = 2 * (1 - mean) / fragile
        often = 1 - g.binomial(24, g.beta(2 * wrong / 2, 2 * (1 - wrong / 2), n)) / 24
        return np.where(g.random(n) < fragile, often, 1.0)

    return Cell(f"{100 * fragile:g} % fragile images, mean {mean:g}, {n} images", draw, mean)


def bits(mean: float, n: int) -> Cell:
    """Worst cases and clean accuracy: one bit per image."""
    return Cell(f"one bit, mean {mean:g}, {n} images", lambda g: (g.random(n) < mean).astype(float), mean)


def log_normal(sigma: float, n: int) -> Cell:
    """Positive numbers with a long tail."""
    name = f"log-normal, σ = {sigma:g}, {n} images"
    return Cell(name, lambda g: g.lognormal(0, sigma, n), float(np.exp(sigma**2 / 2)))


def mostly_zero(n: int) -> Cell:
    """Nine of ten images have exactly 0, the others an exponential number."""
    draw: Draw = lambda g: np.where(g.random(n) < 0.1, g.exponential(1, n), 0.0)  # noqa: E731
    return Cell(f"90 % zeros, the others exponential, {n} images", draw, 0.1)


def differences(mean: float, icc: float, n_shifts: int, same: float, n: int, worse: float = 0.0) -> Cell:
    """Two networks; a share `same` of the images is as hard for both, and `worse` fail for the second."""

    def draw(g: np.random.Generator) -> Floats:
        first, other = betas(g, mean, icc, n), betas(g, mean, icc, n)
        second = np.where(g.random(n) < same, first, other) * (g.random(n) >= worse / mean)
        return np.asarray((g.binomial(n_shifts, first) - g.binomial(n_shifts, second)) / n_shifts)

    name = f"{n_shifts} shifts, correlation {icc:g}, mean {mean:g}, {100 * same:g} % as hard, {n} images"
    return Cell(name + (f", difference {worse:g}" if worse else ""), draw, worse)


def crossed(mean: float, of_seeds: float, n_seeds: int, n: int) -> Cell:
    """Networks whose means vary by `of_seeds`; half of the images are right or wrong for all alike."""

    def draw(g: np.random.Generator) -> Floats:
        means = np.clip(mean + of_seeds * g.standard_normal((n_seeds, 1)), 0, 1)
        alike = g.random((1, n)).repeat(n_seeds, 0)
        chance = np.where(g.random((n_seeds, n)) < 0.5, alike, g.random((n_seeds, n)))
        return (chance < means).astype(float)

    return Cell(f"{n_seeds} seeds, spread {of_seeds:g}, mean {mean:g}, {n} images", draw, mean)
