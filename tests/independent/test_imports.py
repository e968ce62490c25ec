"""The checks of this folder are independent: only the driver, which runs commands, imports the product."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
DRIVER = "conftest.py"


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere, by its full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names |= {node.module or ""}
    return names


def test_only_the_driver_imports_the_product() -> None:
    paths = sorted(HERE.glob("*.py"))
    assert len(paths) >= 9
    for path in paths:
        names = imported(path)
        if path.name != DRIVER:
            assert not [name for name in names if name.split(".")[0] == "shiftproof"], path.name
            # Other tests' helpers use the product.
            ours = [name for name in names if name.split(".")[0] == "tests"]
            assert all(name.startswith("tests.independent.") for name in ours), path.name
            assert "importlib" not in names
            assert "__import__" not in path.read_text() or path.name == "test_imports.py"


def test_every_command_that_measures_is_checked() -> None:
    checked = {path.stem.removeprefix("test_") for path in HERE.glob("test_*.py")} - {"imports"}
    assert checked == {
        "reproduce", "audit", "tasks", "compare", "alternatives", "claims", "certify", "explain", "fix",
        "serve", "scale",
    }  # fmt: skip
