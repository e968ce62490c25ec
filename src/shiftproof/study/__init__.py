"""Declarative experiments and their record."""

from shiftproof.study._costs import count_multiply_adds as count_multiply_adds
from shiftproof.study._materials import Materials as Materials
from shiftproof.study._record import Responses as Responses
from shiftproof.study._record import study_record as study_record
from shiftproof.study._run import Silent as Silent
from shiftproof.study._run import Units as Units
from shiftproof.study._run import Watcher as Watcher
from shiftproof.study._run import loaded as loaded
from shiftproof.study._run import measure_study as measure_study
from shiftproof.study._run import pass_on as pass_on
from shiftproof.study._run import run_study as run_study
from shiftproof.study._run import shared_by as shared_by
from shiftproof.study._spec import Arm as Arm
from shiftproof.study._spec import Overrides as Overrides
from shiftproof.study._spec import Study as Study
from shiftproof.study._spec import load_study as load_study
from shiftproof.study._spec import parse_overrides as parse_overrides
from shiftproof.study._units import measured as measured
from shiftproof.study._units import train_arm as train_arm
from shiftproof.study._units import training_unit as training_unit
