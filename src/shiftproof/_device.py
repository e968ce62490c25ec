"""Which device to compute on, and what machine this is."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from shiftproof._digest import Json
from shiftproof._threads import available_cores
from shiftproof._version import __version__
from shiftproof.errors import OptionError


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` takes CUDA, else MPS, else the CPU.

    Raises:
        OptionError: The device does not exist here.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError("a device such as auto, cpu, cuda, cuda:1 or mps", repr(name)) from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise OptionError.cannot(
            f"compute on the device {name!r}",
            "it is not present",
            cause="This machine has no such device, or this torch was built without it.",
            fix="Use --device auto.",
        )
    return device


def choose_devices(names: str = "auto") -> tuple[torch.device, ...]:
    """The devices of a list with commas, such as `cuda:0,cuda:1`: one for each worker, of one kind.

    Raises:
        OptionError: One of them does not exist here, or they are of several kinds, whose results differ.

    Example:
        >>> choose_devices("cpu,cpu")
        (device(type='cpu'), device(type='cpu'))
    """
    parts = [part.strip() for part in names.split(",")]
    devices = tuple(choose_device(part) for part in parts)
    kinds = list(dict.fromkeys(_kind(device) for device in devices))
    if len(kinds) > 1:
        raise OptionError(
            "devices of one kind",
            " and ".join(kinds),
            cause="Results of different devices differ in their last bits.",
        )
    return devices


def _kind(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


class _FullPrecision:
    """On from the first block that wants it to the end of the last: threads share torch's setting."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_blocks = 0
        self.before: bool | None = None

    def enter(self) -> None:
        with self.lock:
            if self.n_blocks == 0:
                self.before = _allows_tf32()
                if self.before:
                    torch.backends.cudnn.allow_tf32 = False
            self.n_blocks += 1

    def leave(self) -> None:
        with self.lock:
            self.n_blocks -= 1
            if self.n_blocks == 0 and self.before:
                torch.backends.cudnn.allow_tf32 = True


def _allows_tf32() -> bool | None:
    """Torch's setting; None where it was made operation by operation, which is somebody's choice."""
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return None


_full_precision = _FullPrecision()


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute in float32 with all its bits, and put torch's setting back after that.

    On CUDA torch rounds what goes into convolutions to ten bits (TF32), by default and only where a kernel
    offers it: two ways to compute the same answer then differ by 1e-3 instead of 1e-6.

    Example:
        >>> with full_precision():
        ...     torch.backends.cudnn.allow_tf32
        False
    """
    _full_precision.enter()
    try:
        yield
    finally:
        _full_precision.leave()


def describe_machine(device: torch.device) -> str:
    """Processor and number of cores, and the accelerator if one is used."""
    processor = f"{_processor_name()}, {available_cores()} cores"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}; {processor}"
    return processor if device.type == "cpu" else f"{device.type}; {processor}"


def describe_environment(device: torch.device) -> dict[str, Json]:
    """Versions and machine: on another one the last bits of a result may differ."""
    return {
        "shiftproof": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device.type,
        "machine": describe_machine(device),
    }


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
