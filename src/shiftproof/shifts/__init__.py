"""Moving images: the operator, the laws that draw offsets, and the named protocols."""

from shiftproof.shifts._borders import BORDERS as BORDERS
from shiftproof.shifts._borders import Border as Border
from shiftproof.shifts._laws import Grid as Grid
from shiftproof.shifts._laws import IntegerBox as IntegerBox
from shiftproof.shifts._laws import Law as Law
from shiftproof.shifts._laws import UniformBox as UniformBox
from shiftproof.shifts._protocols import ShiftProtocol as ShiftProtocol
from shiftproof.shifts._protocols import protocols as protocols
from shiftproof.shifts._translate import INTERPOLATIONS as INTERPOLATIONS
from shiftproof.shifts._translate import Interpolation as Interpolation
from shiftproof.shifts._translate import translate as translate
