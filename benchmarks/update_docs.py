"""Writes the measured sections of README.md and docs/, and the figures beside their records.

Run it after a new result, as `make docs`; tests/test_docs.py compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from benchmarks import fix_tables, pictures, proof_tables, scale_tables, tables
from benchmarks.older_intervals import older_intervals
from benchmarks.tables import RESULTS

ROOT = Path(__file__).parents[1]
Renderer = Callable[[], str]

# By document and name of the section, which stands between <!-- name --> and <!-- /name -->.
SECTIONS: Mapping[tuple[str, str], Renderer] = MappingProxyType(
    {
        ("README.md", "article"): tables.article_in_brief,
        ("README.md", "audit"): tables.audit_in_brief,
        ("docs/reproduce.md", "verdicts"): tables.verdicts,
        ("docs/results/article.md", "article"): tables.article,
        ("docs/results/article.md", "published"): tables.published,
        ("docs/results/article.md", "seeds"): partial(tables.study, "article-seeds"),
        ("docs/results/article.md", "keras"): tables.keras,
        ("docs/results/claims.md", "claims"): tables.claims,
        ("docs/results/alternatives.md", "alternatives"): partial(tables.study, "alternatives-quick"),
        ("docs/results/alternatives.md", "two-data-sets"): tables.two_data_sets,
        ("docs/results/audit.md", "audit"): tables.audit,
        ("docs/results/explain.md", "explain"): partial(tables.explanation, "cnn2"),
        ("docs/results/explain.md", "lite0"): partial(tables.explanation, "lite0"),
        ("docs/results/explain.md", "beside"): tables.beside_the_explanation,
        ("docs/results/speed.md", "explaining"): tables.explaining,
        ("docs/results/certify.md", "certify"): tables.certificates,
        ("docs/results/certify.md", "proofs"): proof_tables.random_networks,
        ("docs/results/coverage.md", "shares"): partial(tables.coverage, "shares"),
        ("docs/results/coverage.md", "seeds"): partial(tables.coverage, "seeds"),
        ("docs/results/coverage.md", "differences"): partial(tables.coverage, "differences"),
        ("docs/results/coverage.md", "means"): partial(tables.coverage, "means"),
        ("docs/results/coverage.md", "precision"): tables.stopping,
        ("docs/results/coverage.md", "gates"): tables.gates,
        ("docs/results/coverage.md", "older"): older_intervals,
        ("docs/results/fix.md", "mnist"): partial(fix_tables.trained, "mnist"),
        ("docs/results/fix.md", "fashion"): partial(fix_tables.trained, "fashion"),
        ("docs/results/fix.md", "photographs"): fix_tables.photographs,
        ("docs/results/fix.md", "first-and-last"): fix_tables.first_and_last,
        ("docs/results/fix.md", "circle"): fix_tables.circle,
        ("docs/results/fix.md", "where-to-blur"): fix_tables.where_to_blur,
        ("docs/robust.md", "before"): partial(fix_tables.guide, "before"),
        ("docs/robust.md", "explained"): partial(fix_tables.guide, "explained"),
        ("docs/robust.md", "fixed"): partial(fix_tables.guide, "fixed"),
        ("docs/robust.md", "after"): partial(fix_tables.guide, "after"),
        ("docs/results/certify.md", "anatomies"): tables.anatomies,
        ("docs/results/speed.md", "probing"): tables.probing,
        ("docs/results/speed.md", "plans"): tables.plans,
        ("docs/results/speed.md", "normalised"): tables.normalised,
        ("docs/results/explain.md", "remedies"): tables.remedies,
        ("docs/results/speed.md", "layers"): tables.layers,
        ("docs/results/speed.md", "networks"): tables.networks,
        ("docs/results/speed.md", "training"): tables.training,
        ("docs/results/speed.md", "pages"): tables.pages,
        ("docs/results/speed.md", "serving"): tables.serving,
        ("docs/results/scale.md", "measured"): scale_tables.measured,
        ("docs/results/scale.md", "workers"): scale_tables.workers,
        ("docs/results/scale.md", "cost"): scale_tables.cost,
        ("docs/results/scale.md", "limits"): scale_tables.limits,
    }
)

# By file in results/. Figures that need more than a record are drawn by the command that measures them.
FIGURES: Mapping[str, Renderer] = MappingProxyType(
    {
        "audit-cnn2.svg": pictures.audit,
        "article-full.svg": pictures.learning,
        "alternatives-quick.svg": pictures.alternatives,
    }
)


def updated(document: str, text: str) -> str:
    """A document with its measured sections as the results say.

    Args:
        document: Its path from the root of the repository.
        text: What it says now.
    """
    for (file, section), render in SECTIONS.items():
        if file == document:
            text = _replaced(text, section, render())
    return text


def _replaced(text: str, section: str, content: str) -> str:
    head, begin, rest = text.partition(f"<!-- {section} -->\n")
    _, end, tail = rest.partition(f"<!-- /{section} -->")
    if not begin or not end:
        raise ValueError(f"Expected the section {section!r} between its marks, got a text without it.")
    return head + begin + content + end + tail


def main() -> None:
    for document in dict.fromkeys(file for file, _ in SECTIONS):
        path = ROOT / document
        path.write_text(updated(document, path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, draw in FIGURES.items():
        (RESULTS / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
