"""Tar and Parquet files with images in them: damaged anywhere, cut anywhere, and named in ranges."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tests.hostile.cases import Case, audit, kind

N_PLACES = 40


def images() -> list[bytes]:
    found = []
    for seed in range(3):
        file = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        found.append(file.getvalue())
    return found


def in_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, content in enumerate(images()):
            for name, part in ((f"{number}.png", content), (f"{number}.cls", b"1")):
                info = tarfile.TarInfo(name)
                info.size = len(part)
                archive.addfile(info, io.BytesIO(part))
    return file.getvalue()


def in_parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": images(), "label": [0, 1, 0]}), file)
    return file.getvalue()


def with_content(name: str, content: bytes) -> Callable[[Path], Sequence[str]]:
    def make(folder: Path) -> Sequence[str]:
        (folder / name).write_bytes(content)
        return audit("zoo:cnn1", name)

    return make


@kind
def damaged_shards() -> Iterator[Case]:
    for name, whole in (("d.tar", in_tar()), ("d.parquet", in_parquet())):
        # What is used is the headers of a tar file, and the end of a Parquet file.
        of_interest = range(600) if name == "d.tar" else range(len(whole) - 900, len(whole))
        places = np.random.default_rng(0).choice(of_interest, N_PLACES, replace=False)
        for place in map(int, places):
            for value in (0, 255):
                content = whole[:place] + bytes([value]) + whole[place + 1 :]
                yield Case(
                    "damaged shards",
                    f"{name} {place} {value}",
                    with_content(name, content),
                    frozenset({0, 2}),
                )
        for n_bytes in np.linspace(0, len(whole) - 1, 20, dtype=int).tolist():
            yield Case(
                "cut shards", f"{name} {n_bytes}", with_content(name, whole[:n_bytes]), frozenset({0, 2})
            )


@kind
def ranges_of_shards() -> Iterator[Case]:
    for reference in ("{0..9}.tar", "{9..0}.tar", "{0..999999999}.tar", "{0..1}", "{0..1}.png", "{a..b}.tar",
                      "{0..1}{0..1}.tar", "{00000000000..1}.tar", "x::y.tar", "memory://none", "memory://{0..1}.tar",
                      "nonsense://a", "s3::memory://a", "ftp://user:secret@host/a"):  # fmt: skip
        yield Case("ranges of shards", reference, of_reference(reference))


def of_reference(reference: str) -> Callable[[Path], Sequence[str]]:
    return lambda folder: audit("zoo:cnn1", reference)
