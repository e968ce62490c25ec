"""Renderings of a run's record. Nothing here computes a result or imports torch."""

from shiftproof.report._record import StudyRecord as StudyRecord
from shiftproof.report._record import read_study as read_study
from shiftproof.report._study_table import headline as headline
from shiftproof.report._study_table import to_markdown as to_markdown
from shiftproof.report._terminal import print_study as print_study
