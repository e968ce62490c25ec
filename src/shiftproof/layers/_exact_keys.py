"""Numbers for the phases of a map that are the same, to the last bit, wherever the map starts.

A sum of floats depends on the order of its terms. A circular shift changes the order, so that two
phases that are as strong as each other may change places. Sums of integers do not have an order. And
where two phases are exactly as strong as each other, which any image that is its own mirror image
brings about, something else has to decide that moves with the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from shiftproof.layers._phases import Pair, split_phases

# A number is at most 2^34 in fixed point: 2^28 of them can be added up, and float32 keeps 24 bits.
BITS = 34
# Smaller features than these count as zero, so that their scale does not overflow in float32.
_LEAST = 1e-27
# Odd numbers without a pattern: multiplication by them modulo 2^64 is one to one.
_DOWN, _RIGHT, _CHANNEL = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93
_ODD = 2**42 - 11


def in_units(features: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Features as multiples of a unit such that the largest of each image is 2^bits units.

    Args:
        features: (N, ...), any float dtype.
        bits: How many.

    Returns:
        The multiples, not yet rounded: float64 for float64 and else float32, shape (N, ...). And the
        unit of each image, of shape (N, 1, ...).
    """
    wide = features if features.dtype == torch.float64 else features.float()
    dims = tuple(range(1, features.ndim))
    largest = wide.abs().amax(dims, keepdim=True).clamp_min(_LEAST)
    return wide * (2.0**bits / largest), largest * 2.0**-bits


def fixed_point(features: Tensor) -> Tensor:
    """Features as whole numbers of at most 2^34, int64: their sums have no order."""
    return in_units(features, BITS)[0].long()


def strengths(features: Tensor, stride: Pair, norm: str) -> Tensor:
    """How strong each phase is, exactly: int64 (N, P), comparable within an image only.

    Args:
        features: (N, C, H, W), any float dtype.
        stride: (down, right).
        norm: One of `POLYPHASE_NORMS`.
    """
    if norm.endswith("l2"):
        root, _ = in_units(features, BITS // 2)
        terms = (root * root).long()
    else:
        terms = fixed_point(features if norm == "max" else features.abs())
    if norm in ("max", "linf"):
        return split_phases(terms.amax(1, keepdim=True), stride).amax((2, 3, 4))
    sums = split_phases(terms.sum(1, keepdim=True), stride).sum((2, 3, 4))
    return -sums if norm.startswith("min-") else sums


def clearly_strongest(features: Tensor, stride: Pair, norm: str) -> tuple[Tensor, Tensor]:
    """The strongest phase by ordinary float sums, and whether rounding cannot have decided.

    Args:
        features: (N, C, H, W), any float dtype.
        stride: (down, right).
        norm: One of `POLYPHASE_NORMS`.

    Returns:
        int64 (N,) and bool (N,). Where the latter holds, `strengths` would name the same phase.
    """
    wide = features if features.dtype == torch.float64 else features.float()
    terms = wide * wide if norm.endswith("l2") else wide if norm == "max" else wide.abs()
    if norm in ("max", "linf"):
        return clearly_largest(split_phases(terms.amax(1, keepdim=True), stride).amax((2, 3, 4)), 2**-20)
    phases = split_phases(terms.sum(1, keepdim=True), stride)
    sums = phases.sum((2, 3, 4), dtype=torch.float64)
    # Each sum over C channels is off by at most C roundings; `strengths` drops less than one unit a term.
    n_terms = features[0].numel()
    channels_off = 2.0**-22 * (features.shape[1] + 8)
    error = channels_off + n_terms * 2.0**-BITS
    return clearly_largest(-sums if norm.startswith("min-") else sums, error)


def clearly_largest(key: Tensor, error: float) -> tuple[Tensor, Tensor]:
    """The largest of each row, and whether it leads by more than twice an error, relative to the row.

    Args:
        key: Floats (N, P).
        error: Of each key, relative to the largest magnitude in its row.
    """
    if key.shape[1] == 1:
        return torch.zeros_like(key[:, 0], dtype=torch.int64), torch.ones_like(key[:, 0], dtype=torch.bool)
    best, second = key.topk(2, 1).values.unbind(1)
    scale = key.abs().amax(1)
    # Squares of smaller numbers vanish in float32. Comparisons with what is no number are false.
    return key.argmax(1), (best - second > 2 * error * scale) & (scale > 1e-25)


def fingerprints(maps: tuple[Tensor, ...], stride: Pair) -> Tensor:
    """For each phase, the largest hash of all maps as seen from one of its positions: int64 (N, P).

    Seen from a position means: rolled such that the position comes first. Two phases then have the same
    fingerprint only if the maps look the same from both, which is to say that they repeat themselves with
    that distance; then it does not matter which phase is taken. (But for one chance in about 2^40, and
    for differences below 2^-34 of the largest feature.)

    Args:
        maps: Each (N, C, H, W) of any float dtype, all with the same H and W.
        stride: (down, right).
    """
    view = _channels_hashed(maps[0], 0)
    for seed, shared in enumerate(maps[1:], start=1):
        view = view + _channels_hashed(shared, seed)
    for dim, base in ((2, _DOWN), (3, _RIGHT)):
        factor, reach = base, 1
        while reach < view.shape[dim]:  # Each round doubles how far a position sees.
            view = view + _signed(factor) * torch.roll(view, -reach, dim)
            factor, reach = factor * factor, 2 * reach
    return split_phases(view, stride).amax((2, 3, 4))


def first_by(*keys: Tensor) -> Tensor:
    """The phase of which the first key is the largest; the next keys decide between equal ones.

    Args:
        keys: int64, each (N, P).

    Returns:
        int64 (N,).

    Example:
        >>> first_by(torch.tensor([[3, 1, 3]]), torch.tensor([[0, 9, 2]])).tolist()
        [2]
    """
    best = torch.ones_like(keys[0], dtype=torch.bool)
    for key in keys:
        best = leading(key, best)
    # Phases that are still equal are the same map, rolled. Take the one with the lowest number: which
    # of several maxima `argmax` gives is not defined.
    n_phases = best.shape[1]
    return (best.long() * torch.arange(n_phases, 0, -1, device=best.device)).argmax(1)


def leading(key: Tensor, among: Tensor) -> Tensor:
    """Which phases among some have the largest key: bool (N, P)."""
    lowest = torch.iinfo(torch.int64).min
    among_key = torch.where(among, key, lowest)
    return among & (among_key == among_key.amax(1, keepdim=True))


def _channels_hashed(features: Tensor, seed: int) -> Tensor:
    """One number of all channels at each position: int64 (N, 1, H, W)."""
    channel = torch.arange(features.shape[1], device=features.device)[:, None, None]
    weights = (2 * (channel + 1000 * seed) + 1) * _signed(_CHANNEL)  # modulo 2^64, as int64 wraps
    # Products may wrap, sums must not: onnxruntime adds up int64 as float64, which is exact below 2^53.
    return torch.remainder(fixed_point(features) * weights, _ODD).sum(1, keepdim=True)


def _signed(number: int) -> int:
    """A number modulo 2^64, as int64 holds it."""
    return (number + 2**63) % 2**64 - 2**63
