"""From a response to estimates with intervals, comparisons and gates."""

from shiftproof.metrics import _accuracy as _accuracy
from shiftproof.metrics import _agreement as _agreement
from shiftproof.metrics import _change as _change
from shiftproof.metrics._applicable import NotApplicable as NotApplicable
from shiftproof.metrics._chance import chance_accuracy as chance_accuracy
from shiftproof.metrics._chance import chance_agreement as chance_agreement
from shiftproof.metrics._compare import Difference as Difference
from shiftproof.metrics._compare import compare_responses as compare_responses
from shiftproof.metrics._estimate import Estimate as Estimate
from shiftproof.metrics._estimate import estimate_share as estimate_share
from shiftproof.metrics._flip_radius import smallest_flip_px as smallest_flip_px
from shiftproof.metrics._gate import Gate as Gate
from shiftproof.metrics._gate import Verdict as Verdict
from shiftproof.metrics._gate import judge as judge
from shiftproof.metrics._gate import parse_gate as parse_gate
from shiftproof.metrics._scores import Scores as Scores
from shiftproof.metrics._selection import Selection as Selection
from shiftproof.metrics._selection import select as select
from shiftproof.metrics._selection import within as within
from shiftproof.metrics._spec import MetricSpec as MetricSpec
from shiftproof.metrics._spec import metrics as metrics
from shiftproof.metrics._views import by_class as by_class
from shiftproof.metrics._views import by_phase as by_phase
from shiftproof.metrics._views import by_radius as by_radius
from shiftproof.metrics._views import by_shift as by_shift
