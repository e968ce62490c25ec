"""Images to measure on: the embedded MNIST, folders, tables and arrays, brought to one shape."""

from shiftproof.data._derived import inverted as inverted
from shiftproof.data._derived import only_classes as only_classes
from shiftproof.data._face_patches import PatchKind as PatchKind
from shiftproof.data._face_patches import face_patches as face_patches
from shiftproof.data._faces import NO_FACES as NO_FACES
from shiftproof.data._faces import FaceKind as FaceKind
from shiftproof.data._faces import draw_faces as draw_faces
from shiftproof.data._faces import schematic_faces as schematic_faces
from shiftproof.data._frame import CROP as CROP
from shiftproof.data._frame import Fit as Fit
from shiftproof.data._frame import FitWay as FitWay
from shiftproof.data._gratings import draw_gratings as draw_gratings
from shiftproof.data._idx import load_idx_folder as load_idx_folder
from shiftproof.data._idx import read_idx as read_idx
from shiftproof.data._images import UNKNOWN as UNKNOWN
from shiftproof.data._images import Images as Images
from shiftproof.data._images import LabelledImages as LabelledImages
from shiftproof.data._images import Skipped as Skipped
from shiftproof.data._letter import draw_letter_c as draw_letter_c
from shiftproof.data._load import MAX_BAD as MAX_BAD
from shiftproof.data._load import load_images as load_images
from shiftproof.data._match import match_labels as match_labels
from shiftproof.data._sources import DataSource as DataSource
from shiftproof.data._sources import Split as Split
from shiftproof.data._sources import data_sources as data_sources
from shiftproof.data._sources import load_data as load_data
