"""Units of work, where their results are kept, and the workers that compute them."""

from shiftproof.engine._channel import Channel as Channel
from shiftproof.engine._channel import Shared as Shared
from shiftproof.engine._channel import StopSignal as StopSignal
from shiftproof.engine._channel import StopsWhen as StopsWhen
from shiftproof.engine._cluster import check_there as check_there
from shiftproof.engine._engine import Engine as Engine
from shiftproof.engine._engine import parse_engine as parse_engine
from shiftproof.engine._execute import HERE as HERE
from shiftproof.engine._execute import Workers as Workers
from shiftproof.engine._execute import execute as execute
from shiftproof.engine._execute import workers_of as workers_of
from shiftproof.engine._open import open_run as open_run
from shiftproof.engine._read import files_of_run as files_of_run
from shiftproof.engine._run import Run as Run
from shiftproof.engine._units import Unit as Unit
from shiftproof.engine._units import UnitStore as UnitStore
from shiftproof.engine._units import check_unit_file as check_unit_file
