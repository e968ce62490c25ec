"""What a rule is asked: a call of one input that has positions; and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shiftproof.anatomy._operations import Operation, Pair, Pointwise, PositionGrid, Unknown, Varying
from shiftproof.anatomy._relabel import Shape

# What it does to positions, one after the other, and where they lie after it.
Effect = tuple[tuple[Operation, ...], PositionGrid | None]
LINEAR = Pointwise(linear=True)


@dataclass(frozen=True, slots=True)
class MapCall:
    """A call of one input that has positions.

    Args:
        name: As in `shiftproof.anatomy.TorchCall`.
        arguments: All but its input; what is known of them is put in.
        grid: Where the positions of its input lie.
        before: Shape of its input; empty where it is a tuple of tensors.
        after: Shape of its answer; empty where that is a tuple of tensors.
    """

    name: str
    arguments: Mapping[str, Any]
    grid: PositionGrid
    before: Shape
    after: Shape

    def number(self, name: str, otherwise: Any = None) -> Any:
        """An argument, or what stands for None and for an absent one."""
        value = self.arguments.get(name)
        return otherwise if value is None else value

    def dims(self) -> list[int]:
        """The axes that `dim` names, counted from 0; all where there is none."""
        dim = self.arguments.get("dim")
        if dim is None or isinstance(dim, bool) or dim in ([], ()):
            return list(range(len(self.before)))
        listed = list(dim) if isinstance(dim, list | tuple) else [dim]
        return [axis % len(self.before) for axis in listed]


Rule = Callable[[MapCall], Effect]


def unknown(reason: str) -> Effect:
    """Nothing is claimed, and why."""
    return (Unknown(reason),), None


def varying(reason: str, grid: PositionGrid | None, *, looks_around: bool = True) -> Effect:
    """Positions stay where they are, but are not treated alike, and why."""
    return unknown(reason) if grid is None else ((Varying(reason, looks_around),), grid)


def not_known(name: str) -> Effect:
    """What to say about an operation that has no rule."""
    if "ttention" in name or "ransformer" in name:
        return unknown("Attention weighs all positions, and what follows it may know where they are.")
    return unknown(f"What `{name or 'it'}` does to positions is not known here.")


def pair(value: Any) -> Pair:
    """(down, right); one number stands for both."""
    down, right = value if isinstance(value, list | tuple) and len(value) == 2 else (_only(value),) * 2
    return int(down), int(right)


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value
