"""What an edit is, and what it gives back: another model, and a list of what is different in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from shiftproof._registry import Registry
from shiftproof.records import Change, LeftAlone

Model = nn.Module | Callable[[Tensor], Any]
# free: around any model, which stays as it is; surgery: other layers, in a copy of a module.
Kind = Literal["free", "surgery"]
Need = Literal["nothing", "images", "training"]


@dataclass(frozen=True, eq=False, slots=True)
class Edited:
    """Another model, and what is different in it.

    Args:
        model: The new model. It shares no tensor with the original, which is as it was, unless the edit
            is of the kind `free`: then it asks the original.
        changes: What is different, in the order of the layers.
        left_alone: What should have been changed and could not be.
    """

    model: Model
    changes: tuple[Change, ...]
    left_alone: tuple[LeftAlone, ...] = ()

    @property
    def module(self) -> nn.Module:
        """The new model, where it is a module; it is one if the original was.

        Raises:
            TypeError: It is a function.
        """
        if not isinstance(self.model, nn.Module):
            raise TypeError("The original is a function, and so is what was made of it.")
        return self.model


@dataclass(frozen=True, slots=True)
class Edit:
    """A way to make a network lose less when its images move.

    Args:
        name: Unique name.
        kind: `free` works with any model, without training; `surgery` replaces layers of a module.
        make: Takes the model, and by keyword what its signature says: `layers`, `images` and options.
        summary: One line for a table.
        source: Where it was published, and how ours differs.
        cost: What it costs, in words.
        needs: What it needs to be of use: nothing, some images, or training after it.
        fixed: Options that the name stands for.
    """

    name: str
    kind: Kind
    make: Callable[..., Edited]
    summary: str
    source: str
    cost: str
    needs: Need = "nothing"
    fixed: Mapping[str, Any] = field(default_factory=dict)


edits: Registry[Edit] = Registry("edit")
