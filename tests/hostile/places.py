"""Special files in every place where a file is read, and archives that are larger than they look."""

from __future__ import annotations

import gzip
import os
import socket
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tests.hostile.cases import Case, audit, few_images, kind

Put = Callable[[Path], None]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def tty(path: Path) -> None:
    path.symlink_to("/dev/ptmx")


def folder_there(path: Path) -> None:
    path.mkdir()


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_bytes(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 16)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(4096))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(80 * 2**30)


def plugged(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(path.name)


SPECIALS: dict[str, Put] = {
    "pipe": pipe,
    "/dev/zero": endless,
    "terminal": tty,
    "folder": folder_there,
    "dangling link": dangling,
    "circular link": circle,
    "empty": empty,
    "other bytes": other_bytes,
    "zeros": zeros,
    "80 GiB of nothing": sparse,
    "socket": plugged,
}


def as_model(name: str, reference: str, *more: str) -> Callable[[Path, Put], Sequence[str]]:
    def make(folder: Path, put: Put) -> Sequence[str]:
        put(folder / name)
        return audit(reference, few_images(folder), *more)

    return make


def as_data(name: str) -> Callable[[Path, Put], Sequence[str]]:
    def make(folder: Path, put: Put) -> Sequence[str]:
        put(folder / name)
        return audit("zoo:cnn1", name)

    return make


def as_option(name: str, *options: str) -> Callable[[Path, Put], Sequence[str]]:
    def make(folder: Path, put: Put) -> Sequence[str]:
        put(folder / name)
        return ["audit", "zoo:cnn1", few_images(folder), "--quiet", *options]

    return make


def in_folder(place: str, name: str, *arguments: str) -> Callable[[Path, Put], Sequence[str]]:
    def make(folder: Path, put: Put) -> Sequence[str]:
        (folder / place).mkdir()
        here = Path.cwd()
        os.chdir(folder / place)  # a socket's path must be short
        try:
            put(Path(name))
        finally:
            os.chdir(here)
        return [word if word != "DATA" else few_images(folder) for word in arguments]

    return make


def as_study(folder: Path, put: Put) -> Sequence[str]:
    put(folder / "s.toml")
    return ["study", "s.toml", "--quiet"]


SMALL_AUDIT = ("audit", "zoo:cnn1", "DATA", "--quiet", "--protocol", "grid:1")
PLACES: dict[str, Callable[[Path, Put], Sequence[str]]] = {
    "onnx": as_model("m.onnx", "m.onnx"),
    "pt": as_model("m.pt", "m.pt", "--trust"),
    "pt2": as_model("m.pt2", "m.pt2", "--trust"),
    "safetensors": as_model("m.safetensors", "m.safetensors"),
    "checkpoint": as_model("m.safetensors", "zoo:cnn1@m.safetensors"),
    "py": as_model("m.py", "m.py:model", "--trust"),
    "weights safetensors": as_model("w.safetensors", "zoo:cnn2-blur", "--weights", "w.safetensors"),
    "weights pth": as_model("w.pth", "zoo:cnn2-blur", "--weights", "w.pth"),
    "csv": as_data("d.csv"),
    "npz": as_data("d.npz"),
    "png": as_data("d.png"),
    "class names": as_option("names.txt", "--class-names", "names.txt"),
    "protocol": as_option("p.toml", "--protocol", "p.toml:a"),
    "study": as_study,
    "baseline": in_folder("b", "report.json", *SMALL_AUDIT, "--baseline", "b"),
    "compared": in_folder("b", "report.json", "compare", "b", "b"),
    "run.json": in_folder("r", "run.json", *SMALL_AUDIT, "--out", "r", "--fresh"),
    "lock": in_folder("r", ".lock", *SMALL_AUDIT, "--out", "r"),
    "units": in_folder("r", "units", *SMALL_AUDIT, "--out", "r"),
    "IDX": in_folder("i", "t10k-images-idx3-ubyte", "audit", "zoo:cnn1", "idx:i", "--quiet"),
    "IDX gz": in_folder("i", "t10k-images-idx3-ubyte.gz", "audit", "zoo:cnn1", "idx:i", "--quiet"),
}
# Nobody reads what is in a lock.
FINE = {("lock", "empty"), ("lock", "other bytes"), ("lock", "zeros"), ("lock", "80 GiB of nothing")}


@kind
def special_files() -> Iterator[Case]:
    for place, put_there in PLACES.items():
        for what, put in SPECIALS.items():
            codes = frozenset({0, 2}) if (place, what) in FINE else frozenset({2})
            yield Case(
                "special files",
                f"{place}: {what}",
                lambda folder, put_there=put_there, put=put: put_there(folder, put),  # type: ignore[misc]
                codes,
            )


def declared(
    path: Path, members: dict[str, tuple[int, bytes]], compression: int = zipfile.ZIP_DEFLATED
) -> None:
    """A zip archive whose members say that they are of any size."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, (_, content) in members.items():
            archive.writestr(name, content)
    content = path.read_bytes()
    for size, inside in members.values():
        content = content.replace(len(inside).to_bytes(4, "little"), size.to_bytes(4, "little"))
    path.write_bytes(content)


def npy_header(shape: str, kind_of_number: str = "|u1") -> bytes:
    text = f"{{'descr': '{kind_of_number}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@kind
def bombs() -> Iterator[Case]:
    def npz(folder: Path) -> Sequence[str]:
        content = npy_header("(4000000, 28, 28)") + bytes(997)
        declared(folder / "d.npz", {"images.npy": (3 * 10**9 + 128, content)})
        return audit("zoo:cnn1", "d.npz")

    yield Case("bombs", "npz of 3 GB", npz)

    def real_npz(folder: Path) -> Sequence[str]:
        np.savez_compressed(folder / "d.npz", images=np.zeros((500_000, 28, 28), np.uint8))
        return audit("zoo:cnn1", "d.npz")

    yield Case("bombs", "npz that inflates 1,000 times", real_npz)
    for suffix, reference, more in (
        ("pth", "zoo:cnn2-blur", ("--weights", "m.pth")),
        ("pt", "m.pt", ("--trust",)),
        ("pt2", "m.pt2", ("--trust",)),
    ):

        def archive(
            folder: Path, suffix: str = suffix, reference: str = reference, more: Sequence[str] = more
        ) -> Sequence[str]:
            declared(
                folder / f"m.{suffix}", {"m/data/0": (4 * 10**9, bytes(4099)), "m/data.pkl": (99, b"x" * 991)}
            )
            return audit(reference, few_images(folder), *more)

        yield Case("bombs", f"{suffix} that inflates", archive)

    def idx(folder: Path) -> Sequence[str]:
        (folder / "i").mkdir()
        header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (1_000_000, 50, 50))
        with gzip.open(folder / "i" / "t10k-images-idx3-ubyte.gz", "wb") as file:
            file.write(header + bytes(2**20))
        return ["audit", "zoo:cnn1", "idx:i", "--quiet"]

    yield Case("bombs", "IDX of 2.5 GB in gzip", idx)

    for what, name in {"pickle": b"cbuiltins", "old pickle": b"c__builtin__"}.items():

        def calling(folder: Path, name: bytes = name, zipped: bool = what == "pickle") -> Sequence[str]:
            pickled = (
                b"\x80\x02}(X\x01\x00\x00\x00w" + name + b"\nbytearray\nJ" + (2 * 10**9).to_bytes(4, "little")
            )
            pickled += b"\x85Ru."
            with zipfile.ZipFile(folder / "w.pth", "w") as archive:
                archive.writestr("w/data.pkl", pickled)
                archive.writestr("w/version", b"3\n")
                archive.writestr("w/byteorder", b"little")
            if not zipped:
                header = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
                (folder / "w.pth").write_bytes(header + pickled + b"\x80\x02].")
            return audit("zoo:cnn2-blur", few_images(folder), "--weights", "w.pth")

        yield Case("bombs", f"{what} that asks for 2 GB", calling)

    def members(folder: Path) -> Sequence[str]:
        with zipfile.ZipFile(folder / "d.npz", "w") as archive:
            for number in range(120_000):
                archive.writestr(f"{number}", b"")
        return audit("zoo:cnn1", "d.npz")

    yield Case("bombs", "npz of 120,000 members", members)


@kind
def places() -> Iterator[Case]:
    deep = frozenset({0, 2})

    def far_down(folder: Path) -> Sequence[str]:
        (folder / "d").mkdir()
        here = Path.cwd()
        os.chdir(folder / "d")
        for _ in range(1200):
            os.mkdir("d")  # noqa: PTH102 -- a path of this length has no name
            os.chdir("d")
        os.chdir(here)
        return audit("zoo:cnn1", "d")

    yield Case("places", "1,200 folders deep", far_down)
    yield Case("places", "/proc", lambda folder: audit("zoo:cnn1", "/proc/self"))
    yield Case("places", "/dev", lambda folder: audit("zoo:cnn1", "/dev"))
    for name, target in {"k.csv": "/proc/kmsg", "k.onnx": "/proc/self/environ"}.items():

        def link(folder: Path, name: str = name, target: str = target) -> Sequence[str]:
            (folder / name).symlink_to(target)
            return audit("zoo:cnn1", name) if name.endswith("csv") else audit(name, few_images(folder))

        yield Case("places", f"{target} as {name}", link)

    def gone(folder: Path) -> Sequence[str]:
        data = folder / few_images(folder)
        (folder / "gone").mkdir()
        os.chdir(folder / "gone")
        (folder / "gone").rmdir()
        return audit("zoo:cnn1", str(data))

    yield Case("places", "the current folder was deleted", gone, deep)
    yield Case("places", "a null character", lambda folder: audit("zoo:cnn1", "a\0b"))
    yield Case("places", "a null character in a model", lambda folder: audit("a\0b.onnx", few_images(folder)))
    yield Case("places", "300 characters", lambda folder: audit("zoo:cnn1", "a" * 300))
    yield Case(
        "places", "300 characters of a model", lambda folder: audit("a" * 300 + ".onnx", few_images(folder))
    )
