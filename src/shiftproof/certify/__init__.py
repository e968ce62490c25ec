"""What is certain: shifts for which a network is proved to be exactly invariant."""

from shiftproof.anatomy import Reason as Reason
from shiftproof.certify._certificate import Certificate as Certificate
from shiftproof.certify._certificate import CircularLaw as CircularLaw
from shiftproof.certify._certificate import InteriorLaw as InteriorLaw
from shiftproof.certify._certificate import Stage as Stage
from shiftproof.certify._certificate import Verdict as Verdict
from shiftproof.certify._certify import certify as certify
from shiftproof.certify._numeric import Check as Check
from shiftproof.certify._numeric import Deviation as Deviation
