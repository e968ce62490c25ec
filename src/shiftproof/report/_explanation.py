"""Which layers lose translation invariance, and why: in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from shiftproof._text import counted, percent
from shiftproof.records import Cause, Estimate, Explanation, LayerRow, LieRecord, SensitivityRecord
from shiftproof.report._audit_markdown import capped
from shiftproof.report._audit_terminal import new_table, print_heading
from shiftproof.report._audit_text import converted
from shiftproof.report._markdown import escaped, table
from shiftproof.report._numbers import NO_NUMBER

MOST_SENTENCES = 10
MOST_ROWS = 20
# In the order of the table; a file has sorted keys.
SHORT: Mapping[Cause, str] = {
    "downsampling": "down",
    "border": "border",
    "head": "head",
    "non-linearity": "non-lin",
}
BETWEEN: Cause = "non-linearity"


def print_explanation(record: Explanation, console: Console) -> None:
    """Print who loses most in sentences, then the layers as they run, with what each adds by cause.

    Args:
        record: From `read_explanation`.
        console: Where to.
    """
    headline, *about = explanation_about(record)
    console.print(Text(headline, style="bold"))
    for line in about:
        console.print(Text(line))
    print_heading("Who loses it, and why", console)
    for sentence in explanation_sentences(record):
        console.print(Text(sentence))
    print_heading(_title(record), console)
    drawn = new_table(explanation_columns())
    for row in _shown(record):
        name, *cells = explanation_row(row)
        drawn.add_row(Text(name), *map(Text, cells))
    console.print(drawn)
    for note in explanation_notes(record):
        console.print(Text(note, style="dim"))


def explanation_markdown(record: Explanation) -> str:
    """The same as Markdown of at most 200 kB.

    Args:
        record: From `read_explanation`.
    """
    return capped(_lines(record))


def _lines(record: Explanation) -> Iterable[str]:
    headline, *about = explanation_about(record)
    yield f"**{escaped(headline)}**"
    for line in about:
        yield from ("", escaped(line))
    yield from ("", "### Who loses it, and why", "")
    yield from (
        f"{number}. {escaped(sentence)}" for number, sentence in enumerate(explanation_sentences(record), 1)
    )
    yield from ("", f"### {escaped(_title(record))}", "")
    rows = [[escaped(cell) for cell in explanation_row(row)] for row in _shown(record)]
    yield from table([escaped(name) for name in explanation_columns()], rows)
    yield ""
    yield from (f"- {escaped(note)}" for note in explanation_notes(record))


def explanation_about(record: Explanation) -> list[str]:
    """How much the answer changes, then what was shown and what all layers do together."""
    flips, logits = record.whole["flips"], record.whole["logits"]
    return [
        f"{record.model.name}: {percent(1 - flips.value)} of the predictions stay when the image moves; the "
        f"logits change by {logits.value:.3g} of what another image changes ({logits.low:.3g} to "
        f"{logits.high:.3g}).",
        f"data: {record.data.name}, {counted(record.n_images, 'image')}; "
        f"{counted(record.n_shifts, 'shift')} each of up to {record.reach_px} px, border {record.border}; "
        f"intervals of {100 * logits.confidence:g} %",
        *converted(record.data.conversions),
        _by_cause(record),
        *_lie(record.lie_derivative),
        *(_sensitivity(each) for each in record.sensitivity),
    ]


def _lie(found: LieRecord | None) -> list[str]:
    if found is None:
        return []
    words = []
    for axis, way in (("y", "down"), ("x", "right")):
        change = found.mean_abs[axis]
        text = "unknown"
        if isinstance(change, Estimate):
            text = f"{change.value:.3g} ({change.low:.3g} to {change.high:.3g})"
        words.append(f"{text} per px {way}")
    return [f"Lie derivative, how fast the probability of a class changes: {', '.join(words)}"]


def _sensitivity(found: SensitivityRecord) -> str:
    """The radial means, with their numbers alone."""
    means = (
        f"{radius} px {mean.value:.2f}"
        for radius, mean in sorted(found.radial.items(), key=lambda pair: int(pair[0]))
        if isinstance(mean, Estimate)
    )
    return f"sensitivity of {found.layer or 'the logits'}, 1 for the {found.scale_is}: {', '.join(means)}"


def _by_cause(record: Explanation) -> str:
    totals = record.by_cause()
    causes = (f"{cause} {_signed(totals[cause])}" for cause in SHORT if cause != BETWEEN)
    added = _signed(totals[BETWEEN])
    return f"all layers together: {', '.join(causes)}; fractions of a pixel add {added} ({BETWEEN})"


def explanation_sentences(record: Explanation) -> list[str]:
    """Who loses most, the worst first."""
    found = [row.sentence for row in record.losing()[:MOST_SENTENCES]] or ["No layer loses anything."]
    return [*found, record.tie] if record.tie else found


def _title(record: Explanation) -> str:
    shown = len(_shown(record))
    which = (
        "Layers and blocks"
        if shown == len(record.rows)
        else f"The {shown} of {len(record.rows)} layers and blocks that matter"
    )
    return f"{which}, in the order in which they run"


def _shown(record: Explanation) -> list[LayerRow]:
    strongest = sorted(record.rows, key=lambda row: -max(abs(part.value) for part in row.split.values()))
    kept = {row.layer for row in strongest[:MOST_ROWS]}
    return [row for row in record.rows if row.layer in kept]


def explanation_columns() -> list[str]:
    """Titles of the table of layers."""
    return ["layer", "stride", "stay then", "share", "loses", *SHORT.values()]


def explanation_row(row: LayerRow) -> Sequence[str]:
    """Its cells."""
    stride = NO_NUMBER
    if row.stride_px is not None:
        down, right = row.stride_px
        stride = f"{down:g}" if down == right else f"{down:g} × {right:g}"
    split = [_signed(row.split[cause].value) for cause in SHORT]
    loses = _signed(row.loss["logits"].value)
    return [row.layer, stride, percent(row.agreement), percent(row.share), loses, *split]


def _signed(value: float) -> str:
    """Three decimals with a sign; a dot where that is nothing."""
    text = f"{value:+.3f}".replace("-", "−")
    return "·" if text[1:] == "0.000" else text


def explanation_notes(record: Explanation) -> list[str]:
    """How to read it, and what could not be done."""
    stays = percent(1 - record.whole["flips"].value)
    closed = [f"`{row.layer}` could not be cut inside. {row.closed}" for row in record.rows if row.closed]
    return [
        f"Stay then: how many predictions would stay, instead of {stays}, if everything up to there moved "
        "with the image. Losses are squared distances of logits, 1 for another image; negative ones restore. "
        f"Down, border and head add up to them; {SHORT[BETWEEN]} is what fractions of a pixel add.",
        *record.notes,
        *closed,
    ]
