"""Plans to compute a network's answers to all whole shifts of an image at once, where that is exact."""

from shiftproof.dense._refusal import NotPlanned as NotPlanned
from shiftproof.dense._rolls import RollPlan as RollPlan
from shiftproof.dense._rolls import plan_rolls as plan_rolls
from shiftproof.dense._windows import WindowPlan as WindowPlan
from shiftproof.dense._windows import plan_windows as plan_windows
