"""Networks built here, by name."""

from shiftproof.zoo import _all_cnn as _all_cnn
from shiftproof.zoo import _blurred as _blurred
from shiftproof.zoo import _capsnet as _capsnet
from shiftproof.zoo import _detail as _detail
from shiftproof.zoo import _polyphase as _polyphase
from shiftproof.zoo import _pooled as _pooled
from shiftproof.zoo import _resnet as _resnet
from shiftproof.zoo._article import PixelRows as PixelRows
from shiftproof.zoo._checkpoint import Checkpoint as Checkpoint
from shiftproof.zoo._checkpoint import load_network as load_network
from shiftproof.zoo._checkpoint import read_checkpoint as read_checkpoint
from shiftproof.zoo._checkpoint import write_checkpoint as write_checkpoint
from shiftproof.zoo._checkpoint import write_weights as write_weights
from shiftproof.zoo._objective import Objective as Objective
from shiftproof.zoo._spec import MNIST_SHAPE as MNIST_SHAPE
from shiftproof.zoo._spec import ImageShape as ImageShape
from shiftproof.zoo._spec import Network as Network
from shiftproof.zoo._spec import NetworkSpec as NetworkSpec
from shiftproof.zoo._spec import build_network as build_network
from shiftproof.zoo._spec import networks as networks
from shiftproof.zoo._trained import TrainedNetwork as TrainedNetwork
from shiftproof.zoo._trained import load_trained as load_trained
from shiftproof.zoo._trained import trained_names as trained_names
from shiftproof.zoo._trained import trained_network as trained_network
