"""The verdicts on the article's claims: the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shiftproof.records._base import Line, StrictRecord, read_record


class StatementRecord(StrictRecord):
    """A statement of a claim; `effect` is the number that decides, with its interval."""

    says: Line
    holds: bool | None
    found: Line
    effect: Mapping[str, Any] | None
    source: Line


class ClaimRecord(StrictRecord):
    """A claim with its verdict; `effect` and `shown_by` are those of the statement that decides."""

    number: int
    claim: Line
    verdict: Literal["reproduced", "partly", "not reproduced"]
    sentence: Line
    effect: Mapping[str, Any] | None
    shown_by: Line
    checks: tuple[StatementRecord, ...]


class ClaimsRecord(StrictRecord):
    """`report.json` of a run of the claims."""

    schema_version: Literal[1]
    kind: Literal["claims"]
    status: Literal["complete", "incomplete"]
    preset: str
    preset_summary: Line
    environment: Mapping[str, Any]
    config: Mapping[str, Any]
    claims: tuple[ClaimRecord, ...]
    experiments: Mapping[str, Any]
    errors: Mapping[str, Line]


def read_claims(source: Path | Mapping[str, Any]) -> ClaimsRecord:
    """A record from a file or as it is.

    Raises:
        DataError: It is not the record of a run of the claims.
    """
    return read_record(source, ClaimsRecord, "the record of the claims")
