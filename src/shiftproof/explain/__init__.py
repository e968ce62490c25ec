"""Why invariance is lost: which layer, by which cause, and how much."""

from shiftproof.explain._blame import CAUSES as CAUSES
from shiftproof.explain._blame import Cause as Cause
from shiftproof.explain._equivariance import CONDITIONS as CONDITIONS
from shiftproof.explain._equivariance import Condition as Condition
from shiftproof.explain._explain import explain as explain
from shiftproof.explain._explanation import Explanation as Explanation
from shiftproof.explain._explanation import LayerRow as LayerRow
from shiftproof.explain._filters import Filter as Filter
from shiftproof.explain._filters import edge_filters as edge_filters
from shiftproof.explain._filters import matched_filter as matched_filter
from shiftproof.explain._filters import random_filters as random_filters
from shiftproof.explain._letter_figure import LetterFigure as LetterFigure
from shiftproof.explain._letter_figure import LetterPair as LetterPair
from shiftproof.explain._letter_figure import letter_figure as letter_figure
from shiftproof.explain._lie import LayerLieDerivative as LayerLieDerivative
from shiftproof.explain._lie import LieDerivative as LieDerivative
from shiftproof.explain._lie import layer_lie_derivative as layer_lie_derivative
from shiftproof.explain._lie import lie_derivative as lie_derivative
from shiftproof.explain._pooling_law import MoveCount as MoveCount
from shiftproof.explain._pooling_law import PoolingLaw as PoolingLaw
from shiftproof.explain._pooling_law import Pools as Pools
from shiftproof.explain._pooling_law import pooling_law as pooling_law
from shiftproof.explain._sensitivity import SensitivityMap as SensitivityMap
from shiftproof.explain._sensitivity import sensitivity_map as sensitivity_map
from shiftproof.explain._tangent import tangent as tangent
