"""What the server answers: planes that are right, uploads within bounds, sentences for mistakes."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import Message
from tests.serve.conftest import ADDRESS, SIDE, TOKEN, guarded

from shiftproof.data import LabelledImages
from shiftproof.serve import Exhibit
from shiftproof.serve._worker import BusyError, Worker
from shiftproof.shifts import BORDERS, Border, translate
from shiftproof.zoo import load_trained

Lines = list[dict[str, Any]]


def plane(client: TestClient, **asked: Any) -> tuple[dict[int, Any], Lines]:
    """The cells of a plane by place, and the lines that they came in."""
    response = client.post("plane", json={"model": 0, "image": "0", **asked})
    assert response.status_code == 200
    lines = [json.loads(line) for line in response.text.splitlines()]
    return {place: answer for line in lines for place, answer in line["cells"]}, lines


def png(array: Any, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8), mode).save(file, "PNG")
    return file.getvalue()


def pixels_of(address: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("model", [0, 3])
def test_every_cell_is_what_the_network_answers(
    client: TestClient, digits: LabelledImages, border: Border, model: int
) -> None:
    cells, lines = plane(client, model=model, image="11", border=border)
    assert sorted(cells) == list(range(SIDE**2))
    assert not any(line["failure"] for line in lines)
    network = load_trained(("cnn2", "cnn2-augmented", "cnn1", "standard-nn")[model])
    image = digits.images[11][None].float() / 255
    for place, answer in cells.items():
        offset = (place // SIDE - SIDE // 2, place % SIDE - SIDE // 2)
        with torch.inference_mode():
            chances = network(translate(image, offset, border=border)).double().softmax(1)[0]
        assert answer["key"] == str(int(chances.argmax()))
        assert (answer["n"], answer["alike"]) == (1, None)
        classes, told = answer["ranked"][::2], answer["ranked"][1::2]
        assert classes[0] == int(chances.argmax())
        assert sorted(classes) == list(range(10))
        assert told == sorted(told, reverse=True)
        torch.testing.assert_close(
            torch.tensor(told, dtype=torch.float64), chances[[int(k) for k in classes]], atol=2e-5, rtol=0
        )


def test_a_shift_between_pixels(client: TestClient, digits: LabelledImages) -> None:
    asked = {"model": 0, "image": "3", "dy": 0.5, "dx": -1.25}
    told = client.post("shift", json=asked).json()
    moved = translate(digits.images[3][None].float() / 255, (0.5, -1.25), border="zeros")
    with torch.inference_mode():
        assert told["answer"]["ranked"][0] == int(load_trained("cnn2")(moved).argmax())
    assert np.array_equal(pixels_of(told["seen"]), (moved[0, 0] * 255).round().byte().numpy())


def test_a_model_that_fails_for_some_shifts_answers_the_others(fragile: Exhibit, worker: Worker) -> None:
    client = TestClient(guarded(fragile, worker), f"{ADDRESS}/{TOKEN}/", headers={"origin": ADDRESS})
    cells, lines = plane(client)
    assert {place for place, answer in cells.items() if answer is None} == set(range(15, 25))
    assert all(answer["key"] == "0" for place, answer in cells.items() if place < 15)
    assert any("the first row is <b>black</b>" in line["failure"] for line in lines)
    places = [place for line in lines for place, _ in line["cells"]]
    far = [(place // 5 - 2) ** 2 + (place % 5 - 2) ** 2 for place in places]
    assert far == sorted(far)  # from the middle outwards


def test_yes_or_no_is_told_as_two_classes(binary: Exhibit, worker: Worker) -> None:
    client = TestClient(guarded(binary, worker), f"{ADDRESS}/{TOKEN}/", headers={"origin": ADDRESS})
    cells, _ = plane(client)
    for place, answer in cells.items():
        predicted, chance, other, rest = answer["ranked"]
        white = (8 - abs(place // 5 - 2)) * (8 - abs(place % 5 - 2)) / 64
        yes = 1 / (1 + np.exp(4 - 10 * white))
        assert (predicted, other) == ((1, 0) if yes > 0.9 else (0, 1))
        assert (chance, rest) == pytest.approx((yes, 1 - yes) if yes > 0.9 else (1 - yes, yes), abs=1e-5)
    assert {cells[place]["key"] for place in cells} == {"0", "1"}


def test_a_plane_is_computed_once(client: TestClient) -> None:
    assert plane(client, image="5") == plane(client, image="5")


def test_an_image_of_ones_own(client: TestClient, digits: LabelledImages) -> None:
    content = png(digits.images[7, 0].numpy())
    facts = client.post("image", content=content).json()
    assert facts["name"] == "your image"
    assert facts["label"] == ""
    assert np.array_equal(pixels_of(facts["png"]), digits.images[7, 0].numpy())
    assert plane(client, image=facts["key"])[0] == plane(client, image="7")[0]
    assert client.get(f"image/{facts['key']}").json() == facts


def test_a_photograph_is_framed(client: TestClient) -> None:
    facts = client.post("image", content=png(np.full((90, 120, 3), (10, 200, 30)), "RGB")).json()
    assert pixels_of(facts["png"]).shape == (28, 28)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of a few kilobytes that says that it is 30,000 × 30,000 pixels."""
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"#!/bin/sh\nrm -rf /\n", "not a PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a PNG"),
        (b"", "not a PNG"),
        (bomb(), "megapixels"),
        (png(np.random.default_rng(0).integers(0, 256, (40, 40)))[:900], "damaged"),
        (png(np.zeros((1, 40_000))), "too long and thin"),
    ],
    ids=["script", "svg", "nothing", "bomb", "cut off", "thin"],
)
def test_what_is_no_image_is_refused_in_a_sentence(client: TestClient, content: bytes, why: str) -> None:
    response = client.post("image", content=content, headers={"content-type": "image/png"})
    assert response.status_code == 400
    assert why in response.json()["error"]
    assert "Traceback" not in response.text


def test_an_upload_that_says_that_it_is_large_is_not_read(client: TestClient) -> None:
    response = client.post("image", content=b"x", headers={"content-length": str(200 * 2**20)})
    assert response.status_code == 413
    assert response.json()["error"] == "Files of more than 10 MB are not read."


def test_an_upload_that_does_not_say_so_is_not_read_to_its_end(client: TestClient) -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield bytes(2**20)

    assert client.post("image", content=pieces()).status_code == 413
    # The client of the tests hands over everything; a server stops reading.
    assert read


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"model": 0},
        {"model": 99, "image": "0"},
        {"model": -1, "image": "0"},
        {"model": 0, "image": "200"},
        {"model": 0, "image": "../../etc/passwd"},
        {"model": 0, "image": "/etc/passwd"},
        {"model": 0, "image": "u0123456789abcdef"},
        {"model": 0, "image": "0", "border": "none"},
        {"model": 0, "image": "0", "path": "/etc/passwd"},
        {"model": "zoo:cnn2", "image": "0"},
        [],
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["plane", "shift"])
def test_questions_that_are_none(client: TestClient, asked: Any, path: str) -> None:
    response = client.post(path, json=asked)
    assert response.status_code == 400
    assert response.json()["error"].startswith("Expected")


@pytest.mark.parametrize(
    "more",
    [{"dy": 3, "dx": 0}, {"dy": 1e300, "dx": 0}, {"dy": 0.5, "dx": 0, "interpolation": "fourier"}, {"dy": 0}],
)
def test_shifts_that_are_none(client: TestClient, more: dict[str, Any]) -> None:
    response = client.post("shift", json={"model": 0, "image": "0", **more})
    assert response.status_code == 400
    assert "Expected" in response.json()["error"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 5000, b'{"model": NaN}', b"1e999"])
def test_bodies_that_are_no_json(client: TestClient, content: bytes) -> None:
    assert client.post("plane", content=content).status_code == 400
    assert client.post("plane", content=b" " * 10_001).status_code == 413


@pytest.mark.parametrize(
    "path", ["image/-1", "image/1e3", "image/..%2F..%2Fetc%2Fpasswd", "image/200", "image/%C2%B2"]
)
def test_images_that_are_none(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (400, 404)


def test_a_line_that_is_full_says_so(shown: Exhibit) -> None:
    worker = Worker(most_waiting=1)
    client = TestClient(guarded(shown, worker), f"{ADDRESS}/{TOKEN}/", headers={"origin": ADDRESS})
    busy, go = threading.Event(), threading.Event()

    def compute() -> None:
        busy.set()
        go.wait(10)

    async def fill() -> None:
        waiting = asyncio.create_task(worker.run(compute))
        await asyncio.to_thread(busy.wait, 10)
        with pytest.raises(BusyError, match="too many questions"):
            await worker.run(compute)
        assert await asyncio.to_thread(lambda: client.get("image/0").status_code) == 429
        go.set()
        await waiting

    asyncio.run(fill())
    assert client.get("image/0").status_code == 200
    worker.close()


def test_what_takes_too_long_says_so(shown: Exhibit) -> None:
    worker = Worker(longest_s=0.05)
    client = TestClient(guarded(shown, worker), f"{ADDRESS}/{TOKEN}/", headers={"origin": ADDRESS})
    go = threading.Event()
    threading.Timer(1.0, go.set).start()

    async def slow() -> None:
        with pytest.raises(TimeoutError, match=r"^$"):
            await worker.run(lambda: go.wait(10))

    async def asked() -> int:
        first = asyncio.create_task(slow())
        await asyncio.sleep(0)
        status = await asyncio.to_thread(lambda: client.get("image/0").status_code)
        await first
        return status

    assert asyncio.run(asked()) == 503
    worker.close()


def test_when_a_visitor_leaves_nothing_more_is_computed(fragile: Exhibit, worker: Worker) -> None:
    app = guarded(fragile, worker)
    body = json.dumps({"model": 0, "image": "0"}).encode()
    sent: list[Message] = []

    async def visit() -> None:
        left = asyncio.Event()
        asked = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Message:
            first = next(asked, None)
            if first is not None:
                return first
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            if message.get("body"):
                left.set()  # after the first part of the plane
                await asyncio.sleep(0.2)

        headers = [(b"host", b"127.0.0.1:8765"), (b"origin", ADDRESS.encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.0"}, "http_version": "1.1",
            "method": "POST", "scheme": "http", "path": f"/{TOKEN}/plane", "query_string": b"",
            "root_path": "", "headers": headers, "client": None, "server": None,
        }  # fmt: skip
        await app(scope, receive, send)

    asyncio.run(visit())
    told = [json.loads(message["body"]) for message in sent if message.get("body")]
    assert 1 <= len(told) < 5
    assert sum(len(part["cells"]) for part in told) < 25
