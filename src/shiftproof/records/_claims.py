"""The verdicts on the article's claims: the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from shiftproof.records._base import STRICT, Line, StrictRecord, read_record
from shiftproof.records._environment import EnvironmentRecord
from shiftproof.records._experiments import ExperimentsRecord
from shiftproof.records._numbers import Measured


@dataclass(frozen=True, slots=True, config=STRICT)
class Check:
    """A statement and what was found.

    Args:
        says: The statement, as a sentence without numbers of ours.
        holds: Whether it does; None where the interval leaves both possible.
        found: What was measured, as a sentence with its numbers.
        effect: The number that decides, with its interval; None where the statement is about exact counts.
        source: The experiment that shows it.
    """

    says: Line
    holds: bool | None
    found: Line
    effect: Measured | None
    source: Line


class ClaimRecord(StrictRecord):
    """A claim with its verdict; `effect` and `shown_by` are those of the statement that decides."""

    number: int
    claim: Line
    verdict: Literal["reproduced", "partly", "not reproduced"]
    sentence: Line
    effect: Measured | None
    shown_by: Line
    checks: tuple[Check, ...]


class ClaimsRecord(StrictRecord):
    """`report.json` of a run of the claims.

    `config` is whatever was asked: the preset with all of its numbers.
    """

    schema_version: Literal[1]
    kind: Literal["claims"]
    status: Literal["complete", "incomplete"]
    preset: str
    preset_summary: Line
    environment: EnvironmentRecord
    config: Mapping[str, Any]
    claims: tuple[ClaimRecord, ...]
    experiments: ExperimentsRecord
    errors: Mapping[str, Line]


def read_claims(source: Path | Mapping[str, Any]) -> ClaimsRecord:
    """A record from a file or as it is.

    Raises:
        DataError: It is not the record of a run of the claims.
    """
    return read_record(source, ClaimsRecord, "the record of the claims")
