"""Maps of a layer: strides, maps that move with the image, maps that do not, and where their maximum is."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from shiftproof.data import LabelledImages
from shiftproof.serve import Exhibit
from shiftproof.zoo import load_trained


def pixels_of(address: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))).astype(int)


def maps(client: TestClient, layer: str, dy: float, dx: float) -> Any:
    asked = {"model": 0, "image": "0", "dy": dy, "dx": dx, "layer": layer, "border": "circular"}
    response = client.post("maps", json=asked)
    assert response.status_code == 200
    return response.json()


def test_layers_are_those_with_maps(client: TestClient) -> None:
    names = ["body.conv1", "body.relu1", "body.pool1", "body.conv2", "body.relu2", "body.pool2"]
    layers = client.get("layers/0").json()
    assert [layer["name"] for layer in layers] == names
    assert [layer["stride_px"] for layer in layers] == [[1, 1], [1, 1], [2, 2], [2, 2], [2, 2], [4, 4]]
    assert client.get("layers/9").status_code == 400
    assert client.get("layers/-1").status_code == 404


@pytest.mark.parametrize(
    ("layer", "dy", "dx", "moves"),
    [("body.relu1", 2, -1, True), ("body.pool1", 2, 2, True), ("body.pool1", 1, 1, False)],
)
def test_maps_are_moved_back_by_the_stride(
    client: TestClient, layer: str, dy: int, dx: int, moves: bool
) -> None:
    stride = 2 if layer == "body.pool1" else 1
    differ = []
    for each in maps(client, layer, dy, dx):
        still, back = pixels_of(each["still"]), pixels_of(each["back"])
        rows, columns = (-(-abs(d) // stride) for d in (dy, dx))
        inside = (slice(rows, -rows), slice(columns, -columns))
        differ.append(np.abs(still[inside] - back[inside]).max())
    assert (max(differ) <= 1) == moves


def test_the_maximum_is_marked_where_it_is(client: TestClient, digits: LabelledImages) -> None:
    network = load_trained("cnn2")
    with torch.inference_mode():
        body = network.body[:2]
        values = body(network.scaled(digits.images[:1].float() / 255))[0].numpy()
    for each in maps(client, "body.relu1", 0, 0):
        row, column = np.unravel_index(values[each["channel"]].argmax(), values.shape[1:])
        assert each["still_at"] == each["back_at"] == [row, column]
        assert pixels_of(each["still"])[row, column] == 255


def test_layers_that_are_none(client: TestClient, fragile: Exhibit) -> None:
    asked = {"model": 0, "image": "0", "dy": 0, "dx": 0}
    for layer in ("body.flatten", "", "__class__", "../x"):
        response = client.post("maps", json={**asked, "layer": layer})
        assert response.status_code == 400
        assert "a layer of the model" in response.json()["error"]
    assert client.post("maps", json={**asked, "dy": 99, "layer": "body.relu1"}).status_code == 400
