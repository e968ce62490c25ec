"""Running a model over images and shifts: one call, one record."""

from shiftproof.probe._averaged import AtOnce as AtOnce
from shiftproof.probe._averaged import averaged_at_once as averaged_at_once
from shiftproof.probe._measure import Probe as Probe
from shiftproof.probe._measure import measure_response as measure_response
from shiftproof.probe._measure import probing as probing
from shiftproof.probe._method import Method as Method
from shiftproof.probe._method import MethodChoice as MethodChoice
from shiftproof.probe._method import check_method as check_method
from shiftproof.probe._method import choose_method as choose_method
from shiftproof.probe._neighbours import Gallery as Gallery
from shiftproof.probe._neighbours import chosen_for_gallery as chosen_for_gallery
from shiftproof.probe._noise import REPEATS as REPEATS
from shiftproof.probe._noise import measure_noise as measure_noise
from shiftproof.probe._response import Response as Response
from shiftproof.probe._views import Views as Views
