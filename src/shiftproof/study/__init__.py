"""Declarative experiments and their record."""

from shiftproof.study._costs import count_multiply_adds as count_multiply_adds
from shiftproof.study._materials import Materials as Materials
from shiftproof.study._record import Responses as Responses
from shiftproof.study._record import study_record as study_record
from shiftproof.study._reproduce import article_materials as article_materials
from shiftproof.study._reproduce import reproduce as reproduce
from shiftproof.study._run import Silent as Silent
from shiftproof.study._run import Watcher as Watcher
from shiftproof.study._run import measure_study as measure_study
from shiftproof.study._run import pass_on as pass_on
from shiftproof.study._run import run_study as run_study
from shiftproof.study._spec import Arm as Arm
from shiftproof.study._spec import Overrides as Overrides
from shiftproof.study._spec import Study as Study
from shiftproof.study._spec import load_study as load_study
from shiftproof.study._spec import parse_overrides as parse_overrides
