"""The verdicts in the terminal and as Markdown: all that a reader needs, whatever the texts hold."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from tests.report.written import ENVIRONMENT

from shiftproof.article import CLAIMS, verdict_on
from shiftproof.errors import DataError
from shiftproof.records import Check
from shiftproof.report import claims_markdown, print_claims, read_claims


def record(**changes: Any) -> dict[str, Any]:
    checks = (
        Check("Pools | hide.", True, "2 of 4 positions.", None, "counts"),
        Check("All [red]of it[/red].", False, "<b>0</b>.", None, "counts"),
    )
    claims = [verdict_on(number, checks if number == 4 else checks[:1]).to_dict() for number in CLAIMS]
    return {
        "schema_version": 1,
        "kind": "claims",
        "status": "complete",
        "preset": "quick",
        "preset_summary": "few images",
        "environment": ENVIRONMENT,
        "config": {},
        "claims": claims,
        "experiments": {},
        "errors": {},
        **changes,
    }


def test_both_renderings_have_every_verdict() -> None:
    checked = read_claims(record())
    markdown = claims_markdown(checked)
    assert markdown.startswith("**12 claims of the article: 11 reproduced, 1 partly.**")
    out = io.StringIO()
    print_claims(checked, Console(file=out, width=200))
    for claim in checked.claims:
        assert f"### {claim.number}. " in markdown
    assert out.getvalue().count("reproduced") == 14  # the headline, eleven rows, twice the note
    assert "All [red]of it[/red]" in out.getvalue()
    assert "Pools \\| hide." in markdown
    assert "&lt;b>" in markdown


def test_every_row_has_as_many_cells_as_its_table_has_columns() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", claims_markdown(read_claims(record())), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_what_failed_is_said() -> None:
    checked = read_claims(record(status="incomplete", errors={"transfer": "Expected memory, got none."}))
    assert "transfer failed: Expected memory, got none." in claims_markdown(checked)


@pytest.mark.parametrize("changes", [{"kind": "audit"}, {"claims": [{}]}, {"more": 1}])
def test_another_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="the record of the claims"):
        read_claims(record(**changes))
