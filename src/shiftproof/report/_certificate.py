"""A certificate in the terminal and as Markdown, from its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from shiftproof.records import Certificate, Stage
from shiftproof.report._audit_markdown import capped
from shiftproof.report._audit_terminal import new_table, print_heading
from shiftproof.report._markdown import escaped, table

Pair = tuple[int, int]
COLUMNS = ("layer", "what it does", "size", "stride", "circular shifts", "interior")
STYLES = {"all-shifts": "bold green", "strided-shifts": "bold green", "interior": "bold green"}
# Layers that do the same are shown once, the first of them and how many follow.
MAX_STAGES = 60


def print_certificate(record: Certificate, console: Console) -> None:
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


def certificate_markdown(record: Certificate) -> str:
    """The same as Markdown of at most 200 kB.

    Args:
        record: From `read_certificate`.
    """
    return capped(_lines(record))


DISAGREES = "What was computed disagrees with what is proved: a defect, or a choice that rounding decided."


def _lines(record: Certificate) -> Iterable[str]:
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


def certificate_about(record: Certificate) -> str:
    """Of which network, and for images of which size."""
    channels, height, width = record.image_shape
    digest = f", digest {record.model.digest[:12]}" if record.model.digest else ""
    return f"{record.model.name}{digest}; images of {channels} × {height} × {width}"


def certificate_laws(record: Certificate) -> list[str]:
    """Both laws, the strongest first, what limits the first one, and the checks."""
    laws = [record.circular.text, record.interior.text]
    if record.verdict == "interior":
        laws.reverse()
    lines = [f"{number}. {law}" for number, law in enumerate(laws, start=1)]
    if record.circular.step_px is not None:
        lines += [f"Not finer: {reason.layer}: {reason.text}" for reason in record.circular.limits]
    return lines + [check.text for check in record.checks]


def certificate_rows(record: Certificate) -> Sequence[Sequence[str]]:
    """The cells of each step of the network, of which many are shortened."""
    shown = [_row(stage) for stage in record.stages[:MAX_STAGES]]
    left_out = len(record.stages) - len(shown)
    return [*shown, [f"… {left_out} more", "", "", "", "", ""]] if left_out else shown


def _row(stage: Stage) -> list[str]:
    does = ", ".join(filter(None, [stage.operation, stage.padding]))
    return [stage.layer, does, _by(stage.size), _by(stage.stride_px), stage.circular, stage.interior]


def _by(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]} × {pair[1]}"
