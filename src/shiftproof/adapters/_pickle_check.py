"""A look at a pickle of weights before torch reads it: what it may call, it may call with any size.

`torch.load(weights_only=True)` runs no code of a file, but makes byte arrays for it, as large as it says.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from shiftproof._inputs import Most, UnfitFile, open_file

# A tensor takes about a hundred bytes in it; the numbers lie elsewhere.
MAX_PICKLE_BYTES = 2**26
# A file in the format before zip archives holds so many pickles before its tensors.
N_PICKLES = 5
REFUSED = "bytearray"


def check_pickle(path: Path) -> None:
    """Nothing for a file whose pickles only say where tensors lie; what is no pickle is left to torch.

    Raises:
        UnfitFile: It asks for a byte array, or is larger than the names of any network's weights.
        OSError: It cannot be read.
    """
    for number, content in enumerate(_pickles(path)):
        try:
            for operation, value, _ in pickletools.genops(content):
                words = str(value).split() if isinstance(value, str) else ()
                if REFUSED in words:
                    raise UnfitFile(
                        f"a pickle that asks for a {REFUSED} ({operation.name}), as no weights do"
                    )
        except ValueError:
            if number == 0:
                return


def _pickles(path: Path) -> Iterator[bytes]:
    """The pickle of an archive, or the first ones of a file, each with what follows it."""
    with open_file(path, Most.WEIGHTS) as file:
        if zipfile.is_zipfile(file):
            yield from _archived(zipfile.ZipFile(file))
            return
        file.seek(0)
        content = file.read(MAX_PICKLE_BYTES)
    for _ in range(N_PICKLES):
        yield content
        try:
            *_, (_, _, end) = pickletools.genops(content)
        except ValueError:
            return
        content = content[(end or 0) + 1 :]


def _archived(archive: zipfile.ZipFile) -> Iterator[bytes]:
    for member in archive.infolist():
        if member.filename.endswith(".pkl"):
            if member.file_size > MAX_PICKLE_BYTES:
                raise UnfitFile(
                    f"a pickle of {member.file_size:,} bytes in it, more than {MAX_PICKLE_BYTES:,}"
                )
            yield archive.read(member)
