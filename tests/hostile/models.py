"""Models that misbehave: what they raise, return, close, print and do to themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.hostile.cases import Case, audit, few_images, kind, of_model

from shiftproof.cli import main

NET = """class Net(nn.Module):
    def __init__(self):
        super().__init__()
        {start}
{more}
    def forward(self, x):
        {forward}
"""


def function(body: str) -> str:
    return "def model(x):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def module(start: str = "pass", forward: str = "return honest(x)", more: str = "") -> str:
    return NET.format(
        start=start, forward=forward, more="".join(f"    {line}\n" for line in more.splitlines())
    )


RAISING = {
    "exit 0": "sys.exit(0)",
    "exit 5": "sys.exit(5)",
    "exit with a word": "sys.exit('bye')",
    "exit with nothing": "sys.exit()",
    "exit of the site": "exit()",
    "no Exception": "raise BaseException('x')",
    "a class of its own": "raise type('Odd', (BaseException,), {})('x')",
    "GeneratorExit": "raise GeneratorExit",
    "StopIteration": "raise StopIteration",
    "StopAsyncIteration": "raise StopAsyncIteration",
    "MemoryError": "raise MemoryError('x')",
    "RecursionError": "raise RecursionError",
    "a recursion": "return model(x)",
    "a group": "raise BaseExceptionGroup('g', [SystemExit(0), ValueError('x')])",
    "an error without text": "raise ValueError",
    "an unprintable error": "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E",
    "text of another type": "raise type('E', (Exception,), {'__str__': lambda s: 7})()",
    "an error that exits when shown": "raise type('E', (Exception,), {'__str__': lambda s: sys.exit(0)})()",
    "arguments that exit": "class A:\n    def __repr__(self): sys.exit(0)\nraise ValueError(A())",
    "a broken pipe": "raise BrokenPipeError",
    "exit after a broken pipe": "try:\n    raise BrokenPipeError\nexcept BrokenPipeError:\n    sys.exit(0)",
    "an assertion": "assert False, 'x'",
    "a keyboard error caught": "try:\n    raise ValueError\nexcept ValueError:\n    sys.exit(0)",
    "a warning": "raise Warning('x')",
    "out of its own index": "return x[99]",
    "another shape": "return honest(x.reshape(7, -1))",
    "a file that is absent": "return open('nowhere')",
    "an import": "import nowhere",
    "division": "return 1 / 0",
    "UnicodeError": "b'\\xff'.decode()",
}
ANSWERS = {
    "None": "None",
    "a word": "'cat'",
    "a number": "1.5",
    "bytes": "b'abc'",
    "a list of words": "['a', 'b']",
    "an empty list": "[]",
    "an empty table": "{}",
    "two parts": "(honest(x), honest(x))",
    "a generator": "(row for row in honest(x))",
    "a generator that raises": "(1 / 0 for row in x)",
    "a set": "{1}",
    "a class": "nn.Module",
    "itself": "model",
    "a module": "nn.Linear(2, 2)",
    "a scalar": "honest(x).sum()",
    "a row": "honest(x)[0]",
    "three axes": "honest(x)[:, :, None].expand(-1, -1, 2)",
    "one row more": "torch.cat([honest(x), honest(x)[:1]])",
    "one row less": "honest(x)[1:]",
    "no class": "honest(x)[:, :0]",
    "complex": "honest(x) + 1j",
    "sparse": "honest(x).to_sparse()",
    "compressed": "honest(x).to_sparse_csr()",
    "meta": "honest(x).to('meta')",
    "quantized": "torch.quantize_per_tensor(honest(x), 1.0, 0, torch.quint8)",
    "NaN": "honest(x) * float('nan')",
    "infinity": "honest(x) + float('inf')",
    "minus infinity": "honest(x).masked_fill(torch.arange(6) == 2, -float('inf'))",
    "1e300": "honest(x).double() + 1e300",
    "NaN for one image": "honest(x).index_fill(0, torch.tensor([0]), float('nan'))",
    "an object array": "__import__('numpy').array([[object()]])",
    "words in an array": "__import__('numpy').array([['a']] * len(x))",
    "a shape that lies": "type('T', (), {'shape': (4, 6), '__array__': lambda s, *a, **k: 1 / 0})()",
    "nested tensors": "torch.nested.nested_tensor(list(honest(x)))",
}
# What can be answered, for which the numbers must be there.
FINE_ANSWERS = {
    "NumPy": "honest(x).numpy()",
    "half": "honest(x).half()",
    "integers": "(honest(x) * 100).int()",
    "booleans": "honest(x) > 0.5",
    "one that needs a gradient": "honest(x).clone().requires_grad_()",
    "a view of the input": "x.flatten(1)[:, :6]",
    "a parameter": "nn.Parameter(honest(x))",
    "not contiguous": "honest(x).t().contiguous().t()",
    "a map of one place": "honest(x)[:, :, None, None]",
    "expanded": "honest(x)[:, :1].expand(-1, 6)",
    "negative bits": "torch.view_as_complex(torch.stack([honest(x), honest(x)], -1)).conj().imag",
}
BUILDING = {
    "__init__ raises": module(start="raise ValueError('x')"),
    "__init__ exits": module(start="sys.exit(0)"),
    "__init__ exits with 5": module(start="sys.exit(5)"),
    "__init__ of another kind": module(start="raise GeneratorExit"),
    "__repr__ raises": module(more="def __repr__(self):\n    raise ValueError('x')"),
    "__repr__ exits": module(more="def __repr__(self):\n    sys.exit(0)"),
    "extra_repr raises": module(more="def extra_repr(self):\n    raise ValueError('x')"),
    "state_dict raises": module(more="def state_dict(self, *a, **k):\n    raise ValueError('x')"),
    "state_dict exits": module(more="def state_dict(self, *a, **k):\n    sys.exit(0)"),
    "state_dict is a list": module(more="def state_dict(self, *a, **k):\n    return []"),
    "modules raises": module(more="def modules(self):\n    raise SystemExit(0)"),
    "named_buffers raises": module(more="def named_buffers(self, *a, **k):\n    raise SystemExit(0)"),
    "to exits": module(more="def to(self, *a, **k):\n    sys.exit(0)"),
    "meta parameters": module(start="self.layer = nn.Linear(2, 2, device='meta')"),
    "lazy parameters": module(start="self.layer = nn.LazyLinear(2)"),
    "lazy buffers": module(start="self.layer = nn.LazyBatchNorm2d()"),
    "an import that exits": "sys.exit(0)\nmodel = honest\n",
    "an import that exits with 7": "sys.exit(7)\nmodel = honest\n",
    "no syntax": "def model(x:\n",
    "nulls": "model = 1\0\n",
    "a name of something else": "model = 7\n",
    "no such name": "other = honest\n",
    "a class that cannot be built": "class model(nn.Module):\n    def __new__(cls):\n        sys.exit(0)\n",
    "an attribute that exits": "class A:\n    def __getattr__(self, n):\n        sys.exit(0)\nmodel = A()\n",
    "a factory of nothing": "def model():\n    return None\n",
    "a factory that exits": "def model():\n    sys.exit(0)\n",
    "parameters that nobody gives": "def model(a, b):\n    return honest(a)\n",
}
QUIET_ONES = {
    "deepcopy exits": module(more="def __deepcopy__(self, memo):\n    sys.exit(0)"),
    "sparse buffers": module(start="self.register_buffer('s', torch.eye(3).to_sparse())"),
    "no gradient to be had": module(start="torch.set_grad_enabled(True)"),
    "weights of no size": module(start="self.w = nn.Parameter(torch.zeros(0, 3))"),
    "a training flag": module(start="self.train()"),
    "takes stdout away": function("sys.stdout = None\nreturn honest(x)"),
    "takes stderr away": function("sys.stderr = None\nreturn honest(x)"),
    "closes stdout": function("sys.stdout.close()\nreturn honest(x)"),
    "closes stderr": function("sys.stderr.close()\nreturn honest(x)"),
    "prints": function("print('printed \\x1b[2J')\nprint('::error::x')\nreturn honest(x)"),
    "prints to stderr": function("print('::error::x \\x1b[2J', file=sys.stderr)\nreturn honest(x)"),
    "warns": function("warnings.warn('::error::x \\x1b[2J')\nreturn honest(x)"),
    "changes the folder": function(
        "os.makedirs('elsewhere', exist_ok=True)\nos.chdir('elsewhere')\nreturn honest(x)"
    ),
    "a default type": function("torch.set_default_dtype(torch.float64)\nreturn honest(x)"),
    "a seed": function("torch.manual_seed(0)\nreturn honest(x)"),
    "leaves the context": function(
        "with torch.enable_grad():\n    return honest(x.clone().requires_grad_())"
    ),
}


@kind
def raising() -> Iterator[Case]:
    for what, body in RAISING.items():
        yield Case("models that raise", what, of_model(function(body), "--gate", "agreement>=0.99"))
        second = f"if len(x) < 4:\n    return honest(x)\n{body}"
        # A lack of memory is cured by a smaller batch.
        codes = frozenset({0 if what == "MemoryError" else 2})
        yield Case(
            "models that raise", f"later: {what}", of_model(function(second), "--batch-size", "4"), codes
        )


@kind
def answering() -> Iterator[Case]:
    for what, value in ANSWERS.items():
        yield Case("answers that are none", what, of_model(function(f"return {value}")))
    for what, value in FINE_ANSWERS.items():
        code = function(f"return {value}")
        yield Case(
            "answers of another kind", what, of_model(code, "--out", "r"), frozenset({0}), check=is_a_record
        )
    growing = "global n\nn += 1\nreturn honest(x)[:, : 1 + n % 5]"
    yield Case(
        "answers that are none",
        "another number of classes each time",
        of_model("n = 0\n" + function(growing)),
    )
    yield Case(
        "answers that are none",
        "--logits of one tensor",
        of_model(function("return honest(x)"), "--logits", "5"),
    )
    yield Case(
        "answers that are none",
        "--logits that is absent",
        of_model(function("return [honest(x)]"), "--logits", "5"),
    )
    yield Case(
        "answers that are none",
        "--logits of 5,000 digits",
        of_model(function("return [honest(x)]"), "--logits", "9" * 5000),
    )


def is_a_record(folder: Path, printed: str) -> None:
    record = json.loads((folder / "r" / "report.json").read_text(), parse_constant=lambda name: 1 / 0)
    assert record["protocols"][0]["n_images"] == 4


@kind
def building() -> Iterator[Case]:
    for what, code in BUILDING.items():
        name = "Net" if code.startswith("class Net") else "model"
        yield Case("models that cannot be built", what, of_model(code, name=name))


@kind
def misbehaving() -> Iterator[Case]:
    for what, code in QUIET_ONES.items():
        name = "Net" if code.startswith("class Net") else "model"
        yield Case("models that do more than answer", what, of_model(code, name=name), frozenset({0, 2}))


TWINS = {
    "in place": "x.sub_(0.4).div_(0.3)\nreturn honest(x)",
    "overwritten after": "y = honest((x - 0.4) / 0.3)\nx.zero_()\nreturn y",
    "by NumPy": "y = honest((x - 0.4) / 0.3)\nx.numpy()[...] = 7\nreturn y",
    "one buffer": "global kept\ny = honest((x - 0.4) / 0.3)\n"
    "if kept is None or kept.shape != y.shape:\n    kept = torch.empty_like(y)\nreturn kept.copy_(y)",
    "a view that is overwritten": "y = honest((x - 0.4) / 0.3)\n"
    "x.flatten(1)[:, :6] = y\nreturn x.flatten(1)[:, :6]",
}


def agreement(folder: Path, code: str, out: str, *more: str) -> dict[str, float]:
    arguments = of_model(code, "--out", out, *more)(folder)
    assert main(list(arguments)) == 0
    record = json.loads((folder / out / "report.json").read_text())
    return {
        f"{part['name']} {name}": found["value"]
        for part in record["protocols"]
        for name, found in part["estimates"].items()
        if "value" in found
    }


@kind
def twins() -> Iterator[Case]:
    """The same model, once as it should be and once with memory that is not its own."""
    for what, body in TWINS.items():
        for protocol in ("grid:2", "box:3,3,4", "circular:5"):

            def make(folder: Path, body: str = body, protocol: str = protocol) -> Sequence[str]:
                more = ("--protocol", protocol)
                honest = agreement(folder, function("return honest((x - 0.4) / 0.3)"), "honest", *more)
                twin = agreement(folder, "kept = None\n" + function(body), "twin", *more)
                assert twin == honest
                return ["compare", "honest", "twin"]

            yield Case("models that write into their input", f"{what}, {protocol}", make, frozenset({0}))


@kind
def options() -> Iterator[Case]:
    values: dict[str, list[str]] = {
        "--channels": ["0", "-1", "1000000000"],
        "--resize": ["0", "-5", "1000000"],
        "--size": ["0", "32x", "x32", "32x0", "-3", "9" * 5000, "1000000", "32x32x3", "NaN", ""],
        "--mean": ["", "a", "nan", "inf", "1,2,3,4", "1,,2"],
        "--std": ["0", "-1", "nan", "0,1,0"],
        "--scale": ["0", "-1", "nan", "inf", "1e999"],
        "--threads": ["0", "-1", "100000", "9" * 30],
        "--batch-size": ["0", "-1", "9" * 30],
        "--limit": ["0", "-1", "9" * 30],
        "--precision": ["0", "1", "nan", "-0.1"],
        "--confidence": ["0", "1", "nan", "2"],
        "--max-bad": ["-1", "2", "nan"],
        "--device": ["tpu", "cuda:99", "cpu:x", "", "meta"],
        "--method": ["", "DENSE", "fast"],
        "--border": ["", "wrap", "ZEROS"],
        "--protocol": [
            "zhang-crop:0",
            "circular:0",
            "grid:-1",
            "grid:" + "9" * 5000,
            "grid:99999",
            "grid:28",
            "ring:0",
            "box:1",
            "box:1,1,1,1",
            "box:1,1,0",
            "box:1,1,9999999",
            "grid",
            "grid:1.5",
            "p.toml:a",
            "",
            "sensitivity-map:-1",
            "diagonal:999999999",
        ],
        "--gate": [
            "",
            "agreement",
            "agreement>=",
            "agreement>=nan",
            "agreement>=98",
            "drift<=1e999",
            "agreement@0>=0.5",
            "agreement@1e999>=0",
            "agreement@-1>=0",
            "nothing>=0",
            "grid:7/agreement>=0",
            "agreement=>0.9",
            "agreement>=0.9;x",
            "a" * 9999 + ">=0",
        ],
        "--inconclusive": ["", "maybe"],
        "--baseline": ["", "nowhere", "few.npz"],
        "--weights": ["nowhere.safetensors", "few.npz", "", "."],
        "--class-names": ["nowhere.txt", ".", ""],
        "--model-arg": [
            "x",
            "=1",
            "seed",
            "nothing=1",
            "n_classes=[",
            "seed=" + "9" * 5000,
            "seed=" + "[" * 3000,
            "image_shape=[1, 0, 0]",
        ],
        "--margin": ["nan"],
    }
    for option, words in values.items():
        for word in words:
            name = f"{option} {word[:24]!r}"
            if option == "--margin":
                yield Case("options", name, after_another(option, word))
            else:
                yield Case("options", name, with_option(option, word))


def with_option(option: str, word: str) -> Callable[[Path], Sequence[str]]:
    def make(folder: Path) -> Sequence[str]:
        name = "cnn2-blur" if option in ("--weights", "--model-arg") else "cnn1"
        return ["audit", f"zoo:{name}", few_images(folder), "--quiet", option, word]

    return make


def after_another(option: str, word: str) -> Callable[[Path], Sequence[str]]:
    def make(folder: Path) -> Sequence[str]:
        arguments = audit("zoo:cnn1", few_images(folder))
        assert main([*arguments, "--out", "b"]) == 0
        return [*arguments, "--out", "r", "--baseline", "b", option, word]

    return make
