"""Images to measure on: the embedded MNIST, folders, tables and arrays, brought to one shape."""

from shiftproof.data._idx import load_idx_folder as load_idx_folder
from shiftproof.data._idx import read_idx as read_idx
from shiftproof.data._images import UNKNOWN as UNKNOWN
from shiftproof.data._images import Images as Images
from shiftproof.data._images import LabelledImages as LabelledImages
from shiftproof.data._images import Skipped as Skipped
from shiftproof.data._load import load_images as load_images
from shiftproof.data._match import match_labels as match_labels
from shiftproof.data._sources import DataSource as DataSource
from shiftproof.data._sources import Split as Split
from shiftproof.data._sources import data_sources as data_sources
from shiftproof.data._sources import load_data as load_data
