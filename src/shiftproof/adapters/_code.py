"""`file.py:callable` and `pkg.mod:callable`: a module, what builds one, or a function of images."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from shiftproof._digest import digest_of_bytes
from shiftproof._inputs import Most, read_file
from shiftproof._registry import unknown_name
from shiftproof.adapters._classifier import Classifier, as_classifier, digest_of_module
from shiftproof.adapters._failures import explained
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import put_weights
from shiftproof.errors import ModelError

_GIVEN = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class _Found:
    """An object in a source file.

    Args:
        name: How reports call it.
        value: The object.
        source: Content of the file that it comes from.
    """

    name: str
    value: Any
    source: bytes


def _load_file(reference: str, request: ModelRequest) -> Classifier:
    file, _, attribute = reference.rpartition(":")
    path = Path(file)
    with explained(f"read {path.name}"):
        source = read_file(path, Most.CODE)
    with importable_from(path.parent), explained(f"run {path.name}"):
        module = _run(path, source)
    name = f"{path.name}:{attribute}"
    return _classifier(_Found(name, _attribute(module, attribute, path.name), source), request, path.parent)


def _load_module(reference: str, request: ModelRequest) -> Classifier:
    dotted, _, attribute = reference.partition(":")
    with importable_from(Path.cwd()), explained(f"import {dotted}"):
        module = importlib.import_module(dotted)
    file = getattr(module, "__file__", None)
    source = Path(file).read_bytes() if file else b""
    return _classifier(_Found(reference, _attribute(module, attribute, dotted), source), request, Path.cwd())


def _run(path: Path, source: bytes) -> ModuleType:
    """Execute the bytes that the digest is of: no cache of compiled code is read or written."""
    module = ModuleType(f"shiftproof_user_{digest_of_bytes([str(path.resolve()).encode(), source])[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look for it there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


@contextmanager
def importable_from(folder: Path) -> Iterator[None]:
    """As for a script: modules in its folder can be imported while it loads."""
    entry = str(folder.resolve())
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with suppress(ValueError):  # what was loaded may have changed the path as well
            sys.path.remove(entry)


def _attribute(module: ModuleType, dotted: str, place: str) -> Any:
    value: Any = module
    for name in dotted.split("."):
        if not name or not hasattr(value, name):
            known = [key for key in vars(value) if not key.startswith("_") and callable(getattr(value, key))]
            raise unknown_name(f"callable in {place}", dotted, known)
        value = getattr(value, name)
    return value


def _classifier(found: _Found, request: ModelRequest, folder: Path) -> Classifier:
    with importable_from(folder):
        model, notes = _model(found, request.arguments)
    if request.weights is not None:
        module = model.model if isinstance(model, Classifier) else model
        if not isinstance(module, nn.Module):
            raise ModelError(f"{found.name} to be or build a module for --weights", "a function")
        put_weights(module, request.weights)
    classifier = as_classifier(model)
    state = ""
    if isinstance(classifier.model, nn.Module):
        for part in classifier.model.modules():
            part.training = False  # exported modules refuse `eval()`
        state = digest_of_module(classifier.model)
    return replace(
        classifier,
        name=found.name,
        digest=digest_of_bytes([found.source, state.encode()]),
        notes=(*classifier.notes, *notes),
    )


def _model(found: _Found, arguments: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """What a callable is or builds.

    Parameters decide: one that `arguments` leaves without a value takes images; none: it is called to
    build the model.
    """
    value = found.value
    if isinstance(value, nn.Module | Classifier):
        _refuse_arguments(found, arguments)
        return value, ()
    if not callable(value):
        raise ModelError(
            f"{found.name} to be callable",
            f"a {type(value).__name__}",
            fix="Name a module, a class or function that builds one, or a function of images.",
        )
    left = _parameters_left(found, arguments)
    if len(left) == 1 and not isinstance(value, type):
        return functools.partial(value, **arguments) if arguments else value, (
            f"a function of images: {left[0]!r} is the one parameter without a value",
        )
    if left:
        raise ModelError(
            f"values for all parameters of {found.name}",
            f"none for {', '.join(left)}",
            fix=f"Give --model-arg {left[0]}=VALUE.",
        )
    with explained(f"build a model with {found.name}"):
        built = value(**arguments)
    if not isinstance(built, nn.Module | Classifier) and not callable(built):
        raise ModelError(f"{found.name} to build a module or a function", f"a {type(built).__name__}")
    return built, ()


def _parameters_left(found: _Found, arguments: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that need a value and have none."""
    value: Callable[..., Any] = found.value
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):  # some functions in C do not tell; such a one is no factory
        return ["images"]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in arguments:
        if not takes_any and name not in parameters:
            raise unknown_name(f"parameter of {found.name}", name, parameters)
    return [
        name
        for name, p in parameters.items()
        if p.default is p.empty and name not in arguments and p.kind in (*_GIVEN, p.KEYWORD_ONLY)
    ]


def _refuse_arguments(found: _Found, arguments: Mapping[str, Any]) -> None:
    if arguments:
        raise ModelError(
            f"no arguments for {found.name}",
            ", ".join(arguments),
            cause=f"It is a {type(found.value).__name__} that is built already.",
            fix="Leave out --model-arg, or name a function that builds it.",
        )


PYTHON_FILE = ModelSource(
    ".py",
    _load_file,
    "a module in a file, or a function that builds or is one",
    "file.py:callable",
    takes=frozenset({"weights", "arguments"}),
    runs_code="the file",
)
PYTHON_MODULE = ModelSource(
    "module",
    _load_module,
    "the same in a module that can be imported; `module:` may be left out",
    "pkg.mod:callable",
    takes=frozenset({"weights", "arguments"}),
    runs_code="that module",
)
