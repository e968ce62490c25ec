"""Layers that get smaller, or stay as they are, with a stated behaviour under shifts."""

from shiftproof.layers._alias_free import AliasFreeActivation as AliasFreeActivation
from shiftproof.layers._alias_free import LowPassPool2d as LowPassPool2d
from shiftproof.layers._blur import BlurPool2d as BlurPool2d
from shiftproof.layers._capsule_losses import RECONSTRUCTION_WEIGHT as RECONSTRUCTION_WEIGHT
from shiftproof.layers._capsule_losses import CapsuleDecoder as CapsuleDecoder
from shiftproof.layers._capsule_losses import margin_loss as margin_loss
from shiftproof.layers._capsules import CapsuleLengths as CapsuleLengths
from shiftproof.layers._capsules import PrimaryCapsules as PrimaryCapsules
from shiftproof.layers._capsules import RoutedCapsules as RoutedCapsules
from shiftproof.layers._capsules import squash as squash
from shiftproof.layers._circular_max import CircularMaxPool2d as CircularMaxPool2d
from shiftproof.layers._conv import CONV_BORDERS as CONV_BORDERS
from shiftproof.layers._conv import ConvBorder as ConvBorder
from shiftproof.layers._conv import conv2d as conv2d
from shiftproof.layers._detail_preserving import DETAIL_KINDS as DETAIL_KINDS
from shiftproof.layers._detail_preserving import DetailKind as DetailKind
from shiftproof.layers._detail_preserving import DetailPreservingPool2d as DetailPreservingPool2d
from shiftproof.layers._global_mean import GlobalMeanPool as GlobalMeanPool
from shiftproof.layers._learned_polyphase import LearnedPolyphase2d as LearnedPolyphase2d
from shiftproof.layers._max_blur import MaxBlurPool2d as MaxBlurPool2d
from shiftproof.layers._polyphase import POLYPHASE_NORMS as POLYPHASE_NORMS
from shiftproof.layers._polyphase import AdaptivePolyphase2d as AdaptivePolyphase2d
from shiftproof.layers._polyphase import Polyphase2d as Polyphase2d
from shiftproof.layers._polyphase import PolyphaseNorm as PolyphaseNorm
from shiftproof.layers._strided import StridedConvPool2d as StridedConvPool2d
from shiftproof.layers._unpool import PolyphaseUnpool2d as PolyphaseUnpool2d
