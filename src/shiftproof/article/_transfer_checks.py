"""What the claim about transfer says, asked of a finished experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping

from shiftproof.article._check import Effect, in_points, lies_above
from shiftproof.article._transfer import MARGIN, Arm, Transfer
from shiftproof.metrics import Estimate, NotApplicable
from shiftproof.records import Check

SOURCE = "experiment transfer"


def transfer_checks(result: Transfer) -> list[Check]:
    """Claim 2: a head start, generic early layers, and more layers the more alike the data are."""
    early: Arm = (result.n_convolutions, False)
    first: Arm = (1, True)
    goal = f"{100 * result.settings.reach:g} % of the accuracy from scratch"
    saved = {task: result.head_start(task, early) for task in result.right}
    cost = {task: result.change(task, first) for task in result.right}
    checks = [
        on_every(
            "Copied early layers, tuned further, give a head start on every task.",
            saved,
            0.0,
            found=f"Steps saved until {goal}: "
            + "; ".join(f"{task} {_steps_text(each)}" for task, each in saved.items()),
        ),
        on_every(
            "The first layer is generic: copied and frozen it costs at most 1 point on any task.",
            cost,
            -MARGIN,
            found="Against training from scratch: "
            + "; ".join(f"{task} {in_points(each)}" for task, each in cost.items()),
        ),
    ]
    n_layers = ", ".join(f"{task} {result.n_transferable(task)}" for task in result.right)
    for measured, how in ((False, "in our order of tasks"), (True, "by the distance of what a filter sees")):
        found = result.correlation(measured=measured)
        checks.append(
            lies_above(
                f"More layers transfer the more similar the data are, {how}.",
                found,
                0.0,
                found=f"Layers that can be copied at a cost of at most 1 point: {n_layers}; "
                f"rank correlation {_correlation_text(found)}.",
                source=SOURCE,
            )
        )
    return checks


def on_every(says: str, effects: Mapping[str, Effect], threshold: float, *, found: str) -> Check:
    """A check that holds where it does for every task, fails where it does for any, else is open.

    The number beside it is that of the task that speaks most against it.
    """
    each = [
        lies_above(says, effect, threshold, found=f"{found}.", source=SOURCE) for effect in effects.values()
    ]
    return min(each, key=lambda check: ((False, None, True).index(check.holds), _value(check.effect)))


def _value(effect: Effect | None) -> float:
    return -math.inf if effect is None or isinstance(effect, NotApplicable) else effect.value


def _steps_text(saved: Estimate) -> str:
    ends = (f"{end:+.0f}".replace("-", "−") for end in (saved.value, saved.low, saved.high))
    value, low, high = ends
    return f"{value} ({low} to {high})"


def _correlation_text(found: Estimate | NotApplicable) -> str:
    if isinstance(found, NotApplicable):
        return f"unknown ({found.reason})"
    ends = (f"{end:.2f}".replace("-", "−") for end in (found.value, found.low, found.high))
    value, low, high = ends
    return f"{value} ({low} to {high})"
