"""A model's invariance as an assertion; pytest finds the fixture by itself (entry point `pytest11`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from shiftproof.adapters import Classifier, Model
    from shiftproof.audits import Audit, ImagesLike


def check_shift_invariant(
    model: str | Model | Classifier,
    images: ImagesLike,
    *,
    radius_px: int = 4,
    min_agreement: float = 0.99,
    border: str = "zeros",
    **options: Any,
) -> Audit:
    """Fail unless a model keeps its prediction when the image moves.

    Args:
        model: What `shiftproof.audit` takes.
        images: What `shiftproof.audit` takes.
        radius_px: Every whole offset up to this is tried.
        min_agreement: What the lower end of the interval of the agreement must reach. The interval is that of
            the images, so few images cannot prove much: 100 that all agree prove 0.969.
        border: What comes in from outside.
        options: More settings of the audit, for example `limit=200` or `confidence=0.99`.

    Returns:
        The audit, for more questions.

    Raises:
        GateError: The agreement is lower, or may be; an `AssertionError` that says what was measured.
        ShiftproofError: Whatever is wrong with model or images.
    """
    from shiftproof.audits import audit

    protocol = f"grid:{radius_px}"
    gate = f"agreement>={min_agreement}"
    result = audit(model, images, protocols=[protocol], border=border, gates=[gate], **options)
    result.raise_if_failed()
    return result


@pytest.fixture
def assert_shift_invariant() -> Callable[..., Audit]:
    """`check_shift_invariant` as a fixture: `assert_shift_invariant(model, images, radius_px=4)`."""
    return check_shift_invariant
