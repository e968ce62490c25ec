"""The wheel, with nothing but the dependencies that it names: what it holds, and that extras stay extras."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Whatever stands beside the base dependencies in this environment is made absent before anything is imported.
GUARD = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = {absent!r}


class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None


sys.meta_path.insert(0, Absent())
"""
# Modules of the extras and of the tools of development, by the names under which they are imported.
IMPORTED_AS = {
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "opencv-python-headless": "cv2",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}


def optional_modules() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [
        *project["project"]["optional-dependencies"].values(),
        *project.get("dependency-groups", {}).values(),
    ]
    names = {re.split(r"[\[<>=;! ]", each)[0].lower() for group in groups for each in group}
    base = {re.split(r"[\[<>=;! ]", each)[0].lower() for each in project["project"]["dependencies"]}
    # What torch brings along is there in every installation.
    brought = {re.split(r"[\[<>=;! ]", each)[0].lower() for each in requires("torch") or ()}
    left = names - base - brought - {"shiftproof"}
    return sorted(IMPORTED_AS.get(name, name.replace("-", "_")) for name in left)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the wheel holds it, unpacked; no file of this checkout is beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    with zipfile.ZipFile(found) as archive:
        archive.extractall(folder / "site")
    (folder / "site" / "sitecustomize.py").write_text(GUARD.format(absent=optional_modules()))
    return folder / "site"


def python(wheel: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=wheel.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_public_name_is_there_without_extras(wheel: Path) -> None:
    absent = optional_modules()
    assert {"matplotlib", "timm", "onnxruntime"} <= set(absent)
    code = (
        "import importlib, pkgutil, shiftproof\n"
        "print(shiftproof.__file__)\n"
        "names = [name for name in dir(shiftproof) if not name.startswith('_')]\n"
        "[getattr(shiftproof, name) for name in names]\n"
        "assert {'load_classifier', 'load_study', 'translate'} <= set(names)\n"
        "rooms = [each.name for each in pkgutil.iter_modules(shiftproof.__path__) if each.ispkg]\n"
        "[importlib.import_module(f'shiftproof.{room}') for room in rooms if room != 'testing']\n"
        "print(len(rooms))\n"
        "assert shiftproof.load_study('article').name == 'article'\n"
        "assert shiftproof.load_study('alternatives').name == 'alternatives'\n"
    )
    where, n_rooms = python(wheel, "-c", code).split()
    assert Path(where).is_relative_to(wheel)
    assert int(n_rooms) == len(list((ROOT / "src" / "shiftproof").glob("*/__init__.py")))


@pytest.mark.slow
def test_the_first_commands_run_without_extras(wheel: Path) -> None:
    assert "Reproduce the article" in python(wheel, "-m", "shiftproof", "reproduce", "--help")
    networks = json.loads(python(wheel, "-m", "shiftproof", "zoo", "ls", "--json"))
    assert "cnn2" in str(networks)
    arguments = ["audit", "zoo:cnn2", "demo:mnist", "--limit", "20", "--protocol", "article-small", "--json"]
    record = json.loads(python(wheel, "-m", "shiftproof", *arguments))
    assert record["kind"] == "audit"
    assert record["data"]["n_images"] == 20
    assert record["protocols"][0]["estimates"]["accuracy"]["value"] > 0.5
    (wheel.parent / "report.json").write_text(json.dumps(record))
    python(wheel, "-m", "shiftproof", "report", "report.json", "--out", "report.html")
    assert (wheel.parent / "report.html").read_text(encoding="utf-8").endswith("</html>\n")
    proved = json.loads(python(wheel, "-m", "shiftproof", "certify", "zoo:cnn2-circular", "--json"))
    assert proved["circular"]["step_px"] == [4, 4]


@pytest.mark.slow
def test_what_an_extra_would_do_says_how_to_install_it(wheel: Path) -> None:
    code = "from shiftproof import load_classifier; load_classifier('timm:resnet18')"
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=wheel.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "pip install 'shiftproof[timm]'" in done.stderr
