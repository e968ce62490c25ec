"""Certificates as text: from a record, every width, with names that hold anything."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from torch import nn

from shiftproof.adapters import Classifier
from shiftproof.certify import certify
from shiftproof.errors import DataError
from shiftproof.layers import GlobalMeanPool
from shiftproof.report import certificate_markdown, print_certificate, read_certificate


def record(kind: str = "stride", name: str = "network") -> dict[str, Any]:
    layers = [nn.Conv2d(1, 2, 3, 2 if kind == "stride" else 1, 1, padding_mode="circular"), nn.ReLU()]
    if kind == "flatten":
        layers.append(nn.Flatten())
    else:
        layers.append(GlobalMeanPool())
    network = nn.Sequential(*layers).eval()
    return certify(Classifier(name, network), (1, 8, 8), n_images=2).to_dict()


def printed(found: dict[str, Any], width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_certificate(read_certificate(found), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_record_survives_json() -> None:
    found = record()
    assert json.loads(json.dumps(found)) == found
    again = read_certificate(found)
    assert again.circular.step_px == (2, 2)
    assert again.to_dict() == found


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_terminal_shows_verdict_laws_checks_and_stages(width: int) -> None:
    text = printed(record(), width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    assert "Proved that the answer does not change under circular shifts by multiples of 2 px." in words
    assert "Not finer: 0:" in words
    assert "2 images, 15 circular shifts" in words
    assert "Step by step" in words


def test_markdown_says_the_same() -> None:
    text = certificate_markdown(read_certificate(record()))
    assert "| layer | what it does | size | stride | circular shifts | interior |" in text
    assert "| 0 | 3, stride 2, circular 1 | 4 | 2 | rolls by 1 |" in text
    assert "multiples of 2 px" in text


def test_nothing_proved_says_how_much_changes() -> None:
    words = " ".join(printed(record("flatten")).split())
    assert "Nothing is proved of the answer to images of 8 × 8 px." in words
    assert "Without a law: 2 images, 63 circular shifts: largest change" in words


def test_names_are_no_markup() -> None:
    name = "[red]a|b`<script>`\x1b[2J"
    assert "[red]a|b" in printed(record(name=name))
    assert "\x1b" not in printed(record(name=name))
    text = certificate_markdown(read_certificate(record(name=name)))
    assert "<script>" not in text
    assert "\\|" in text


def test_disagreement_is_said_first() -> None:
    found = record()
    found["holds"] = False
    assert "disagrees with what is proved" in " ".join(printed(found).split())
    assert "disagrees with what is proved" in certificate_markdown(read_certificate(found))


def test_another_record_is_refused() -> None:
    with pytest.raises(DataError, match="record of a certificate"):
        read_certificate({"schema_version": 1, "kind": "audit"})
