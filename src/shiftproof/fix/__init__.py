"""From what is lost to a better model: edits chosen, trained where there is time for it, and measured."""

from shiftproof.adapters import load_fixed as load_fixed
from shiftproof.edits import apply_edit as apply_edit
from shiftproof.fix._export import export_onnx as export_onnx
from shiftproof.fix._export import exported as exported
from shiftproof.fix._fix import fix as fix
from shiftproof.fix._fixed import Fixed as Fixed
from shiftproof.fix._options import CLEAN_MARGIN as CLEAN_MARGIN
from shiftproof.fix._options import DEFAULT_PROTOCOL as DEFAULT_PROTOCOL
from shiftproof.fix._options import FixOptions as FixOptions
from shiftproof.fix._propose import Proposal as Proposal
from shiftproof.fix._propose import losses_of as losses_of
from shiftproof.fix._propose import propose as propose
from shiftproof.fix._student import LessonProgress as LessonProgress
from shiftproof.fix._student import Student as Student
from shiftproof.fix._teach import Lesson as Lesson
from shiftproof.fix._teach import Teaching as Teaching
from shiftproof.records import FixedRow as FixedRow
from shiftproof.records import FixRecord as FixRecord
from shiftproof.records import Losses as Losses
