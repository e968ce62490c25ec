"""What is certain: shifts for which a network is proved to be exactly invariant."""

from shiftproof.certify._certify import certify as certify
from shiftproof.records import Certificate as Certificate
from shiftproof.records import CircularLaw as CircularLaw
from shiftproof.records import Deviation as Deviation
from shiftproof.records import InteriorLaw as InteriorLaw
from shiftproof.records import LawCheck as LawCheck
from shiftproof.records import ReasonRecord as ReasonRecord
from shiftproof.records import Stage as Stage
from shiftproof.records import Verdict as Verdict
