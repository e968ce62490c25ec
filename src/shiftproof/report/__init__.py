"""Renderings of a run's record. Nothing here computes a result or imports torch."""

from shiftproof.report._audit_markdown import audit_markdown as audit_markdown
from shiftproof.report._audit_record import AuditRecord as AuditRecord
from shiftproof.report._audit_record import ComparisonRecord as ComparisonRecord
from shiftproof.report._audit_record import read_audit as read_audit
from shiftproof.report._audit_record import read_comparison as read_comparison
from shiftproof.report._audit_terminal import print_audit as print_audit
from shiftproof.report._comparison import comparison_markdown as comparison_markdown
from shiftproof.report._comparison import print_comparison as print_comparison
from shiftproof.report._junit import audit_junit as audit_junit
from shiftproof.report._pareto import frontier as frontier
from shiftproof.report._pareto import pareto_svg as pareto_svg
from shiftproof.report._record import StudyRecord as StudyRecord
from shiftproof.report._record import read_study as read_study
from shiftproof.report._remedies import remedies_in_brief as remedies_in_brief
from shiftproof.report._remedies import remedies_in_full as remedies_in_full
from shiftproof.report._side_by_side import side_by_side_markdown as side_by_side_markdown
from shiftproof.report._study_table import headline as headline
from shiftproof.report._study_table import to_markdown as to_markdown
from shiftproof.report._terminal import print_study as print_study
