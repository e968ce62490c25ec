"""The structure of the package, checked: imports point down the list of rooms, without cycles."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "shiftproof"
TESTS = Path(__file__).parent

# A room may import from the rooms before it. Files beside the rooms are the ground they stand on.
ROOMS = (
    "records", "shifts", "data", "layers", "zoo", "edits", "adapters", "anatomy", "dense", "engine", "probe",
    "metrics", "explain", "certify", "train", "report", "audits", "fix", "study", "article", "testing",
    "serve", "cli",
)  # fmt: skip
MAX_LINES = 400
# The last ones are what a page is expected to show.
CHECKS = ("raises", "assert_close", "assert_outcomes", "to_have_count", "to_be_visible")
MAX_PUBLIC_NAMES = 25


def modules() -> dict[str, Path]:
    return {
        ".".join(("shiftproof", *path.relative_to(SOURCE).with_suffix("").parts)): path
        for path in sorted(SOURCE.rglob("*.py"))
    }


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("shiftproof"):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("shiftproof")}
    return found


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def test_every_folder_is_a_room() -> None:
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert folders <= set(ROOMS)
    assert folders


@pytest.mark.parametrize("name", modules())
def test_imports_point_down_the_list(name: str) -> None:
    home = room(name)
    if name in ("shiftproof.__init__", "shiftproof.__main__"):
        return
    limit = ROOMS.index(home) if home else -1
    for target in imports(modules()[name]):
        there = room(target)
        assert there is None or ROOMS.index(there) <= limit, f"{name} imports {target}"
        if there != home and there is not None:
            private = [part for part in target.split(".")[2:] if part.startswith("_")]
            assert not private, f"{name} reaches into {target}; import it from its room"


def test_only_the_command_line_knows_the_article() -> None:
    users = {room(name) for name, path in modules().items() if "article" in {room(t) for t in imports(path)}}
    assert users == {"article", "cli"}


def test_no_cycles() -> None:
    known = modules()
    graph = {
        name.removesuffix(".__init__"): {t for t in imports(path) if t in known}
        for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"cycle: {' → '.join((*trail, name))}"
        if name not in done:
            for target in graph.get(name, ()):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) >= len(known)


@pytest.mark.parametrize("part", ["", ".records", ".report", ".cli"])
def test_these_import_no_torch(part: str) -> None:
    code = f"import sys, shiftproof{part}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_few_and_all_exist() -> None:
    import shiftproof

    names = dir(shiftproof)
    assert 0 < len(names) <= MAX_PUBLIC_NAMES
    for name in names:
        assert getattr(shiftproof, name) is not None


def test_files_are_private_and_short() -> None:
    for path in SOURCE.glob("*/*.py"):
        assert path.name.startswith("_"), f"{path} is public: re-export from __init__ instead"
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= MAX_LINES, f"{path} is long: two ideas?"


def test_every_test_asserts_and_has_its_own_name() -> None:
    for path in TESTS.rglob("test_*.py"):
        seen: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            assert node.name not in seen, f"{path.name}: {node.name} is defined twice"
            seen.add(node.name)
            checks = [
                inner
                for inner in ast.walk(node)
                if isinstance(inner, ast.Assert)
                or (isinstance(inner, ast.Attribute) and inner.attr in CHECKS)
                or (isinstance(inner, ast.Name) and (inner.id == "expect" or inner.id.startswith("assert_")))
            ]
            assert checks, f"{path.name}: {node.name} cannot fail"


def test_every_raises_says_what_it_expects() -> None:
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.raises":
                assert any(k.arg == "match" for k in node.keywords), f"{path.name}:{node.lineno}"


def test_tests_import_by_the_public_way_where_there_is_one() -> None:
    """A file that is moved within its room breaks no test of what the room shows."""
    shown = {
        (node.module, alias.name)
        for path in SOURCE.glob("*/__init__.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and "._" in str(node.module)
        for alias in node.names
    }
    assert ("shiftproof.shifts._laws", "Grid") in shown
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                private = [alias.name for alias in node.names if (node.module, alias.name) in shown]
                assert not private, f"{path.name}:{node.lineno}: import {private} from its room"


def test_configuration_is_for_tools_that_exist() -> None:
    tools = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["tool"]
    assert set(tools) == {"hatch", "ruff", "mypy", "pytest"}


def test_contributing_is_short() -> None:
    assert len((TESTS.parent / "CONTRIBUTING.md").read_text().splitlines()) <= 60
