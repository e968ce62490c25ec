"""A certificate as a page: what is proved, what was checked, and the network as the laws see it."""

from __future__ import annotations

import shlex

from shiftproof.records import Certificate, Deviation, LawCheck
from shiftproof.report._certificate import (
    COLUMNS,
    DISAGREES,
    certificate_about,
    certificate_laws,
    certificate_rows,
)
from shiftproof.report._html_words import words_section
from shiftproof.report._page import Block, Bullets, Command, Facts, Outcome, Page, Section, Table, facts

CHECKED = [
    "law",
    "dtype",
    "images",
    "shifts",
    "largest change",
    "relative",
    "allowed",
    "answers that change",
    "agrees",
]


NOT_HERE = (
    "How often an answer changes that is not proved to stay: `shiftproof audit MODEL DATA` measures it.",
    "Which layer is to blame in numbers: `shiftproof explain MODEL DATA` measures it.",
    "Other sizes of images, other borders, and shifts between pixels, unless a law above names them.",
)
WORDS = ("law", "circular shift", "interior", "stride", "border", "offset")


def certificate_page(record: Certificate) -> Page:
    """A page of everything that the record of a certificate has."""
    model = record.model
    disagrees: list[Block] = [Bullets([DISAGREES])] if record.holds is False else []
    return Page(
        kind="certificate",
        headline=record.headline,
        outcome=_outcome(record),
        about=[
            ("model", certificate_about(record)),
            ("preprocessing", f"{model.framing}; {model.preprocessing}"),
            *(("note", note) for note in model.notes),
        ],
        sections=[
            Section("What is proved", [*disagrees, Bullets(certificate_laws(record))]),
            Section("What was checked", _checks(record)),
            Section("Step by step", _steps(record)),
            Section("Notes", [Bullets(record.notes)] if record.notes else []),
            Section("Not measured", [Bullets(NOT_HERE)]),
            Section(
                "To reproduce it",
                [
                    Command(shlex.join(["shiftproof", "certify", model.name])),
                    Facts(
                        [
                            ("model", f"{model.name}, digest {model.digest or 'unknown'}"),
                            *facts(record.environment.to_dict()).pairs,
                        ]
                    ),
                ],
            ),
            words_section(*WORDS),
        ],
    )


def _outcome(record: Certificate) -> Outcome:
    if record.holds is False:
        return "fail"
    return "inconclusive" if record.verdict == "nothing" else "pass"


def _checks(record: Certificate) -> list[Block]:
    rows = [
        _check_row(check, found)
        for check in record.checks
        for found in (check.float64, check.own)
        if found is not None
    ]
    if not rows:
        return [Bullets(["Nothing was computed: the proof stands by itself."])]
    return [Table(CHECKED, rows, left=2)]


def _check_row(check: LawCheck, found: Deviation) -> list[str]:
    numbers = (
        "" if each is None else f"{each:.2g}" for each in (found.change, found.relative, found.tolerance)
    )
    flips = "" if found.n_flips is None else f"{found.n_flips:,}"
    tried = f"{check.n_moves:,} of {check.n_possible:,}"
    return [
        check.law, found.dtype, f"{check.n_images:,}", tried, *numbers, flips, "yes" if found.within else "no"
    ]  # fmt: skip


def _steps(record: Certificate) -> list[Block]:
    return [Table(COLUMNS, certificate_rows(record), left=len(COLUMNS))] if record.stages else []
