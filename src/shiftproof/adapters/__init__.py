"""Any model as one `Classifier`."""

from shiftproof.adapters._classifier import Classifier as Classifier
from shiftproof.adapters._classifier import Model as Model
from shiftproof.adapters._classifier import as_classifier as as_classifier
from shiftproof.adapters._classifier import check_finite as check_finite
from shiftproof.adapters._classifier import describe as describe
from shiftproof.adapters._classifier import digest_of_module as digest_of_module
from shiftproof.adapters._classifier import evaluating as evaluating
from shiftproof.adapters._failures import explained as explained
from shiftproof.adapters._failures import is_out_of_memory as is_out_of_memory
from shiftproof.adapters._failures import of_others as of_others
from shiftproof.adapters._framed import load_framed as load_framed
from shiftproof.adapters._load import load_classifier as load_classifier
from shiftproof.adapters._pipeline import MODEL as MODEL
from shiftproof.adapters._pipeline import Pipeline as Pipeline
from shiftproof.adapters._preprocess import Framing as Framing
from shiftproof.adapters._preprocess import Preprocess as Preprocess
from shiftproof.adapters._preprocess import Resampling as Resampling
from shiftproof.adapters._sources import ModelRequest as ModelRequest
from shiftproof.adapters._sources import ModelSource as ModelSource
from shiftproof.adapters._sources import model_sources as model_sources
from shiftproof.adapters._wrappers import inside as inside
