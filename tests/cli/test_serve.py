"""`shiftproof serve`: what it opens, says and refuses, and how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shiftproof.cli._serve
import shiftproof.serve
from shiftproof.cli import main
from shiftproof.serve import Address, Exhibit

SLOW = """\
import time
from pathlib import Path


def model(images):
    time.sleep(600 if Path("begun").exists() else 0.4)
    return images.mean((2, 3)).expand(-1, 3)
"""


class Served:
    """What a command would have served."""

    def __init__(self) -> None:
        self.shown: Exhibit | None = None
        self.options: dict[str, Any] = {}

    def __call__(self, shown: Exhibit, *, host: str, port: int, on_ready: Callable[[Address], None]) -> None:
        self.shown, self.options = shown, {"host": host, "port": port}
        on_ready(Address(host, port + 1, "token"))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    found = Served()
    monkeypatch.setattr(shiftproof.serve, "run_server", found)
    monkeypatch.setattr(shiftproof.cli._serve, "_leave", lambda: None)
    return found


def test_without_arguments_it_shows_the_articles_networks(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve"]) == 0
    assert served.shown is not None
    assert [model.name for model in served.shown.models][:2] == ["zoo:cnn2", "zoo:cnn2-augmented"]
    out, err = capsys.readouterr()
    assert out == "http://127.0.0.1:8766/token/\n"
    assert "Port 8765 is in use" in err


def test_a_model_alone_looks_at_digits_and_others_move_along(served: Served) -> None:
    assert main(["serve", "zoo:cnn1", "--beside", "zoo:cnn2-aps", "--limit", "7", "--radius", "3"]) == 0
    assert served.shown is not None
    assert [model.name for model in served.shown.models] == ["zoo:cnn1", "zoo:cnn2-aps"]
    assert len(served.shown.images) == 7
    assert served.shown.radius_px == 3


def test_small_images_move_as_far_as_a_pixel_of_them_stays(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The radius that nobody asked for is that of the images, not one that the page refuses."""
    monkeypatch.chdir(tmp_path)
    Path("file.py").write_text(SLOW)
    np.savez("small.npz", images=np.zeros((3, 6, 30), np.uint8))
    asked = ["serve", "file.py:model", "small.npz", "--size", "6x30", "--channels", "1", "--trust"]
    assert main([*asked, "--task", "single-label"]) == 0
    assert served.shown is not None
    assert served.shown.radius_px == 5
    assert main([*asked, "--task", "single-label", "--radius", "6"]) == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    command = [
        "audit",
        "zoo:cnn2",
        "demo:mnist",
        "--limit",
        "30",
        "--seed",
        "4",
        "--protocol",
        "grid:4",
        "--border",
        "edge",
    ]
    code = "import sys; from shiftproof.cli import main; sys.argv[1:] = {}; sys.exit(main())"
    line = [sys.executable, "-c", code.format([*command, "--out", str(folder)])]
    subprocess.run(line, check=True, capture_output=True)
    return folder


def test_a_fix_is_shown_before_and_after(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["fix", "zoo:cnn2", "demo:mnist", "--edits", "canonical-position", "--limit", "40"]
    command += ["--protocol", "box:4,4,2", "--no-onnx", "--quiet", "--out", str(tmp_path / "fixed")]
    monkeypatch.setattr("sys.argv", ["shiftproof", *command])
    assert main(command) == 0
    assert main(["serve", str(tmp_path / "fixed")]) == 0
    assert served.shown is not None
    assert [model.name for model in served.shown.models] == ["zoo:cnn2", "fixed:fixed"]
    assert len(served.shown.images) == 40


def test_a_run_is_opened_at_its_worst_image(
    served: Served, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(run)]) == 0
    record = json.loads((run / "report.json").read_text())
    assert served.shown is not None
    assert served.shown.images.digest == record["data"]["digest"]
    assert served.shown.models[0].digest == record["model"]["digest"]
    assert served.shown.radius_px == 4
    worst = record["protocols"][0]["worst"][0]
    dy, dx = worst["flip_offset_px"]
    out = capsys.readouterr().out.strip()
    assert out.endswith(f"/token/#image={worst['index']}&dy={dy:g}&dx={dx:g}&border=edge")


def changed(run: Path, tmp_path: Path, file: str, change: Callable[[Any], None]) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("run.json", "report.json"):
        value = json.loads((run / name).read_text())
        if name == file:
            change(value)
        (copy / name).write_text(json.dumps(value))
    return copy


def test_a_run_whose_model_is_another_now_is_refused(
    served: Served, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = changed(run, tmp_path, "report.json", lambda value: value["model"].update(digest="0" * 64))
    assert main(["serve", str(copy)]) == 2
    assert "another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("shiftproof audit file.py:model demo:mnist --trust", "Cannot load file.py:model: it is not trusted"),
        ("shiftproof study article", "a run of 'shiftproof study'"),
        ("shiftproof audit --nonsense", "its command is none"),
        ("shiftproof audit --help", "its command only asks for help"),
        ("'", "No closing quotation"),
        (7, "Cannot find a finished audit or fix"),
    ],
)
def test_what_a_run_says_is_not_trusted(
    served: Served, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Any, why: str
) -> None:
    copy = changed(run, tmp_path, "run.json", lambda value: value["sessions"][-1].update(command=command))
    assert main(["serve", str(copy)]) == 2
    assert why in " ".join(capsys.readouterr().err.split())
    assert served.shown is None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--host", "0.0.0.0"], "add --i-know"),
        (["--radius", "0"], "a radius from 1 to 27 px"),
        (["--radius", "28"], "a radius from 1 to 27 px"),
        (["zoo:cnn2", "nowhere"], "images to measure on"),
        (["zoo:nothing"], "nothing"),
        (["torchvision:resnet18", "--untrained"], "Name them after it."),
        (["zoo:cnn2", "--beside", "torchvision:resnet18", "--untrained"], "same pixels"),
    ],
)
def test_mistakes_are_sentences(
    served: Served, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert main(["serve", *arguments]) == 2
    err = capsys.readouterr().err
    assert why in " ".join(err.split())
    assert "Traceback" not in err
    assert served.shown is None


def test_without_its_packages_it_says_what_to_install(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 2
    assert "pip install 'shiftproof[serve]'" in " ".join(capsys.readouterr().err.split())


def test_what_others_can_reach_is_said(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", "0.0.0.0", "--i-know", "--port", "0"]) == 0
    assert "Whoever reaches 0.0.0.0" in capsys.readouterr().err


def test_it_answers_and_ctrl_c_ends_it_in_the_middle_of_a_plane(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [
        sys.executable,
        "-m",
        "shiftproof",
        "serve",
        "slow.py:model",
        "demo:mnist",
        "--trust",
        "--channels",
        "1",
        "--size",
        "28",
    ]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command += ["--port", str(port)]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            host, path = address.removeprefix("http://").split("/", 1)
            assert int(host.partition(":")[2]) > port
            with urllib.request.urlopen(f"{address}start") as start:
                assert json.load(start)["n_images"] == 200
            question = json.dumps({"model": 0, "image": "0"})
            with closing(http.client.HTTPConnection(host)) as connection:
                connection.request("POST", f"/{path}plane", question, {"Origin": f"http://{host}"})
                with connection.getresponse() as response:
                    assert response.status == 200
                    assert json.loads(response.readline())["cells"]
                    (tmp_path / "begun").touch()
                    process.send_signal(signal.SIGINT)
                    assert process.wait(60) == 0
            assert "Stopped." in process.communicate()[1]
        finally:
            process.kill()
            process.communicate()
