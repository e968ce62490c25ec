"""The same units on a real Ray cluster of several nodes: the same bytes, or one sentence why not."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.article.tiny_claims import contents
from tests.ray_cluster import RayCluster

import shiftproof
from shiftproof._version import __version__
from shiftproof.data import load_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
AUDIT = ["audit", "zoo:cnn2", "demo:mnist", "--protocol", "grid:2", "--limit", "2500", "--method", "direct"]
SMALL = ["audit", "zoo:cnn1", "demo:mnist", "--untrained", "--protocol", "grid:1", "--limit", "20"]
STUDY = ["study", "article", "--networks", "cnn1,dense-nn", "--epochs", "1", "--limit", "200"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    made = RayCluster(tmp_path_factory.mktemp("ray"))
    made.add(1)
    made.add(1)
    yield made
    made.close()


def run(cluster: RayCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shiftproof", *arguments],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [AUDIT, STUDY], ids=["audit", "study"])
def test_the_bytes_are_those_of_one_process(command: list[str], cluster: RayCluster, tmp_path: Path) -> None:
    for name, engine in (("here", "local"), ("there", f"ray:{cluster.address}")):
        found = run(cluster, *command, "--engine", engine, "--device", "cpu", "--out", str(tmp_path / name))
        assert found.returncode == 0, found.stderr
    here, there = tmp_path / "here", tmp_path / "there"
    assert (here / "report.json").read_bytes() == (there / "report.json").read_bytes()
    units = sorted(path.name for path in (here / "units").iterdir())
    assert units == sorted(path.name for path in (there / "units").iterdir())
    for name in units:
        assert (here / "units" / name).read_bytes() == (there / "units" / name).read_bytes()
    assert "2,500 of 2,500 images" in found.stderr or "trained and measured" in found.stderr


def test_layers_are_explained_to_the_same_bytes(cluster: RayCluster) -> None:
    command = ["explain", "zoo:all-cnn", "demo:mnist", "--limit", "6", "--border", "circular", "--json"]
    here, there = (
        run(cluster, *command, "--quiet", "--device", "cpu", "--engine", engine)
        for engine in ("local", f"ray:{cluster.address}")
    )
    assert here.returncode == there.returncode == 0, there.stderr
    assert here.stdout == there.stdout


def test_candidates_of_a_fix_are_trained_and_measured_alike(cluster: RayCluster, tmp_path: Path) -> None:
    """All but the clock, which is of another minute."""
    digits, file = load_data("mnist", "test").head(240), tmp_path / "digits.npz"
    np.savez(file, images=digits.images[:, 0].numpy(), labels=digits.labels.numpy())
    command = ["fix", "zoo:cnn2", str(file), "--epochs", "2", "--batch-size", "32", "--protocol", "box:3,3,2"]
    command += ["--edits", "max-blur-pool,average-logits", "--no-onnx", "--threads", "1", "--json", "--quiet"]
    tables, networks = [], []
    for engine in ("local", f"ray:{cluster.address}"):
        out = tmp_path / engine[:3]
        found = run(cluster, *command, "--device", "cpu", "--engine", engine, "--out", str(out))
        assert found.returncode == 0, found.stderr
        rows = json.loads(found.stdout)["rows"]
        tables.append({row["name"]: row["estimates"] for row in rows})  # their order is that of their cost
        networks.append({path.name: path.read_bytes() for path in (out / "networks").iterdir()})
    assert tables[0] == tables[1]
    assert networks[0] == networks[1]
    assert len(tables[0]) > 1
    assert len(networks[0]) > 1


def test_claims_are_the_same_but_for_the_clock(
    cluster: RayCluster, claims_here: Path, tmp_path: Path
) -> None:
    there, engine = tmp_path / "there", f"ray:{cluster.address}"
    done = subprocess.run(
        [sys.executable, "-m", "tests.article.tiny_claims", str(there), str(claims_here), engine],
        cwd=Path(__file__).parents[2],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert contents(there) == contents(claims_here)


SHARES = """
import json, os, sys
from shiftproof.engine import Shared, parse_engine, workers_of

FOLDER = sys.argv[2]

def load(device):
    open(f"{FOLDER}/{os.getpid()}", "a").write("loaded\\n")
    return os.getpid()

def look(pid, channel):
    import ray
    return pid, os.getpid(), ray.get_runtime_context().get_assigned_resources().get("GPU")

engine = parse_engine(sys.argv[1], gpus=0.5)
with workers_of(engine, Shared(0, load)) as workers:
    found = [workers.run([look] * 20) for _ in range(2)]
print(json.dumps(found[0] + found[1]))
"""


def test_gpus_are_shared_and_what_tasks_need_is_loaded_once_by_each_worker(
    cluster: RayCluster, tmp_path: Path
) -> None:
    """On a node that says it has a GPU: nothing is computed on it here."""
    node = cluster.add(4, n_gpus=1)
    done = subprocess.run(
        [sys.executable, "-c", SHARES, f"ray:{cluster.address}", str(tmp_path)],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    cluster.kill(node)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 40
    assert {gpus for _, _, gpus in found} == {0.5}
    assert all(loaded_by == done_by for loaded_by, done_by, _ in found)
    loads = {int(path.name): path.read_text() for path in tmp_path.glob("[0-9]*")}
    assert {each for each, _, _ in found} <= set(loads)
    assert len(loads) == 2, "two on the one GPU, though there are cores for more"
    assert set(loads.values()) == {"loaded\n"}


def test_more_than_a_node_has_is_refused(cluster: RayCluster, tmp_path: Path) -> None:
    where = ["--engine", f"ray:{cluster.address}", "--gpus-per-worker", "2"]
    found = run(cluster, *SMALL, *where, "--out", str(tmp_path / "r"))
    assert found.returncode == 2
    assert "Expected a node with 1 cores and 2 GPUs for a worker" in " ".join(found.stderr.split())


def test_a_cluster_that_is_away_is_one_sentence(cluster: RayCluster, tmp_path: Path) -> None:
    found = run(cluster, *SMALL, "--engine", "ray:127.0.0.1:9", "--out", str(tmp_path / "r"))
    assert found.returncode == 2
    assert "Error: Cannot join a Ray cluster at 127.0.0.1:9: " in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "r").exists(), "it is said before anything is begun"


def test_nodes_with_other_packages_are_refused(tmp_path: Path) -> None:
    """One whose Python finds another shiftproof; then one where it cannot be imported."""
    other = tmp_path / "other" / "shiftproof"
    shutil.copytree(Path(shiftproof.__file__).parent, other)
    (other / "_version.py").write_text('__version__ = "0.0.1"\n')
    made = RayCluster(tmp_path)
    command = [*SMALL, "--engine", f"ray:{made.address}", "--out", str(tmp_path / "r")]
    try:
        made.add(1, {"PYTHONPATH": str(tmp_path / "other")})
        of_another_version = run(made, *command)
        (other / "__init__.py").write_text("import a_package_that_is_nowhere\n")
        without_a_package = run(made, *command)
    finally:
        made.close()
    assert of_another_version.returncode == without_a_package.returncode == 2
    wanted = f"Expected shiftproof {__version__} on every node, got shiftproof 0.0.1"
    assert wanted in " ".join(of_another_version.stderr.split())
    wanted = (
        "Error: Cannot start a worker on every node: ModuleNotFoundError: No module named "
        "'a_package_that_is_nowhere'. Install the same packages on all nodes."
    )
    assert wanted in " ".join(without_a_package.stderr.split())
