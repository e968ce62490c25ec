"""A certificate in the terminal and as Markdown, from its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.text import Text

from shiftproof.report._audit_markdown import capped
from shiftproof.report._audit_terminal import new_table, print_heading
from shiftproof.report._markdown import escaped, table
from shiftproof.report._record import Line, read_record

_STRICT = ConfigDict(frozen=True, extra="forbid")
Pair = tuple[int, int]
COLUMNS = ("layer", "what it does", "size", "stride", "circular shifts", "interior")
STYLES = {"all-shifts": "bold green", "strided-shifts": "bold green", "interior": "bold green"}
# Layers that do the same are shown once, the first of them and how many follow.
MAX_STAGES = 60


class ReasonRecord(BaseModel):
    """Why a law ends."""

    model_config = _STRICT

    layer: Line
    text: Line


class CircularRecord(BaseModel):
    """What is proved for images that roll."""

    model_config = _STRICT

    image_px: Pair
    step_px: Pair | None
    rolls: Pair | None
    axes: tuple[int | None, int | None] | None
    limits: tuple[ReasonRecord, ...]
    ended_by: ReasonRecord | None
    text: Line


class InteriorRecord(BaseModel):
    """What is proved for content that moves far from every border."""

    model_config = _STRICT

    image_px: Pair
    answer: Literal["invariant", "equivariant"] | None
    layer: Line
    step_px: Pair
    before_px: Pair
    after_px: Pair
    is_empty: bool
    smallest_px: Pair | None
    ended_by: ReasonRecord | None
    text: Line


class StageRecord(BaseModel):
    """A step of the network, as both laws see it."""

    model_config = _STRICT

    layer: Line
    operation: Line
    padding: Line
    size: Pair | None
    stride_px: Pair | None
    circular: Line
    interior: Line


class DeviationRecord(BaseModel):
    """How far answers are from a law in one dtype; None for what is no number."""

    model_config = _STRICT

    dtype: Line
    change: float | None
    relative: float | None
    tolerance: float | None
    n_flips: int | None
    within: bool


class CheckRecord(BaseModel):
    """One law, checked; without a law `holds` is None."""

    model_config = _STRICT

    law: Literal["circular", "interior", "none"]
    n_images: int
    n_moves: int
    n_possible: int
    holds: bool | None
    float64: DeviationRecord
    own: DeviationRecord | None
    text: Line


class CertifiedModelRecord(BaseModel):
    """The model, as in other records."""

    model_config = _STRICT

    name: Line
    digest: str
    preprocessing: Line
    framing: Line
    notes: tuple[Line, ...]


class CertificateRecord(BaseModel):
    """What is certain of a network; see `shiftproof.certify.Certificate`."""

    model_config = _STRICT

    schema_version: Literal[1]
    kind: Literal["certificate"]
    model: CertifiedModelRecord
    image_shape: tuple[int, int, int]
    verdict: Literal["all-shifts", "strided-shifts", "interior", "nothing"]
    headline: Line
    holds: bool | None
    circular: CircularRecord
    interior: InteriorRecord
    stages: tuple[StageRecord, ...]
    checks: tuple[CheckRecord, ...]
    notes: tuple[Line, ...]
    environment: Mapping[str, Any]


def read_certificate(source: Path | Mapping[str, Any]) -> CertificateRecord:
    """The record of a certificate, from a file or from the same as a mapping.

    Raises:
        DataError: Not such a record, or of another schema version.
    """
    return read_record(source, CertificateRecord, "the record of a certificate")


def print_certificate(record: CertificateRecord, console: Console) -> None:
    """Print the verdict, both laws, the checks, and the network as the laws see it.

    Args:
        record: From `read_certificate`.
        console: Where to.
    """
    console.print(Text(record.headline, style=STYLES.get(record.verdict, "bold yellow")))
    console.print(Text(certificate_about(record), style="dim"))
    for line in certificate_laws(record):
        console.print(Text(line))
    if record.holds is False:
        console.print(Text(DISAGREES, style="bold red"))
    if record.stages:
        print_heading("Step by step", console)
        drawn = new_table(COLUMNS, left=2)
        for cells in certificate_rows(record):
            drawn.add_row(*map(Text, cells))
        console.print(drawn)
    console.print()
    for note in record.notes:
        console.print(Text(note, style="dim"))


def certificate_markdown(record: CertificateRecord) -> str:
    """The same as Markdown of at most 200 kB.

    Args:
        record: From `read_certificate`.
    """
    return capped(_lines(record))


DISAGREES = "What was computed disagrees with what is proved: a defect, or a choice that rounding decided."


def _lines(record: CertificateRecord) -> Iterable[str]:
    yield f"**{escaped(record.headline)}**"
    yield from ("", escaped(certificate_about(record)), "")
    yield from (f"- {escaped(line)}" for line in certificate_laws(record))
    if record.holds is False:
        yield f"- **{DISAGREES}**"
    if record.stages:
        yield from ("", "### Step by step", "")
        yield from table(
            COLUMNS, [[escaped(cell) for cell in row] for row in certificate_rows(record)], left=6
        )
    yield ""
    yield from (f"- {escaped(note)}" for note in record.notes)


def certificate_about(record: CertificateRecord) -> str:
    """Of which network, and for images of which size."""
    channels, height, width = record.image_shape
    digest = f", digest {record.model.digest[:12]}" if record.model.digest else ""
    return f"{record.model.name}{digest}; images of {channels} × {height} × {width}"


def certificate_laws(record: CertificateRecord) -> list[str]:
    """Both laws, the strongest first, what limits the first one, and the checks."""
    laws = [record.circular.text, record.interior.text]
    if record.verdict == "interior":
        laws.reverse()
    lines = [f"{number}. {law}" for number, law in enumerate(laws, start=1)]
    if record.circular.step_px is not None:
        lines += [f"Not finer: {reason.layer}: {reason.text}" for reason in record.circular.limits]
    return lines + [check.text for check in record.checks]


def certificate_rows(record: CertificateRecord) -> Sequence[Sequence[str]]:
    """The cells of each step of the network, of which many are shortened."""
    shown = [_row(stage) for stage in record.stages[:MAX_STAGES]]
    left_out = len(record.stages) - len(shown)
    return [*shown, [f"… {left_out} more", "", "", "", "", ""]] if left_out else shown


def _row(stage: StageRecord) -> list[str]:
    does = ", ".join(filter(None, [stage.operation, stage.padding]))
    return [stage.layer, does, _by(stage.size), _by(stage.stride_px), stage.circular, stage.interior]


def _by(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]} × {pair[1]}"
