"""The verdicts on the article's claims: a table, and below it every statement with what was found."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftproof.records import ClaimsRecord
from shiftproof.report._markdown import escaped, table

MARKS = {True: "yes", False: "no", None: "open"}
COLOURS = {"reproduced": "green", "partly": "yellow", "not reproduced": "red"}


def print_claims(record: ClaimsRecord, console: Console) -> None:
    """The table of verdicts; details are in the Markdown report."""
    console.print(Text(claims_headline(record), style="bold"))
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=False)
    shown.add_column("#", justify="right")
    shown.add_column("claim", ratio=3)
    shown.add_column("verdict", no_wrap=True)
    shown.add_column("what was found", ratio=5)
    shown.add_column("shown by", ratio=2)
    for claim in record.claims:
        shown.add_row(
            str(claim.number),
            Text(claim.claim),
            Text(claim.verdict, style=COLOURS[claim.verdict]),
            Text(claim.sentence),
            Text(claim.shown_by, style="dim"),
        )
    console.print(shown)
    for note in claims_notes(record):
        console.print(Text(note, style="dim"))


def claims_markdown(record: ClaimsRecord) -> str:
    """Headline, the table of verdicts, and every statement with its source."""
    rows = [
        [str(c.number), escaped(c.claim), f"**{c.verdict}**", escaped(c.sentence), escaped(c.shown_by)]
        for c in record.claims
    ]
    lines = [f"**{escaped(claims_headline(record))}**", ""]
    lines += table(["#", "claim", "verdict", "what was found", "shown by"], rows, left=5)
    lines += ["", *(f"- {escaped(note)}" for note in claims_notes(record))]
    for claim in record.claims:
        lines += ["", f"### {claim.number}. {escaped(claim.claim)}", ""]
        statements = [
            [escaped(check.says), MARKS[check.holds], escaped(check.found), escaped(check.source)]
            for check in claim.checks
        ]
        lines += table(["statement", "holds", "found", "shown by"], statements, left=4)
    return "\n".join(lines) + "\n"


def claims_headline(record: ClaimsRecord) -> str:
    """How many claims came out how."""
    words = [claim.verdict for claim in record.claims]
    counts = ", ".join(f"{words.count(word)} {word}" for word in COLOURS if word in words)
    return f"{len(words)} claims of the article: {counts}."


def claims_notes(record: ClaimsRecord) -> list[str]:
    """What a reader has to know about all of them."""
    notes = [
        "reproduced: every statement of the claim holds; partly: some do; not reproduced: none does. "
        "A statement holds where the whole 95 % interval does.",
        f"Preset {record.preset}: {record.preset_summary}.",
    ]
    return notes + [f"{name} failed: {error}" for name, error in sorted(record.errors.items())]
