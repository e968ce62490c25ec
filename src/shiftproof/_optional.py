"""One way to ask for a package that is not part of the core installation."""

from __future__ import annotations

import importlib
from types import ModuleType

from shiftproof.errors import MissingDependencyError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra brings it.

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
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = error.name == module.partition(".")[0]
        cause = f"{purpose} needs it." if absent else f"It needs {error.name!r}, which is absent."
        raise MissingDependencyError(
            f"the package {module!r} to be installed",
            "no such package" if absent else "an incomplete installation",
            cause=cause,
            fix=f"Run: pip install 'shiftproof[{extra}]'",
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingDependencyError(
            f"the package {module!r} to import",
            f"{type(error).__name__}: {error}",
            cause="It is installed but broken, often because it was built for another torch.",
            fix="Install the build that matches your torch.",
        ) from error
