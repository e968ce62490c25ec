"""Reading images from a disk, and keeping units: what the model of cost of docs/scale.md is made of.

python -m benchmarks.storing [PART …], by default each of PARTS
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from benchmarks.photographs import photographs
from benchmarks.probing import resnet18
from PIL import Image
from torch import nn

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._device import describe_machine
from shiftproof._optional import require
from shiftproof._threads import available_cores, worker_pool
from shiftproof.audits import AuditOptions, ask, images_per_shard, run_audit
from shiftproof.audits._measure import Measured
from shiftproof.audits._noise import ask_again, noise_record
from shiftproof.audits._record import audit_record
from shiftproof.data import Decoders, Images, load_data, load_images, read_ahead
from shiftproof.engine import Unit, UnitStore, open_run
from shiftproof.probe import Response
from shiftproof.report import report_html

RESULT = Path(__file__).parent / "results" / "storing.json"
N_CLASSES, N_SHIFTS, REPEATS, N_JPEGS, N_KEYS, N_UNITS = 1000, 1089, 3, 64, 1200, 60
PROTOCOL, N_AUDITED, AUDITS = "grid:1", 384, 2
# Digits of an audit whose memory is watched, and the shifts: more answers than are kept in memory.
DIGITS, RADIUS_PX = (15_000, 60_000), 22
# Images of the record that one process makes at the end, and the share of the shifts that change an answer.
N_RECORDED, SHARE_CHANGED = 50_000, 0.1
# Photographs as in ImageNet, and how long a device that waits for them computes for each.
N_LARGE, LARGE_PX, DEVICE_MS, DECODERS = 594, (375, 500), (1.0, 3.0), (0, 1, 2)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def jpegs(folder: Path, n_images: int, size_px: tuple[int, int] = (224, 224)) -> Path:
    """Photographs as JPEG, in turn, each with a pixel of its own."""
    folder.mkdir()
    height, width = size_px
    for number, image in zip(range(n_images), _in_turn(photographs()), strict=False):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width, height))
        picture.putpixel((0, 0), (number % 256, number // 256, 0))
        picture.save(folder / f"{number:04d}.jpg", quality=90)
    return folder


def _in_turn(images: torch.Tensor) -> Iterator[torch.Tensor]:
    while True:
        yield from images


def decoding(folder: Path) -> dict[str, Any]:
    """Images a second from a folder, by threads of one process."""
    images = load_images(jpegs(folder / "jpegs", N_JPEGS), image_shape=(3, 224, 224))
    rates: dict[str, list[float]] = {"1": [], "2": []}
    for _ in range(REPEATS):
        for threads, measured in rates.items():
            with patch("shiftproof.data._side_by_side.available_cores", lambda n=int(threads): n):
                measured.append(N_JPEGS / seconds(lambda: images.pixels(slice(0, N_JPEGS))))
    sizes = [path.stat().st_size for path in (folder / "jpegs").iterdir()]
    return {"images_per_s": rates, "bytes_of_an_image": statistics.mean(sizes)}


def decoding_ahead(folder: Path) -> dict[str, Any]:
    """The share of the time that a device is busy which needs so long for an image; it sleeps meanwhile."""
    images = load_images(jpegs(folder / "large", N_LARGE, LARGE_PX), image_shape=(3, 224, 224))
    size = images_per_shard(images.image_shape)

    def use(images: Images, device_ms: float) -> None:
        for start in range(0, N_LARGE, size):
            n_images = len(images.pixels(slice(start, start + size)))
            time.sleep(n_images * device_ms / 1000)

    busy: dict[str, dict[str, list[float]]] = {f"{ms:g}": {f"{n}": [] for n in DECODERS} for ms in DEVICE_MS}
    for _, n_decoders, device_ms in product(range(REPEATS), DECODERS, DEVICE_MS):
        with Decoders(n_decoders) as decoders:
            ahead = read_ahead(images, decoders)
            ahead.pixels(slice(0, n_decoders))  # so that they have begun
            share = N_LARGE * device_ms / 1000 / seconds(partial(use, ahead, device_ms))
        busy[f"{device_ms:g}"][f"{n_decoders}"].append(share)
    return {"n_images": N_LARGE, "size_px": list(LARGE_PX), "images_at_a_time": size, "busy": busy}


def audit_beside_bare(folder: Path) -> dict[str, Any]:
    """A whole audit from the disk, with listing, checks and record, beside its forward passes alone."""
    require("torchvision", extra="torchvision", purpose="The network")
    model = resnet18()
    images = jpegs(folder / "jpegs", N_AUDITED)
    options = AuditOptions(
        protocols=(PROTOCOL,), limit=N_AUDITED, pictures=False, method="direct", allow_noise=True
    )
    n_passes = 9  # the image as it is, and under 8 shifts; the ninth is no shift

    def audit() -> None:
        question = ask(model, str(images), options)
        with tempfile.TemporaryDirectory() as out, open_run("a", question.config(), out=f"{out}/r") as run:
            run_audit(question, run=run)

    bare(model, 16, 1)  # once, so that memory is there
    times: dict[str, list[float]] = {"audit": [], "bare": []}
    for _ in range(AUDITS):
        # How many images the model is shown in all: some only to know what it answers, and its noise.
        shown: list[int] = []
        handle = model.register_forward_pre_hook(lambda _, images, shown=shown: shown.append(len(images[0])))
        times["audit"].append(seconds(audit))
        handle.remove()
        times["bare"].append(seconds(lambda: bare(model, N_AUDITED, n_passes)))
    shares = [b / a for a, b in zip(times["audit"], times["bare"], strict=True)]
    return {"n_images": N_AUDITED, "n_passes": n_passes, **{f"{k}_s": v for k, v in times.items()},
            "n_shown": sum(shown), "bare_over_audit": statistics.median(shares)}  # fmt: skip


@torch.inference_mode()
def bare(model: nn.Module, n_images: int, n_passes: int) -> None:
    batch = torch.rand(8, 3, 224, 224)
    n_batches = n_passes * n_images // 8
    with worker_pool(2) as pool:
        list(pool.map(lambda _: _forward(model, batch), range(n_batches)))


@torch.inference_mode()
def _forward(model: nn.Module, batch: torch.Tensor) -> None:
    model(batch)


def record_bytes() -> dict[str, float]:
    """What is kept of an image under 1,089 shifts by a network of 1,000 classes."""
    sizes = [len(response(n).to_bytes()) for n in (10, 20)]
    return {"per_image": (sizes[1] - sizes[0]) / 10, "n_shifts": N_SHIFTS, "n_classes": N_CLASSES}


def response(n_images: int) -> Response:
    shape = (n_images, N_SHIFTS)
    return Response(
        predicted=np.zeros(shape, np.int32), true_prob=np.zeros(shape, np.float32),
        drift=np.zeros(shape, np.float32), offsets_px=np.zeros((N_SHIFTS, 2)),
        labels=np.zeros(n_images, np.int64),
        unshifted_output=np.zeros((n_images, N_CLASSES), np.float32), provenance={"model": "m"},
    )  # fmt: skip


@contextmanager
def s3() -> Iterator[Address]:
    """A bucket on a server of its own process on this machine."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "5055"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.environ |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5055", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    import s3fs

    try:
        for _ in range(60):
            try:
                s3fs.S3FileSystem().mkdir("bucket")
                break
            except Exception:  # it is not there yet
                time.sleep(0.5)
        yield Address("s3://bucket")
    finally:
        server.terminate()
        server.wait()


def driver(folder: Path) -> dict[str, Any]:
    """What one process does alone, in seconds of a processor: nobody helps it where there are many workers.

    At the start it decodes every image once, to know that it can be used; at the end it makes the record and
    its page. The answers are drawn at random: the work is that of any answers.
    """
    photos = str(jpegs(folder / "large", N_LARGE, LARGE_PX))
    checks = [
        processor_seconds(lambda: load_images(photos, image_shape=(3, 224, 224))) for _ in range(REPEATS)
    ]
    options = AuditOptions(protocols=("grid:16",), device="cpu", pictures=False)
    question = ask("zoo:cnn1", load_data("mnist", "train").head(N_RECORDED), options)
    noise = noise_record(ask_again(question, None), options.confidence)
    protocol, images = question.parts[0]
    measured = Measured(
        protocol, images, random_answers(), "direct", "", (), options.confidence, decided=False
    )

    def record() -> None:
        made = audit_record(question, [measured], noise, [])
        made.to_json()
        report_html(made)

    return {
        "n_checked": N_LARGE, "size_px": list(LARGE_PX), "check_s": checks, "n_images": N_RECORDED,
        "n_shifts": N_SHIFTS, "n_classes": N_CLASSES, "record_s": processor_seconds(record),
    }  # fmt: skip


def random_answers() -> Response:
    """Of as many images as ImageNet has for validation, under all shifts."""
    draw, shape = np.random.default_rng(0), (N_RECORDED, N_SHIFTS)
    reach = range(-16, 17)
    outputs = draw.standard_normal((N_RECORDED, N_CLASSES), dtype=np.float32)
    predicted = np.repeat(outputs.argmax(1).astype(np.int32)[:, None], N_SHIFTS, axis=1)
    changed = draw.random(shape, dtype=np.float32) < draw.beta(1, 1 / SHARE_CHANGED - 1, (N_RECORDED, 1))
    predicted[changed] = draw.integers(0, N_CLASSES, int(changed.sum()))
    return Response(
        predicted=predicted, true_prob=draw.random(shape, dtype=np.float32),
        drift=draw.random(shape, dtype=np.float32),
        offsets_px=np.array([(dy, dx) for dy in reach for dx in reach], np.float64),
        labels=draw.integers(0, N_CLASSES, N_RECORDED), unshifted_output=outputs,
        provenance={"model": "m"},
    )  # fmt: skip


def units(store: UnitStore, driver: UnitStore, content: bytes) -> dict[str, Any]:
    """Milliseconds to keep a unit, and to find out that it is not there: of each the median.

    Then units a second that a driver has and has checked, which were kept by somebody else.
    """
    kept, looked = [], []
    made = [Unit("probe", {"number": number}, {}) for number in range(N_UNITS)]
    for unit in made:
        looked.append(seconds(partial(store.has, unit)))
        kept.append(seconds(partial(store.keep, unit, content)))
    return {
        "bytes": len(content), "keep_ms": 1000 * statistics.median(kept),
        "look_ms": 1000 * statistics.median(looked),
        "taken_per_s": N_UNITS / seconds(partial(driver.has_each, made)),
    }  # fmt: skip


def storing(folder: Path) -> dict[str, Any]:
    """The same units in a folder and on a store that speaks S3, and how fast each lists names."""
    content = response(32).to_bytes()
    here = folder / "units"
    here.mkdir()
    rows = {"folder": units(UnitStore(here), UnitStore(here), content)}
    for number in range(N_KEYS):
        (here / f"{number}").touch()
    rows["folder"]["names_per_s"] = N_KEYS / seconds(lambda: list(here.iterdir()))
    with s3() as bucket:
        worker, driver = (UnitStore(folder / name, bucket / "units") for name in ("worker", "driver"))
        rows["S3 on this machine"] = units(worker, driver, content)
        for number in range(N_KEYS):
            _store.write(bucket / "many" / str(number), b"x")
        rows["S3 on this machine"]["names_per_s"] = N_KEYS / seconds(
            lambda: _store.list_folder(bucket / "many")
        )
    return rows


MERGE = """
import sys
from pathlib import Path
from shiftproof.probe import Response
import shiftproof.probe._response as module
def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024
shards = sorted(Path(sys.argv[1]).glob("*.safetensors")) * int(sys.argv[2])
module.MOST_IN_MEMORY_BYTES = int(float(sys.argv[3]))
Response.concatenate(shards[:2])
before = anonymous()
whole = Response.concatenate(shards)
print(anonymous() - before, whole.predicted.nbytes + whole.true_prob.nbytes + whole.drift.nbytes)
"""


def merging(folder: Path) -> list[dict[str, Any]]:
    """Memory of its own of a process after it put shards together, in a file and in memory."""
    shards = folder / "shards"
    shards.mkdir()
    response(400).save(shards / "0.safetensors")
    rows = []
    for n_shards in (20, 80):
        for where, most in (("file", "1e6"), ("memory", "1e18")):
            command = [sys.executable, "-c", MERGE, str(shards), str(n_shards), most]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            rows.append({"n_images": 400 * n_shards, "where": where, "grown_mb": int(found[0]) / 1e6,
                         "response_mb": int(found[1]) / 1e6})  # fmt: skip
    return rows


AUDIT = """
import sys
from shiftproof.audits import audit
from shiftproof.data import load_data
digits = load_data("mnist", "train").head(int(sys.argv[1]))
(answers,) = audit("zoo:cnn2", digits, protocols=[sys.argv[2]], out=sys.argv[3]).responses.values()
print(answers.predicted.nbytes + answers.true_prob.nbytes + answers.drift.nbytes)
"""


def audit_memory(folder: Path) -> list[dict[str, Any]]:
    """Largest memory of a process that audits digits, and the size of what they answer."""
    rows = []
    for n_images in DIGITS:
        out = folder / f"{n_images}"
        command = [sys.executable, "-c", AUDIT, f"{n_images}", f"grid:{RADIUS_PX}", f"{out}"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak = peak_mb(process)
        n_bytes, _ = process.communicate()
        rows.append({"n_images": n_images, "n_shifts": (2 * RADIUS_PX + 1) ** 2, "peak_mb": peak,
                     "response_mb": int(n_bytes) / 1e6})  # fmt: skip
    return rows


def peak_mb(process: subprocess.Popen[str]) -> float:
    """The largest memory of a process that no file is behind, seen every 20 ms until its end."""
    peak = 0
    while process.poll() is None:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peak = max(peak, next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))
        time.sleep(0.02)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return peak * 1024 / 1e6


PARTS: dict[str, Callable[[Path], Any]] = {
    "decoding": decoding,
    "decoding_ahead": decoding_ahead,
    "audit_from_disk": audit_beside_bare,
    "record_bytes": lambda _: record_bytes(),
    "merging": merging,
    "audit_memory": audit_memory,
    "driver": driver,
    "storing": storing,
}


def main(names: Sequence[str]) -> None:
    """Measure these parts, and keep the others: each says when it was measured, and beside what load."""
    record: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {"conditions": {}}
    packages = ("shiftproof", "torch", "pillow", "s3fs", "moto")
    for part in names:
        load = round(os.getloadavg()[0], 2)
        with tempfile.TemporaryDirectory() as folder:
            record[part] = PARTS[part](Path(folder))
        record["conditions"][part] = {"measured": datetime.now(UTC).date().isoformat(), "load": load}
        record |= {
            "machine": describe_machine(torch.device("cpu")),
            "cores": available_cores(),
            "versions": {name: importlib.metadata.version(name) for name in packages},
        }
        RESULT.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        print(json.dumps({part: record[part]}, indent=1), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(PARTS))
