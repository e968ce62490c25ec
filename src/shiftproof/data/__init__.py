"""Image sources: the embedded MNIST and any folder in its format."""

from shiftproof.data._idx import load_idx_folder as load_idx_folder
from shiftproof.data._idx import read_idx as read_idx
from shiftproof.data._images import LabelledImages as LabelledImages
from shiftproof.data._sources import DataSource as DataSource
from shiftproof.data._sources import Split as Split
from shiftproof.data._sources import data_sources as data_sources
from shiftproof.data._sources import load_data as load_data
