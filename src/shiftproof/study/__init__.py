"""Declarative experiments and their record."""

from shiftproof.study._materials import Materials as Materials
from shiftproof.study._run import Watcher as Watcher
from shiftproof.study._run import run_study as run_study
from shiftproof.study._spec import Arm as Arm
from shiftproof.study._spec import Overrides as Overrides
from shiftproof.study._spec import Study as Study
from shiftproof.study._spec import load_study as load_study
from shiftproof.study._spec import parse_overrides as parse_overrides
