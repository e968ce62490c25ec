"""Running a model over images and shifts: one call, one record."""

from shiftproof.probe._direct import measure_response as measure_response
from shiftproof.probe._response import Response as Response
