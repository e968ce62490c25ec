"""Training: recipe, loop, checkpoints."""

from shiftproof.train._checkpoint import EpochRecord as EpochRecord
from shiftproof.train._checkpoint import load_history as load_history
from shiftproof.train._fast import training_forward as training_forward
from shiftproof.train._fit import Progress as Progress
from shiftproof.train._fit import fit as fit
from shiftproof.train._recipe import INPUT_SCALES as INPUT_SCALES
from shiftproof.train._recipe import EarlyStopping as EarlyStopping
from shiftproof.train._recipe import InputScale as InputScale
from shiftproof.train._recipe import Recipe as Recipe
from shiftproof.zoo import load_network as load_network
