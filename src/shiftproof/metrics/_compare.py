"""Two models on the same images under the same shifts: the difference, paired by image."""

from __future__ import annotations

import math

import numpy as np

from shiftproof._digest import derive_seed
from shiftproof.errors import ComparisonError, OptionError
from shiftproof.metrics._bounded import difference_interval
from shiftproof.metrics._estimate import median
from shiftproof.metrics._quantiles import Interval, normal_quantile
from shiftproof.metrics._scores import Scores
from shiftproof.metrics._selection import Floats, inside
from shiftproof.metrics._spec import MetricSpec
from shiftproof.probe import Response
from shiftproof.records import Difference, NotApplicable

DRAWS = 4000
# What must be the same in the provenance of two responses, where either says anything about it.
QUESTION = ("data", "protocol", "law", "border", "interpolation", "seed")


def compare_responses(
    a: Response, b: Response, metric: MetricSpec, *, radius_px: float | None = None, confidence: float = 0.95
) -> Difference | NotApplicable:
    """A metric of `a` minus that of `b`, paired by image.

    Args:
        a: What one model answered.
        b: What another answered to the same.
        metric: Any metric.
        radius_px: Only shifts of at most this max(|dy|, |dx|); all for None.
        confidence: Nominal coverage.

    Returns:
        For one bit per image the exact McNemar test, with the interval of Bonett and Price; for a mean of
        other numbers the mean of the differences, with images that have random weights, and half of one
        added at the largest difference and at its negative (covers where Student's falls short:
        tests/metrics/test_coverage.py); for a median the paired bootstrap over images. Test and interval of
        one bit are different methods, and can disagree when p is close to 1 − `confidence`. Not applicable
        where the metric is for either.
        Equal responses differ by exactly 0.

    Raises:
        ComparisonError: Not the same images, shifts, protocol or seed; says which.

    Source:
        McNemar 1947; Bonett and Price 2012, Adjusted Wald confidence interval for a difference of
        binomial proportions based on paired data; `shiftproof.metrics._bounded`.
    """
    if not 0 < confidence < 1:
        raise OptionError("a confidence between 0 and 1", confidence)
    _check_comparable(a, b)
    first, second = (metric.scores(each, inside(radius_px)) for each in (a, b))
    if isinstance(first, NotApplicable):
        return first
    if isinstance(second, NotApplicable):
        return second
    counted = first.counts | second.counts
    found = _difference(metric, first, second, confidence)
    if isinstance(found, NotApplicable):
        return found
    value, (low, high, method), p_value = found
    if _equal(a, b):
        low, high, p_value = 0.0, 0.0, 1.0
    widest = math.inf if None in metric.bounds else _largest(metric) or math.inf
    return Difference(
        value=value,
        low=min(value, max(-widest, low)),
        high=max(value, min(widest, high)),
        n_images=int(counted.sum()),
        p_value=p_value,
        unit=metric.unit,
        confidence=confidence,
        method=method,
    )


def _difference(
    metric: MetricSpec, first: Scores, second: Scores, confidence: float
) -> tuple[float, Interval, float] | NotApplicable:
    if metric.kind == "median":
        return _paired_bootstrap(first, second, confidence)
    aligned = np.array_equal(first.counts, second.counts) and first.shared is None and second.shared is None
    x, y = (s.sample if aligned else s.influences for s in (first, second))
    if aligned and metric.kind == "share" and bool(np.isin([x, y], (0, 1)).all()):
        return _mcnemar(int((x > y).sum()), int((x < y).sum()), len(x), confidence)
    change = x - y
    value = float(first.mean - second.mean)
    if len(change) < 2:
        return NotApplicable("one image says nothing about how much images differ")
    (low, high, method), p_value = difference_interval(change, confidence, _largest(metric))
    return value, (low, high, f"paired by image; {method}"), p_value


def _largest(metric: MetricSpec) -> float | None:
    least, largest = metric.bounds
    return None if largest is None else largest - (least or 0.0)


def _mcnemar(n_first: int, n_second: int, n: int, confidence: float) -> tuple[float, Interval, float]:
    """From the images that only the first, and only the second, has right, of n."""
    from scipy.special import bdtr

    unequal = n_first + n_second
    p_value = min(1.0, 2 * float(bdtr(float(min(n_first, n_second)), unequal, 0.5))) if unequal else 1.0
    p, q = (n_first + 1) / (n + 2), (n_second + 1) / (n + 2)
    half = normal_quantile(confidence) * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    method = "paired by image; exact McNemar test, interval of Bonett and Price"
    return (n_first - n_second) / n, (p - q - half, p - q + half, method), p_value


def _paired_bootstrap(
    first: Scores, second: Scores, confidence: float
) -> tuple[float, Interval, float] | NotApplicable:
    """Difference of medians, images drawn with replacement, the same for both.

    Few pairs of values are different, so a draw of images is a draw of how often each pair occurs.
    """
    both = first.counts & second.counts
    pairs, n_each = np.unique(
        np.stack([first.values[both], second.values[both]], axis=1), axis=0, return_counts=True
    )
    ends = [median(each) for each in (first.values[both], second.values[both])]
    if not both.any() or not np.isfinite(ends).all():
        return NotApplicable("fewer than half of the images have one, for one of the two")
    generator = np.random.default_rng(derive_seed(0, "paired bootstrap"))
    draws = generator.multinomial(both.sum(), n_each / n_each.sum(), size=DRAWS)
    medians = [_weighted_medians(pairs[:, side], draws) for side in (0, 1)]
    with np.errstate(invalid="ignore"):
        change = np.sort(np.nan_to_num(medians[0] - medians[1], nan=0.0, posinf=np.inf, neginf=-np.inf))
    tail = (1 - confidence) / 2
    low, high = change[int(tail * DRAWS)], change[int((1 - tail) * DRAWS) - 1]
    if not np.isfinite([low, high]).all():
        return NotApplicable("the interval of the difference reaches beyond what was measured")
    extreme = min(int((change <= 0).sum()), int((change >= 0).sum()))
    p_value = min(1.0, 2 * (extreme + 1) / (DRAWS + 1))
    return ends[0] - ends[1], (float(low), float(high), f"paired bootstrap, {DRAWS:,} draws"), p_value


def _weighted_medians(values: Floats, n_each: np.ndarray) -> Floats:
    """The least value that at least half of the images do not exceed, in each draw: float64 (draws,)."""
    order = np.argsort(values)
    up_to = np.cumsum(n_each[:, order], axis=1)
    return np.asarray(values[order][(up_to * 2 < up_to[:, -1:]).sum(1)])


def _equal(a: Response, b: Response) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in (
            "predicted",
            "true_prob",
            "label_output",
            "cosine",
            "neighbours",
            "drift",
            "unshifted_output",
        )
    )


def _check_comparable(a: Response, b: Response) -> None:
    if not np.array_equal(a.labels, b.labels):
        raise _refusal("the same images", f"{a.n_images} and {b.n_images} images with other labels")
    for name in QUESTION:
        if a.provenance.get(name) != b.provenance.get(name):
            raise _refusal(f"the same {name}", f"{a.provenance.get(name)!r} and {b.provenance.get(name)!r}")
    if not np.array_equal(a.offsets_px, b.offsets_px):
        raise _refusal("the same shifts", "other offsets")


def _refusal(what: str, got: str) -> ComparisonError:
    return ComparisonError(
        f"two responses to {what}",
        got,
        cause="A difference would mix up the models and the data.",
        fix="Measure both with the same data, protocol and seed.",
    )
