"""Edits: from a network to another one that loses less when its images move, and what was changed."""

from shiftproof.edits import _after_activation as _after_activation
from shiftproof.edits import _blur as _blur
from shiftproof.edits import _head as _head
from shiftproof.edits import _padding as _padding
from shiftproof.edits import _patches as _patches
from shiftproof.edits import _polyphase as _polyphase
from shiftproof.edits import _relative as _relative
from shiftproof.edits._apply import GIVEN as GIVEN
from shiftproof.edits._apply import apply_edit as apply_edit
from shiftproof.edits._apply import free_edits as free_edits
from shiftproof.edits._average import ShiftAveraged as ShiftAveraged
from shiftproof.edits._average import averaged as averaged
from shiftproof.edits._average import forwards as forwards
from shiftproof.edits._average import mean_answer as mean_answer
from shiftproof.edits._canonical import CanonicalPosition as CanonicalPosition
from shiftproof.edits._canonical import chosen_crop as chosen_crop
from shiftproof.edits._canonical import placed as placed
from shiftproof.edits._record import Edit as Edit
from shiftproof.edits._record import Edited as Edited
from shiftproof.edits._record import edits as edits
from shiftproof.edits._statistics import measure_statistics as measure_statistics
from shiftproof.edits._surgery import NothingToEditError as NothingToEditError
from shiftproof.records import Change as Change
from shiftproof.records import LeftAlone as LeftAlone
