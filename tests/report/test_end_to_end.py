"""Every rendering of what `audit` really writes, from the ordinary to the degenerate."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import junitparser
import pytest
import torch
from rich.console import Console
from torch import Tensor

from shiftproof.audits import Audit, audit, compare_audits
from shiftproof.report import (
    audit_junit,
    audit_markdown,
    comparison_markdown,
    print_audit,
    print_comparison,
    read_audit,
)
from shiftproof.zoo import build_network

GATES = ["agreement>=0.01", "worst-case-agreement>=1", "agreement@1>=0.5"]


def brightest_row(images: Tensor) -> Tensor:
    """Knows where the content is, so every shift in y changes it."""
    return images.mean((1, 3)) - 0.5


def constant(images: Tensor) -> Tensor:
    return torch.tensor([0.0, 1.0, 0.0]).expand(len(images), 3)


def renderings(result: Audit, width: int = 80) -> tuple[str, str, str]:
    record = result.record
    out = io.StringIO()
    print_audit(record, Console(file=out, width=width, highlight=False))
    assert max(len(line.rstrip()) for line in out.getvalue().splitlines()) <= width
    xml = audit_junit(record)
    assert len(list(junitparser.JUnitXml.fromstring(xml.encode()))) == 1
    return out.getvalue(), audit_markdown(record), xml


def images(n: int, size: int = 8) -> Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_a_network_on_digits(tmp_path: Path) -> None:
    result = audit(
        build_network("cnn1"),
        "demo:mnist",
        protocols=["grid:2", "article-small"],
        limit=60,
        gates=GATES,
        device="cpu",
        out=tmp_path / "run",
    )
    text, markdown, xml = renderings(result)
    agreement: Any = result.estimate("agreement")
    assert f"agreement {100 * agreement.value:.1f} % {100 * agreement.low:.1f} % to" in " ".join(text.split())
    assert "article-small  clean-accuracy" in text
    assert result.record.protocols[0].worst[0].name in text
    assert xml.count("<testcase") == len(GATES) * 2
    assert f"### Gates: {result.outcome}" in markdown
    from_file = read_audit(tmp_path / "run" / "report.json")
    assert audit_markdown(from_file) == markdown, "although the file has sorted keys"
    assert audit_junit(from_file) == xml


@pytest.mark.parametrize("protocol", ["grid:1", "box:2,2,3", "diagonal:3", "half-pixel", "article-none"])
@pytest.mark.parametrize("n_images", [1, 5])
@pytest.mark.parametrize("labelled", [True, False])
def test_small_and_odd(protocol: str, n_images: int, labelled: bool) -> None:
    pixels = images(n_images)
    data: Any = (pixels, torch.arange(n_images)) if labelled else pixels
    gates = [] if protocol == "article-none" else GATES[:2]
    result = audit(brightest_row, data, protocols=[protocol], gates=gates, device="cpu")
    text, markdown, _ = renderings(result)
    renderings(result, 60)
    assert ("no image has a known true class" in text.replace("\n", " ")) == (not labelled)
    assert ("No image was moved" in text) == (protocol == "article-none")
    assert ("Agreement by shift" in text) == (protocol in ("grid:1", "half-pixel"))
    assert "### Not measured" in markdown


def test_a_constant_classifier() -> None:
    result = audit(constant, (images(9), torch.arange(9) % 3), protocols=["grid:1"], device="cpu")
    text, _, _ = renderings(result)
    assert "Every image gets the same prediction" in text
    assert "is meaningless" in text.replace("\n", " "), "the verdict too"
    assert "No measured shift changes the prediction for any image." in text


def test_two_models() -> None:
    data = (images(40), torch.arange(40) % 3)
    a, b = (
        audit(model, data, protocols=["grid:1"], device="cpu") for model in (brightest_row_of_three, constant)
    )
    record = compare_audits(a, b)
    out = io.StringIO()
    print_comparison(record, Console(file=out, width=80, highlight=False))
    (agreement,) = [
        line for line in comparison_markdown(record).splitlines() if line.startswith("| agreement |")
    ]
    assert agreement.endswith("| &lt;0.001 | second |")
    assert "first: brightest_row_of_three" in out.getvalue()


def brightest_row_of_three(images: Tensor) -> Tensor:
    return images.mean((1, 3))[:, 2:5]
