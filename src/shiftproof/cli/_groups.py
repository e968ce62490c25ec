"""Options that belong together as one argument of a command: a dataclass, with a field for each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer needs it: with one parameter per option.

    Args:
        command: A function that may take dataclasses, whose fields are annotated as parameters are.

    Example:
        >>> from shiftproof.cli._options import Shown
        >>> def greet(name: str, *, shown: Shown) -> None: ...
        >>> list(inspect.signature(grouped(greet)).parameters)
        ['name', 'as_json', 'quiet']
    """
    types = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in types.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = types[name]
        if name not in groups:
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=kind))
            continue
        of_fields = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(
                each.name, parameter.KEYWORD_ONLY, default=each.default, annotation=of_fields[each.name]
            )
            for each in fields(kind)
        ]

    @wraps(command)
    def with_options(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{each.name: given.pop(each.name) for each in fields(kind)})
        command(**given)

    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options
