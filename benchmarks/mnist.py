"""The packaged MNIST as arrays, for peers that share no code with shiftproof."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parents[1] / "src" / "shiftproof" / "data" / "mnist"


def read(name: str, header: int) -> npt.NDArray[np.uint8]:
    """The numbers of an IDX file behind its header of so many bytes."""
    return np.frombuffer(gzip.decompress((FOLDER / name).read_bytes()), np.uint8, offset=header)
