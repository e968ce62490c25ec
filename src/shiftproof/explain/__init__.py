"""Why invariance is lost: which layer, by which cause, and how much of the answer's change it causes."""

from shiftproof.explain._explain import explain as explain
from shiftproof.explain._lie import LayerLieDerivative as LayerLieDerivative
from shiftproof.explain._lie import LieDerivative as LieDerivative
from shiftproof.explain._lie import layer_lie_derivative as layer_lie_derivative
from shiftproof.explain._lie import lie_derivative as lie_derivative
from shiftproof.explain._sensitivity import SensitivityMap as SensitivityMap
from shiftproof.explain._sensitivity import sensitivity_map as sensitivity_map
from shiftproof.explain._tangent import tangent as tangent
from shiftproof.records import CAUSES as CAUSES
from shiftproof.records import CONDITIONS as CONDITIONS
from shiftproof.records import UNITS as UNITS
from shiftproof.records import Cause as Cause
from shiftproof.records import Condition as Condition
from shiftproof.records import Explanation as Explanation
from shiftproof.records import LayerRow as LayerRow
from shiftproof.records import Stair as Stair
from shiftproof.records import Unit as Unit
