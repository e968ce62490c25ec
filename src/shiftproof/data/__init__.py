"""Images to measure on: the embedded MNIST, folders, tables, arrays, datasets, brought to one shape."""

from shiftproof.data._collections import ImagesLike as ImagesLike
from shiftproof.data._collections import is_images as is_images
from shiftproof.data._decoders import MOST_DECODERS as MOST_DECODERS
from shiftproof.data._decoders import Decoders as Decoders
from shiftproof.data._frame import CROP as CROP
from shiftproof.data._frame import Fit as Fit
from shiftproof.data._frame import FitWay as FitWay
from shiftproof.data._framed import read_ahead as read_ahead
from shiftproof.data._framed import without_found_labels as without_found_labels
from shiftproof.data._idx import load_idx_folder as load_idx_folder
from shiftproof.data._idx import read_idx as read_idx
from shiftproof.data._images import UNKNOWN as UNKNOWN
from shiftproof.data._images import Images as Images
from shiftproof.data._images import LabelledImages as LabelledImages
from shiftproof.data._images import Skipped as Skipped
from shiftproof.data._load import MAX_BAD as MAX_BAD
from shiftproof.data._load import load_images as load_images
from shiftproof.data._match import match_labels as match_labels
from shiftproof.data._reading import AS_USUAL as AS_USUAL
from shiftproof.data._reading import Reading as Reading
from shiftproof.data._received import received_image as received_image
from shiftproof.data._samples import Window as Window
from shiftproof.data._sources import DataSource as DataSource
from shiftproof.data._sources import Split as Split
from shiftproof.data._sources import data_sources as data_sources
from shiftproof.data._sources import load_data as load_data
