"""Networks built here, by name."""

from shiftproof.zoo._article import PixelRows as PixelRows
from shiftproof.zoo._checkpoint import CHECKPOINT_SCHEMA_VERSION as CHECKPOINT_SCHEMA_VERSION
from shiftproof.zoo._checkpoint import Checkpoint as Checkpoint
from shiftproof.zoo._checkpoint import load_network as load_network
from shiftproof.zoo._checkpoint import read_checkpoint as read_checkpoint
from shiftproof.zoo._spec import ImageShape as ImageShape
from shiftproof.zoo._spec import Network as Network
from shiftproof.zoo._spec import NetworkSpec as NetworkSpec
from shiftproof.zoo._spec import build_network as build_network
from shiftproof.zoo._spec import networks as networks
