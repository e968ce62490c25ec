"""The command line."""

from shiftproof.cli._app import main as main
from shiftproof.cli._app import run as run
