"""A page on which one drags an image and sees what models answer. Importing it needs no server."""

from shiftproof.serve._exhibit import DEFAULT_RADIUS_PX as DEFAULT_RADIUS_PX
from shiftproof.serve._exhibit import Exhibit as Exhibit
from shiftproof.serve._exhibit import demo as demo
from shiftproof.serve._exhibit import exhibit as exhibit
from shiftproof.serve._exhibit import largest_radius_px as largest_radius_px
from shiftproof.serve._export import export_page as export_page
from shiftproof.serve._hosts import is_loopback as is_loopback
from shiftproof.serve._server import Address as Address
from shiftproof.serve._server import check_host as check_host
from shiftproof.serve._server import check_serving as check_serving
from shiftproof.serve._server import run_server as run_server
