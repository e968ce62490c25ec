"""What a user may say about where units are computed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from shiftproof._device import choose_devices
from shiftproof.audits import AuditOptions, _question, ask
from shiftproof.cli import main
from shiftproof.engine import Engine, Shared, _ray, parse_engine, workers_of
from shiftproof.engine._cluster import connected
from shiftproof.errors import (
    MissingDependencyError,
    OptionError,
    ShiftproofError,
    UnknownNameError,
    WorkerError,
)


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("local", "local", None),
        ("ray", "ray", None),
        ("ray:auto", "ray", "auto"),
        ("ray:10.0.0.1:6379", "ray", "10.0.0.1:6379"),
        ("ray:[::1]:6379", "ray", "[::1]:6379"),
    ],
)
def test_engines_by_name(text: str, kind: str, address: str | None) -> None:
    found = parse_engine(text)
    assert (found.kind, found.address) == (kind, address)


@pytest.mark.parametrize("text", ["", "dask", "local:2", "Ray", "raycluster"])
def test_other_engines_are_unknown(text: str) -> None:
    with pytest.raises(UnknownNameError, match=r"name of a computing engine.*Known: local, ray, ray:ADDRESS"):
        parse_engine(text)


@pytest.mark.parametrize(
    "text",
    [
        "ray:",
        "ray:host",
        "ray:host:",
        "ray:host:0",
        "ray:host:99999",
        "ray://host:10001",
        "ray::6379",
        "ray:h:²",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="the address of a Ray cluster, as in"):
        parse_engine(text)


def test_what_does_not_go_together() -> None:
    with pytest.raises(OptionError, match=r"a Ray cluster for --gpus-per-worker, got --engine local"):
        parse_engine("local", gpus=0.5)
    with pytest.raises(OptionError, match=r"one kind of device with --engine ray, got cuda:0, cuda:1"):
        parse_engine("ray", devices=["cuda:0", "cuda:1"])
    for gpus in (-1.0, 1.5, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="a part of one GPU, or whole GPUs"):
            parse_engine("ray", gpus=gpus)
    with pytest.raises(OptionError, match="workers from 1 to"):
        Engine(workers=0)


def test_convention_workers_of_ray_have_one_core_and_a_gpu_only_where_they_compute_on_it() -> None:
    assert (parse_engine("ray").cores_each, parse_engine("ray").gpus_each) == (1, 0.0)
    assert parse_engine("ray", devices=["cuda"]).gpus_each == 1.0
    assert parse_engine("ray", devices=["cuda"], gpus=0.25, threads=3).gpus_each == 0.25
    assert parse_engine("ray", threads=3).cores_each == 3


def test_devices_of_a_list() -> None:
    assert choose_devices("cpu, cpu") == (torch.device("cpu"),) * 2
    with pytest.raises(OptionError, match="a device such as auto, cpu, cuda"):
        choose_devices("cpu,nowhere")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingDependencyError, match=r"--engine ray needs it.*'shiftproof\[ray\]'"),
        workers_of(parse_engine("ray"), Shared.of(None)),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rays"}, "name of a computing engine, got 'rays'"),
        ({"engine": "ray", "device": "cpu,cpu"}, "one kind of device with --engine ray"),
        ({"engine": "ray:127.0.0.1:9"}, "Cannot join a Ray cluster at 127.0.0.1:9"),
        ({"engine": "ray:127.0.0.1:9", "without": "ray"}, "--engine ray needs it"),
    ],
)
def test_what_is_wrong_with_an_engine_is_said_before_images_are_read(
    options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be a million of them, and a model that takes minutes to load."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("it is loaded although it cannot be measured")

    for name in ("load_framed", "load_classifier"):
        monkeypatch.setattr(_question, name, load)
    fake = None if options.get("without") == "ray" else SimpleNamespace(is_initialized=lambda: False)
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(ShiftproofError, match=message):
        ask(
            "zoo:cnn1",
            "demo:mnist",
            AuditOptions(engine=options["engine"], device=options.get("device", "cpu")),
        )


def test_an_engine_that_is_none_leaves_no_run_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["audit", "zoo:cnn1"], ["fix", "zoo:cnn1"], ["study", "article"]):
        data = [] if command[0] == "study" else ["demo:mnist"]
        assert main([*command, *data, "--engine", "rays", "--out", str(tmp_path / "r")]) == 2
        assert "Did you mean 'ray'?" in capsys.readouterr().err
        assert not (tmp_path / "r").exists()


def joined(monkeypatch: pytest.MonkeyPatch, address: str, **more: object) -> object:
    """A process that is connected to a cluster already, as in a notebook."""
    ray = SimpleNamespace(
        is_initialized=lambda: True,
        get_runtime_context=lambda: SimpleNamespace(gcs_address=address),
        util=SimpleNamespace(get_node_ip_address=lambda: "192.0.2.2"),
        **more,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


@pytest.mark.parametrize("engine", ["ray", "ray:auto", "ray:192.0.2.2:6379", "ray:127.0.0.1:6379"])
def test_whoever_is_connected_to_the_cluster_stays_so(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = joined(monkeypatch, "192.0.2.2:6379")
    found, leave = connected(parse_engine(engine))
    assert found is ray
    leave()  # which would be `ray.shutdown`, and there is none


@pytest.mark.parametrize(
    ("engine", "there"),
    [
        ("ray:192.0.2.9:6379", "192.0.2.2:6379"),
        ("ray:127.0.0.1:6380", "192.0.2.2:6379"),
        ("ray:127.0.0.1:6379", "192.0.2.9:6379"),
    ],
)
def test_whoever_is_connected_to_another_cluster_is_told_so(
    engine: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(monkeypatch, there)
    with pytest.raises(
        WorkerError, match=f"this process is connected to that at {there}. Call `ray.shutdown"
    ):
        connected(parse_engine(engine))


def test_workers_whose_nodes_are_gone_before_they_began_are_not_waited_for_without_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 1.0}}]
    actor = SimpleNamespace(begin=SimpleNamespace(remote=object))
    actors = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_: actor))
    more = {"nodes": lambda: nodes, "put": lambda load: load, "remote": lambda **_: lambda _: actors}
    joined(monkeypatch, "192.0.2.2:6379", **more)
    monkeypatch.setattr(_ray, "SECONDS_BETWEEN_NEWS", -1.0)
    monkeypatch.setattr(_ray, "SECONDS_WITHOUT_ROOM", -1.0)
    crew = _ray.RayCrew(Shared.of(None), parse_engine("ray"))
    assert crew.room() == 1
    crew.start(0)
    nodes.clear()
    with pytest.raises(WorkerError, match="the Ray cluster had no room for a worker"):
        crew.room()


def test_a_project_file_may_not_choose_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.shiftproof]\nengine = "ray:198.51.100.1:6379"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "zoo:cnn1", "demo:mnist"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "could have images and models sent to a machine of theirs" in said


def test_an_audit_of_two_workers_has_the_same_bytes(tmp_path: Path) -> None:
    """And one that was begun by one goes on with two."""
    command = ["audit", "zoo:cnn1", "demo:mnist", "--limit", "40", "--protocol", "grid:1", "--quiet"]
    for name, device in (("one", "cpu"), ("two", "cpu,cpu")):
        assert main([*command, "--device", device, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "one" / "report.json").read_bytes() == (tmp_path / "two" / "report.json").read_bytes()


def test_a_cluster_without_room_says_what_is_missing() -> None:
    from shiftproof.engine._cluster import room_for

    class Nodes:
        def nodes(self) -> list[dict[str, object]]:
            alive = [{"CPU": 4.0, "GPU": 2.0}, {"CPU": 1.0}, {}]
            return [{"Alive": True, "Resources": each} for each in alive] + [
                {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
            ]

    def room(**settings: float | int | None) -> int:
        return room_for(Nodes(), parse_engine("ray", **settings), at_start=True)  # type: ignore[arg-type]

    assert room() == 5
    assert room(threads=2) == 2
    assert room(gpus=0.5) == 4
    assert room(gpus=0.4) == 4, "two on each GPU, not five on both"
    assert room(gpus=2) == 1
    with pytest.raises(WorkerError, match=r"8 cores and 0 GPUs for a worker, got 3 nodes with up to 4 cores"):
        room(threads=8)
    with pytest.raises(WorkerError, match=r"Lower --threads or --gpus-per-worker"):
        room(gpus=3)
