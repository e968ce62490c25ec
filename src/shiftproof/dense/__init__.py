"""Plans to compute a network's answers to all whole shifts of an image at once, where that is exact."""

from shiftproof.dense._calls import POINTWISE_LAYERS as POINTWISE_LAYERS
from shiftproof.dense._calls import Call as Call
from shiftproof.dense._calls import call_of as call_of
from shiftproof.dense._calls import layer_call as layer_call
from shiftproof.dense._rolls import RollPlan as RollPlan
from shiftproof.dense._rolls import plan_rolls as plan_rolls
from shiftproof.dense._trace import NotPlanned as NotPlanned
from shiftproof.dense._trace import Trace as Trace
from shiftproof.dense._trace import trace as trace
from shiftproof.dense._windows import WindowPlan as WindowPlan
from shiftproof.dense._windows import plan_windows as plan_windows
