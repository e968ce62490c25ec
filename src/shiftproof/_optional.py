"""One way to ask for a package that is not part of the core installation."""

from __future__ import annotations

import importlib
import importlib.metadata
import traceback
from contextlib import suppress
from types import ModuleType
from typing import Any

from shiftproof.errors import MissingDependencyError

# What is missing where torchvision was built for another torch: operators of detection, which no classifier
# uses, and whose absence keeps the whole package, and with it timm and transformers, from being imported.
OPERATORS_MISSING = "operator torchvision::nms does not exist"
OPERATORS = ("nms", "qnms")
# torchvision 0.28 belongs to torch 2.13, and so on.
MINOR_AHEAD = 15
_declared: list[Any] = []


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra brings it, or what mends it.

    A torchvision without its compiled operators is imported without them.

    Args:
        module: Dotted name to import.
        extra: The extra of this package that installs it.
        purpose: What needs it, as the subject of a sentence.

    Returns:
        The imported module.

    Raises:
        MissingDependencyError: It is not installed, or is installed and fails to import
            (a torchvision built for another torch fails with a `RuntimeError`, not an `ImportError`).

    Example:
        >>> require("json", extra="none", purpose="This example").__name__
        'json'
    """
    try:
        return _imported(module)
    except ModuleNotFoundError as error:
        absent = error.name == module.partition(".")[0]
        cause = f"{purpose} needs it." if absent else f"It needs {error.name!r}, which is absent."
        raise MissingDependencyError.cannot(
            f"import the package {module!r}",
            "not installed" if absent else "installed in part",
            cause=cause,
            fix=f"Run: pip install 'shiftproof[{extra}]'",
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingDependencyError.cannot(
            f"import the package {module!r}",
            f"{type(error).__name__}: {error}",
            cause=f"{_culprit(error) or module} is installed but broken.",
            fix=f"Run: {_mending(_culprit(error) or module)}",
        ) from error


def lacks_operators() -> bool:
    """Whether torchvision was imported without its compiled operators."""
    return bool(_declared)


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        if OPERATORS_MISSING not in str(error):
            raise
    _declare_operators()
    return importlib.import_module(module)


def _declare_operators() -> None:
    """Say that the operators exist; who calls one is told that it does nothing on this machine."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    with suppress(RuntimeError):  # declared by someone else
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
        _declared.append(library)  # it takes them back when it is deleted


def _culprit(error: BaseException) -> str:
    """The package whose code failed last: often one that the wanted one imports."""
    packages = [
        str(frame.f_globals.get("__name__", "")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    ours = {"", "importlib", "torch", __name__.partition(".")[0]}
    return next((name for name in reversed(packages) if name not in ours and name.isidentifier()), "")


def _mending(package: str) -> str:
    """The command that installs the build of a package that fits.

    Example:
        >>> _mending("timm")
        'pip install --force-reinstall --no-deps timm'
    """
    command = "pip install --force-reinstall --no-deps"
    if package != "torchvision":
        return f"{command} {package}"
    release, _, build = importlib.metadata.version("torch").partition("+")
    minor = int(release.split(".")[1]) + MINOR_AHEAD
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"{command} 'torchvision==0.{minor}.*'{index}"
