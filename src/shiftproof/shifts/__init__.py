"""Moving images: the operator, the laws that draw offsets, and the named protocols."""

from shiftproof.shifts._borders import BORDERS as BORDERS
from shiftproof.shifts._borders import Border as Border
from shiftproof.shifts._borders import check_border as check_border
from shiftproof.shifts._borders import extend as extend
from shiftproof.shifts._find import find_protocol as find_protocol
from shiftproof.shifts._laws import Diagonal as Diagonal
from shiftproof.shifts._laws import Grid as Grid
from shiftproof.shifts._laws import IntegerBox as IntegerBox
from shiftproof.shifts._laws import Law as Law
from shiftproof.shifts._laws import Offsets as Offsets
from shiftproof.shifts._laws import RelativeGrid as RelativeGrid
from shiftproof.shifts._laws import Ring as Ring
from shiftproof.shifts._laws import UniformBox as UniformBox
from shiftproof.shifts._protocol_file import read_protocols as read_protocols
from shiftproof.shifts._protocols import ProtocolBorder as ProtocolBorder
from shiftproof.shifts._protocols import ProtocolFamily as ProtocolFamily
from shiftproof.shifts._protocols import ShiftProtocol as ShiftProtocol
from shiftproof.shifts._protocols import protocol_families as protocol_families
from shiftproof.shifts._protocols import protocols as protocols
from shiftproof.shifts._translate import INTERPOLATIONS as INTERPOLATIONS
from shiftproof.shifts._translate import Interpolation as Interpolation
from shiftproof.shifts._translate import translate as translate
