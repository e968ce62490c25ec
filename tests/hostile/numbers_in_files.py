"""Numbers, nesting and damage in files: settings, records, headers, tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from tests.hostile.cases import SMALL, Case, audit, few_images, kind
from tests.hostile.places import declared, npy_header

from shiftproof.cli import main

HUGE = "9" * 5000
DEEP = "[" * 3000 + "]" * 3000


def with_file(name: str, text: str | bytes, *arguments: str) -> Callable[[Path], Sequence[str]]:
    def make(folder: Path) -> Sequence[str]:
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (folder / name).write_bytes(content)
        data = few_images(folder)
        return [data if word == "DATA" else word for word in arguments]

    return make


# Of a table [protocols.a]: none of them is one.
PROTOCOLS = {
    "law a list": "law = [1]",
    "law a table": "law = {a = 1}",
    "law a number": "law = 1",
    "law absent": "radius_px = 1",
    "law unknown": 'law = "gird"\nradius_px = 1',
    "law in other letters": 'law = "GRID"\nradius_px = 1',
    "5,000 digits": f'law = "grid"\nradius_px = {HUGE}',
    "65 bits": f'law = "grid"\nradius_px = {2**64}',
    "63 bits": f'law = "grid"\nradius_px = {2**62}',
    "negative": 'law = "grid"\nradius_px = -1',
    "a billion": 'law = "ring"\nradius_px = 1000000000',
    "ten thousand": 'law = "grid"\nradius_px = 10000',
    "a long diagonal": 'law = "diagonal"\nradius_px = 999999999',
    "not finite": 'law = "uniform-box"\ndy = nan\ndx = 1',
    "infinite": 'law = "uniform-box"\ndy = inf\ndx = 1',
    "1e308": 'law = "uniform-box"\ndy = 1e308\ndx = 1',
    "draws 10^9": 'law = "uniform-box"\ndy = 1\ndx = 1\nn_draws = 1000000000',
    "draws 10^18": 'law = "integer-box"\ndy = 1\ndx = 1\nn_draws = 1000000000000000000',
    "no draws": 'law = "integer-box"\ndy = 1\ndx = 1\nn_draws = 0',
    "half a draw": 'law = "integer-box"\ndy = 1\ndx = 1\nn_draws = 0.5',
    "unit unknown": 'law = "uniform-box"\ndy = 1\ndx = 1\nunit = "mile"',
    "share 1": 'law = "relative-grid"\nshare = 1.0\nn_steps = 3',
    "steps even": 'law = "relative-grid"\nshare = 0.1\nn_steps = 4',
    "steps 10^6 + 1": 'law = "relative-grid"\nshare = 0.1\nn_steps = 1000001',
    "no offsets": 'law = "offsets"\noffsets_px = []',
    "offsets of one": 'law = "offsets"\noffsets_px = [[1]]',
    "offsets of words": 'law = "offsets"\noffsets_px = [["a", "b"]]',
    "offsets nested": f'law = "offsets"\noffsets_px = {DEEP}',
    "border a list": 'law = "grid"\nradius_px = 1\nborder = []',
    "border a number": 'law = "grid"\nradius_px = 1\nborder = 1',
    "border unknown": 'law = "grid"\nradius_px = 1\nborder = "wrap"',
    "interpolation a table": 'law = "grid"\nradius_px = 1\ninterpolation = {}',
    "fourier of zeros": 'law = "grid"\nradius_px = 1\ninterpolation = "fourier"',
    "a field too many": 'law = "grid"\nradius_px = 1\nspeed = 1',
    "radius a date": 'law = "grid"\nradius_px = 2020-01-01',
    "radius true": 'law = "grid"\nradius_px = "one"',
    "step 0": 'law = "grid"\nradius_px = 1\nstep_px = 0',
}
TOML: dict[str, str | bytes] = {
    "a key twice": "a = 1\na = 2",
    "nested 3,000": f"a = {DEEP}",
    "keys nested 3,000": ".".join(["a"] * 3000) + " = 1",
    "5,000 digits": f"a = {HUGE}",
    "no UTF-8": b"a = '\xff'",
    "UTF-16": 'a = "b"'.encode("utf-16"),
    "a null": b"a = '\0'",
    "2 MB": "# " + "a" * 2**21,
    "protocols a number": "protocols = 1",
    "protocols a list": "protocols = [1]",
    "protocol a number": "protocols.a = 1",
    "protocol a list": "protocols.a = [1, 2]",
    "tool a number": "tool = 1",
    "tool.shiftproof a list": "tool.shiftproof = []",
    "protocols empty": "[protocols]",
}


@kind
def protocols_in_toml() -> Iterator[Case]:
    command = ("audit", "zoo:cnn1", "DATA", "--quiet", "--protocol", "p.toml:a")
    for what, text in PROTOCOLS.items():
        yield Case("numbers in TOML", what, with_file("p.toml", f"[protocols.a]\n{text}\n", *command))
    for what, content in TOML.items():
        yield Case("numbers in TOML", f"file: {what}", with_file("p.toml", content, *command))


OPTIONS = {
    "seed": [HUGE, "1.5", "[]", '"a"', "2020-01-01", "{}"],
    "limit": ["0", "-1", str(2**62), "[1]", "true_"],
    "threads": ["0", "-1", "100000", '"many"'],
    "protocol": ["1", "[1, []]", '["gird:1"]', "{a = 1}"],
    "confidence": ["0", "1", "nan", "inf", '"high"', "[]"],
    "precision": ["-1", "0.7", "nan"],
    "max-bad": ["2", "-0.1", "inf"],
    "gate": ['"agreement>=0"', "[1]", '["agreement>=98"]', '["drift<=1e999"]', "[[]]"],
    "margin": ["[]", '"wide"'],
    "device": ["1", '"tpu"', "[]"],
    "fresh": ['"perhaps"', "[]", "2"],
    "out": ["[]", "{}", "true"],
    "size": ['"big"', '"0"', '"32x"', '"-1"', "[]"],
    "channels": ["0", "-3", str(10**9), '"three"'],
    "mean": ['"a"', '""', '"nan"', "[0.5]"],
    "class-names": ["1e3", "[]"],
    "models": ["1"],
}
PYPROJECTS: dict[str, str | bytes] = {
    "tool a number": "tool = 1",
    "tool a list": "tool = []",
    "tool.shiftproof a list": "tool.shiftproof = []",
    "tool.shiftproof a word": 'tool.shiftproof = "audit"',
    "nested 3,000": f"a = {DEEP}",
    "no TOML": "[tool",
    "no UTF-8": b"\xff\xfe",
    "2 MB": "# " + "a" * 2**21,
}


@kind
def options_in_pyproject() -> Iterator[Case]:
    command = ("audit", "zoo:cnn1", "DATA", "--quiet")
    for name, values in OPTIONS.items():
        for value in values:
            what = f"{name}: {value[:20]}"
            text = f"[tool.shiftproof]\n{name} = {value}\n"
            yield Case("pyproject.toml", what, with_file("pyproject.toml", text, *command))
    for what, content in PYPROJECTS.items():
        yield Case("pyproject.toml", what, with_file("pyproject.toml", content, *command))


@kind
def trust_in_pyproject() -> Iterator[Case]:
    """Code that would leave a file behind; nothing may run it."""
    code = "import pathlib\npathlib.Path('ran').touch()\nmodel = None\n"

    def ran(folder: Path, printed: str) -> None:
        assert not (folder / "ran").exists(), "code ran without trust"
        assert "--trust" in printed

    for value in ("true", '"yes"', "1", "false", "[]"):
        for key in ("trust", '"trust"', "Trust"):

            def make(folder: Path, value: str = value, key: str = key) -> Sequence[str]:
                (folder / "pyproject.toml").write_text(f"[tool.shiftproof]\n{key} = {value}\n")
                (folder / "hostile.py").write_text(code)
                return audit("hostile.py:model", few_images(folder))

            check = ran if key != "Trust" else None
            yield Case("trust from a file", f"{key} = {value}", make, check=check)

    def parent(folder: Path) -> Sequence[str]:
        (folder / "pyproject.toml").write_text("[tool.shiftproof]\ntrust = true\n")
        (folder / "here" / "below").mkdir(parents=True)
        import os

        os.chdir(folder / "here" / "below")
        torch.save([1], Path("m.pt"))
        return audit("m.pt", few_images(Path()))

    yield Case("trust from a file", "in a parent folder", parent)

    def untrusted(folder: Path) -> Sequence[str]:
        (folder / "hostile.py").write_text(code)
        return audit("hostile.py:model", few_images(folder))

    yield Case("trust from a file", "none at all", untrusted, check=ran)


def header_of(network: Mapping[str, Any] | Any, **more: Any) -> Callable[[Path], Sequence[str]]:
    """A checkpoint with another header than the one that was written."""

    def make(folder: Path) -> Sequence[str]:
        header = {"schema_version": 2, "network": network, "about": {}, "history": [], **more}
        text = json.dumps(header) if not isinstance(network, str) else network
        content = save({"network/body.dense.weight": np.zeros((10, 784), np.float32)}, {"shiftproof": text})
        (folder / "m.safetensors").write_bytes(content)
        return audit("m.safetensors", few_images(folder))

    return make


@kind
def headers_of_checkpoints() -> Iterator[Case]:
    good: dict[str, Any] = {"name": "cnn1", "input_scale": 1.0, "image_shape": [1, 28, 28], "n_classes": 10}
    changes: dict[str, Any] = {
        "side 10^6": {"image_shape": [1, 10**6, 10**6]},
        "side 60,000": {"image_shape": [1, 60_000, 60_000]},
        "side 0": {"image_shape": [1, 0, 28]},
        "side -1": {"image_shape": [1, -28, 28]},
        "two sides": {"image_shape": [28, 28]},
        "four sides": {"image_shape": [1, 1, 28, 28]},
        "sides nested": {"image_shape": [[1], 28, 28]},
        "sides a word": {"image_shape": "abc"},
        "channels 60,000": {"image_shape": [60_000, 28, 28]},
        "10^13 classes": {"n_classes": 10**13},
        "10^6 classes": {"n_classes": 10**6},
        "-1 classes": {"n_classes": -1},
        "0 classes": {"n_classes": 0},
        "half a class": {"n_classes": 0.5},
        "classes a list": {"n_classes": [10]},
        "scale 0": {"input_scale": 0},
        "scale -1": {"input_scale": -1},
        "scale 1e300": {"input_scale": 1e300},
        "scale a word": {"input_scale": "raw"},
        "no name": {"name": None},
        "name a list": {"name": ["cnn1"]},
        "name unknown": {"name": "cnn9"},
        "name long": {"name": "a" * 10_000},
        "a key more": {"seed": 1},
        "for dense-nn": {"name": "dense-nn"},
        "for resnet20": {"name": "resnet20"},
        "for capsnet": {"name": "capsnet"},
    }
    for what, change in changes.items():
        yield Case("headers of checkpoints", what, header_of(good | change))
    for what, text in {
        "no JSON": "{",
        "a list": "[]",
        "a number": "1",
        "null": "null",
        "nested 3,000": DEEP,
        "5,000 digits": f'{{"schema_version": {HUGE}, "network": 1}}',
        "NaN": '{"schema_version": NaN, "network": 1}',
        "network a number": '{"schema_version": 2, "network": 1, "about": {}, "history": []}',
        "version a list": '{"schema_version": [2], "network": {}}',
        "an old version": '{"schema_version": 1, "network": {}}',
        "no history": '{"schema_version": 2, "network": {}, "about": {}}',
    }.items():
        yield Case("headers of checkpoints", what, header_of(text))
    damaged: dict[str, dict[str, Any]] = {
        "history of words": {"history": ["a"]},
        "history a table": {"history": {}},
        "epoch -1": {"history": [{"epoch": -1, "loss": 0, "accuracy": 0}]},
        "about a list": {"about": []},
        "digest of others": {"weights_digest": "0" * 64},
    }
    for what, more in damaged.items():
        yield Case("headers of checkpoints", what, header_of(good, **more))


@kind
def headers_of_arrays() -> Iterator[Case]:
    shapes = [
        "(True, True, True)",
        "(0, 28, 28)",
        "(4, 0, 0)",
        "(-1, 28, 28)",
        "(4, 28)",
        "()",
        "(4,)",
        "(4, 28, 28, 2)",
        "(4, 3, 28, 3)",
        "(1" + "0" * 30 + ", 28, 28)",
        "(4, 28, 28.0)",
        "'a'",
        "[4, 28, 28]",
        "None",
        "(4, 28, 28,) * 9",
    ]
    types = ["|O", "<f8", "<c16", "|b1", "<U9", "|V8", "<M8[s]", "<i8", "<f2", ">u2", "x", "<f16"]
    for shape in shapes:
        for_shape = npy_header(shape) + bytes(4 * 28 * 28)
        yield Case("headers of arrays", f"shape {shape[:24]}", in_npz(for_shape))
    for name in types:
        content = npy_header("(4, 28, 28)", name) + b"\xff" * (8 * 4 * 28 * 28)
        yield Case("headers of arrays", f"type {name}", in_npz(content))
    pickled = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117)
        + b"\n"
    )
    yield Case("headers of arrays", "a pickle", in_npz(pickled + b"cos\nsystem\n(S'touch ran'\ntR."))
    for what, content in {
        "empty": b"",
        "no magic": b"abc",
        "cut": npy_header("(4, 28, 28)")[:20],
        "version 9": b"\x93NUMPY\x09\x00",
    }.items():
        yield Case("headers of arrays", what, in_npz(content))


def in_npz(content: bytes) -> Callable[[Path], Sequence[str]]:
    def make(folder: Path) -> Sequence[str]:
        declared(folder / "d.npz", {"images.npy": (len(content), content)})
        return audit("zoo:cnn1", "d.npz")

    return make


@kind
def headers_of_idx() -> Iterator[Case]:
    sizes = {
        "0 × 0": (4, 0, 0),
        "no images": (0, 28, 28),
        "10^27": (10**9, 10**9, 10**9),
        "too many": (400, 28, 28),
        "too few": (1, 28, 28),
    }
    for what, shape in sizes.items():

        def make(folder: Path, shape: tuple[int, ...] = shape) -> Sequence[str]:
            (folder / "i").mkdir()
            header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in shape)
            (folder / "i" / "t10k-images-idx3-ubyte").write_bytes(header + bytes(4 * 28 * 28))
            labels = b"\0\0\x08\x01" + min(4, shape[0]).to_bytes(4, "big") + bytes(min(4, shape[0]))
            (folder / "i" / "t10k-labels-idx1-ubyte").write_bytes(labels)
            return ["audit", "zoo:cnn1", "idx:i", "--quiet"]

        yield Case("headers of IDX", what, make)


@kind
def cells_of_tables() -> Iterator[Case]:
    rows = {
        "label -2": "path,label\na.png,-2",
        "label 10^6": "path,label\na.png,1000000",
        "label of 5,000 digits": f"path,label\na.png,{HUGE}\nb.png,x",
        "a cell too many": "path,label\na.png,1,2",
        "a cell too few": "path,label\na.png",
        "path twice": "path,path\na.png,b.png",
        "no path": "file,label\na.png,1",
        "only a header": "path,label",
        "out of the folder": "path\n../a.png",
        "absolute": "path\n/etc/passwd",
        "a quote without an end": 'path\n"a.png',
        "a cell of 200,000": "path\n" + "a" * 200_000,
        "a null": "path\na\0b.png",
    }
    for what, text in rows.items():
        yield Case("cells of tables", what, with_file("d.csv", text, "audit", "zoo:cnn1", "d.csv", "--quiet"))


def earlier_audit(folder: Path) -> Path:
    assert main(["audit", "zoo:cnn1", few_images(folder), *SMALL, "--out", str(folder / "b")]) == 0
    return folder / "b"


@kind
def records() -> Iterator[Case]:
    """A baseline whose record says something else than was measured."""
    changes: dict[str, Callable[[dict[str, Any]], Any]] = {
        "a list": lambda record: [record],
        "a number": lambda record: 1,
        "null": lambda record: None,
        "empty": lambda record: {},
        "another kind": lambda record: record | {"kind": "study"},
        "protocols a number": lambda record: record | {"protocols": 1},
        "no protocols": lambda record: record | {"protocols": []},
        "protocols of numbers": lambda record: record | {"protocols": [1]},
        "files a word": lambda record: record | {"protocols": [record["protocols"][0] | {"files": "a"}]},
        "no files": lambda record: record | {"protocols": [record["protocols"][0] | {"files": []}]},
        "files elsewhere": lambda record: (
            record | {"protocols": [record["protocols"][0] | {"files": ["../../etc/passwd"]}]}
        ),
        "files of numbers": lambda record: record | {"protocols": [record["protocols"][0] | {"files": [1]}]},
        "a file twice": lambda record: (
            record | {"protocols": [record["protocols"][0] | {"files": record["protocols"][0]["files"] * 2}]}
        ),
        "name a list": lambda record: record | {"protocols": [record["protocols"][0] | {"name": []}]},
        "model a word": lambda record: record | {"model": "cnn1"},
        "model without a name": lambda record: record | {"model": {}},
        "data a list": lambda record: record | {"data": []},
        "config null": lambda record: record | {"config": None},
        "confidence 2": lambda record: record | {"protocols": [record["protocols"][0] | {"confidence": 2}]},
        "confidence a word": lambda record: (
            record | {"protocols": [record["protocols"][0] | {"confidence": "high"}]}
        ),
        "gates a number": lambda record: record | {"gates": 1},
        "outcome unknown": lambda record: record | {"outcome": "maybe"},
        "verdict null": lambda record: record | {"verdict": None},
    }
    for what, change in changes.items():

        def make(folder: Path, change: Callable[[dict[str, Any]], Any] = change) -> Sequence[str]:
            path = earlier_audit(folder) / "report.json"
            path.write_text(json.dumps(change(json.loads(path.read_text()))))
            return ["compare", "b", "b"]

        yield Case("records", what, make)
    for what, text in {
        "NaN": "NaN",
        "nested": DEEP,
        "digits": HUGE,
        "no JSON": "{",
        "no UTF-8": "\udcff",
        "1e999": "[1e999]",
    }.items():

        def other(folder: Path, text: str = text) -> Sequence[str]:
            (folder / "b").mkdir()
            (folder / "b" / "report.json").write_bytes(text.encode("utf-8", "surrogateescape"))
            return ["compare", "b", "b"]

        yield Case("records", what, other)


@kind
def onnx_files() -> Iterator[Case]:
    """Bytes that are nearly an ONNX file; the whole one is of eight nodes."""
    for place in (*range(0, 90, 3), *range(-90, 0, 3)):  # between them are the weights

        def make(folder: Path, place: int = place) -> Sequence[str]:
            content = bytearray(onnx_model())
            content[place % len(content)] ^= 0x55
            (folder / "m.onnx").write_bytes(bytes(content))
            return audit("m.onnx", few_images(folder), "--channels-first")

        yield Case("ONNX files", f"byte {place} changed", make, frozenset({0, 2}))
    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):

        def cut(folder: Path, share: float = share) -> Sequence[str]:
            content = onnx_model()
            (folder / "m.onnx").write_bytes(content[: int(share * len(content))])
            return audit("m.onnx", few_images(folder))

        yield Case("ONNX files", f"{share:.0%} of it", cut)
    for what, location in {
        "absolute": "/etc/passwd",
        "outside": "../w.bin",
        "a device": "zero",
        "a pipe": "pipe",
        "a null": "a\0b",
        "empty": "",
        "a folder": ".",
        "300 characters": "a" * 300,
    }.items():

        def external(folder: Path, location: str = location) -> Sequence[str]:
            import os

            (folder / "zero").symlink_to("/dev/zero")
            os.mkfifo(folder / "pipe")
            (folder / "m.onnx").write_bytes(onnx_model(location))
            return audit("m.onnx", few_images(folder), "--channels-first")

        yield Case("ONNX files", f"weights in: {what}", external)
    for what, sizes in {
        "negative": (-1, 1, -28, 28),
        "zero": (1, 0, 28, 28),
        "huge": (1, 1, 2**40, 2**40),
    }.items():

        def sized(folder: Path, sizes: tuple[int, ...] = sizes) -> Sequence[str]:
            (folder / "m.onnx").write_bytes(onnx_model(sizes=sizes))
            return audit("m.onnx", few_images(folder), "--channels-first")

        yield Case("ONNX files", f"sizes: {what}", sized)


def onnx_model(location: str | None = None, sizes: tuple[int, ...] = (4, 1, 28, 28)) -> bytes:
    """Flatten and multiply: written field by field, without a library."""

    def field(number: int, content: bytes | str | int) -> bytes:
        if isinstance(content, int):
            return varint(number << 3) + varint(content % 2**64)
        content = content.encode() if isinstance(content, str) else content
        return varint(number << 3 | 2) + varint(len(content)) + content

    def varint(value: int) -> bytes:
        groups = []
        while True:
            groups.append(value & 127 | (128 if value > 127 else 0))
            value >>= 7
            if not value:
                return bytes(groups)

    def tensor_type(name: str, shape: Sequence[int]) -> bytes:
        dims = b"".join(field(1, field(1, size)) for size in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

    weights = field(1, 784) + field(1, 10) + field(2, 1) + field(8, "w")
    if location is None:
        weights += field(9, np.random.default_rng(0).normal(size=(784, 10)).astype("<f4").tobytes())
    else:
        weights += field(13, field(1, "location") + field(2, location)) + field(14, 1)
    graph = (
        field(1, field(1, "x") + field(2, "f") + field(4, "Flatten"))
        + field(1, field(1, "f") + field(1, "w") + field(2, "y") + field(4, "MatMul"))
        + field(2, "g")
        + field(5, weights)
        + field(11, tensor_type("x", sizes))
        + field(12, tensor_type("y", (sizes[0], 10)))
    )
    return field(1, 8) + field(8, field(2, 13)) + field(7, graph)
