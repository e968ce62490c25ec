"""What comes between on a Ray cluster: Ctrl-C, stores, data that changes, other drivers, other versions."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image
from tests.interrupting import interrupt
from tests.ray_cluster import RayCluster

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._inputs import Most
from shiftproof.data import load_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]
AUDIT = ["audit", "zoo:cnn1", "demo:mnist", "--protocol", "grid:2", "--limit", "2500", "--method", "direct"]
ON_CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def cluster(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Its nodes know the way to the store."""
    made = RayCluster(tmp_path_factory.mktemp("ray"))
    made.add(1)
    made.add(1)
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of it: the report and all units."""
    out = tmp_path_factory.mktemp("whole") / "r"
    done = run(os.environ, *AUDIT, *ON_CPU, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return contents(out)


def contents(out: Path) -> dict[str, bytes]:
    found = [out / "report.json", *(out / "units").iterdir()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def contents_at(address: Address) -> dict[str, bytes]:
    units = [f"units/{entry.name}" for entry in _store.list_folder(address / "units")]
    return {name: _store.read(address / name, Most.WEIGHTS) for name in ["report.json", *units]}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shiftproof", *arguments]


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=False)


def test_ctrl_c_ends_the_workers_and_the_same_command_goes_on(
    cluster: RayCluster, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    arguments = [*AUDIT, *ON_CPU, "--engine", f"ray:{cluster.address}", "--out", str(out)]
    code, said = interrupt(
        command(*arguments), signal.SIGINT, out / "units", "probe-*.safetensors", cluster.environment
    )
    assert code == 130, said
    assert "To resume: shiftproof audit" in said
    until = time.monotonic() + 60
    while cluster.workers() and time.monotonic() < until:
        time.sleep(0.1)
    assert not cluster.workers()
    assert not (out / "report.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in (out / "units").glob("probe-*")}
    assert kept
    again = run(cluster.environment, *arguments)
    assert again.returncode == 0, again.stderr
    assert contents(out) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing was computed twice"


def test_the_bytes_at_an_address_are_those_of_one_process(
    cluster: RayCluster, bucket: str, whole: dict[str, bytes]
) -> None:
    where = ["--engine", f"ray:{cluster.address}", *ON_CPU, "--out", f"{bucket}/ray"]
    done = run(cluster.environment, *AUDIT, *where)
    assert done.returncode == 0, done.stderr
    assert contents_at(Address(bucket) / "ray") == whole


def test_two_drivers_at_one_address_end_in_the_same_bytes(
    cluster: RayCluster, bucket: str, whole: dict[str, bytes]
) -> None:
    """One computes by itself, the other on a cluster; neither waits for the other."""
    engines = ("local", f"ray:{cluster.address}")
    both = [
        subprocess.Popen(
            command(*AUDIT, *ON_CPU, "--engine", engine, "--out", f"{bucket}/both"),
            env=cluster.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for engine in engines
    ]
    said = [each.communicate(timeout=600)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert contents_at(Address(bucket) / "both") == whole


def test_without_an_address_a_cluster_is_started_on_this_machine(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = run(environment, *AUDIT, *ON_CPU, "--engine", "ray", "--out", str(tmp_path / "r"))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "r") == whole


def test_images_that_change_during_the_run_end_it(cluster: RayCluster, tmp_path: Path) -> None:
    """They are read once before the measurement; a worker then reads another one."""
    folder, out = tmp_path / "images", tmp_path / "r"
    folder.mkdir()
    for number, image in enumerate(load_data("mnist", "test").head(40).images[:, 0].numpy()):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    arguments = ["audit", "zoo:cnn1", str(folder), "--protocol", "grid:1", *ON_CPU, "--out", str(out)]
    with subprocess.Popen(
        command(*arguments, "--engine", f"ray:{cluster.address}"),
        env=cluster.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not (out / "run.json").exists() and process.poll() is None:
            time.sleep(0.01)
        (folder / "39.png").write_bytes((folder / "00.png").read_bytes())
        said = " ".join(process.communicate(timeout=300)[1].split())
    assert process.returncode == 2, said
    assert "changed while it was in use" in said
    assert "Traceback" not in said
    assert not (out / "report.json").exists()


def test_a_cluster_of_another_ray_is_refused_by_name(tmp_path: Path) -> None:
    made = RayCluster(tmp_path, version="1.2.3")
    try:
        found = run(made.environment, *AUDIT, "--engine", f"ray:{made.address}", "--out", str(tmp_path / "r"))
    finally:
        made.close()
    said = " ".join(found.stderr.split())
    assert found.returncode == 2
    assert "Cannot join the Ray cluster with the Ray and Python that are here: Version mismatch" in said
    assert "Ray: 1.2.3" in said
    assert "Install the versions of the cluster on this machine." in said
    assert "Traceback" not in said
