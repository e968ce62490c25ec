"""Why invariance is lost: which layer, by which cause, and how much of the answer's change it causes."""

from shiftproof.explain._explain import explain as explain
from shiftproof.explain._explanation import Explanation as Explanation
from shiftproof.explain._explanation import LayerRow as LayerRow
from shiftproof.explain._explanation import Stair as Stair
from shiftproof.explain._lie import LayerLieDerivative as LayerLieDerivative
from shiftproof.explain._lie import LieDerivative as LieDerivative
from shiftproof.explain._lie import layer_lie_derivative as layer_lie_derivative
from shiftproof.explain._lie import lie_derivative as lie_derivative
from shiftproof.explain._losses import CAUSES as CAUSES
from shiftproof.explain._losses import Cause as Cause
from shiftproof.explain._offsets import CONDITIONS as CONDITIONS
from shiftproof.explain._offsets import Condition as Condition
from shiftproof.explain._sensitivity import SensitivityMap as SensitivityMap
from shiftproof.explain._sensitivity import sensitivity_map as sensitivity_map
from shiftproof.explain._staircase import UNITS as UNITS
from shiftproof.explain._staircase import Unit as Unit
from shiftproof.explain._tangent import tangent as tangent
