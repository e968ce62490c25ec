"""Claim 12 on faces: do detail-preserving pooling and capsules keep the relation between parts?"""

from __future__ import annotations

from shiftproof._text import percent
from shiftproof.article._check import in_points, lies_above
from shiftproof.article._detector import more_taken
from shiftproof.article._scrambled import ScrambledParts
from shiftproof.records import Check

SUBSTITUTES = {"cnn2-dpp": "Detail-preserving pooling", "capsnet-small": "A small capsule network"}


def substitute_checks(result: ScrambledParts) -> list[Check]:
    """For each of the two that was trained: fewer scrambled faces are taken for faces than by cnn2."""
    pooled = result.of("cnn2")
    checks = []
    for name, what in SUBSTITUTES.items():
        detector = result.of(name)
        if pooled is None or detector is None:
            continue
        effect = more_taken(pooled, detector)
        shares = f"cnn2 {percent(pooled.scrambled.value)}, {name} {percent(detector.scrambled.value)}"
        checks.append(
            lies_above(
                f"{what} takes fewer scrambled faces for faces than max pooling does.",
                effect,
                0.0,
                found=f"{shares} of the scrambled faces; {in_points(effect)} for max pooling.",
                source=f"scrambled parts: cnn2, {name}",
            )
        )
    return checks
