"""Where units are computed: in this process, in processes beside it, or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from shiftproof._registry import unknown_name
from shiftproof._text import said
from shiftproof.errors import OptionError

Kind = Literal["local", "ray"]
# No cluster has more; it is a slip of the hand.
MOST_WORKERS = 100_000


@dataclass(frozen=True, slots=True)
class Engine:
    """Where units are computed. What they give does not depend on it.

    Args:
        kind: `local`, or `ray` for a Ray cluster.
        address: Of the cluster, `HOST:PORT` or `auto`; None for that of RAY_ADDRESS, or else one that is
            started on this machine for as long as it is needed.
        workers: Processes; by default one for each device, or as many as the cluster has room for.
        devices: Where workers compute, one after the other. On a cluster each worker has what Ray gives it.
        threads: Cores of each worker; None for all that there are, or for one on a cluster.
        gpus: GPUs of each worker on a cluster: 0.25 for four workers on one; None for one where it
            computes on GPUs.

    Raises:
        OptionError: Numbers out of range, or what has no meaning for the kind.

    Example:
        >>> Engine(workers=2).is_here, Engine().is_here
        (False, True)
    """

    kind: Kind = "local"
    address: str | None = None
    workers: int | None = None
    devices: tuple[str, ...] = ("cpu",)
    threads: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise OptionError(f"workers from 1 to {MOST_WORKERS:,}", self.workers)
        if self.kind == "local" and self.gpus is not None:
            raise OptionError(
                "a Ray cluster for --gpus-per-worker",
                "--engine local",
                cause="Only there workers are given parts of GPUs.",
                fix="Add --engine ray, or say --device cuda:0,cuda:1.",
            )
        if self.kind == "ray" and len(self.devices) > 1:
            raise OptionError(
                "one kind of device with --engine ray",
                ", ".join(self.devices),
                cause="Ray gives each worker its own GPU.",
                fix="Use --device cuda.",
            )
        if self.gpus is not None and not self._can_be_shared_out():
            raise OptionError("a part of one GPU, or whole GPUs, for each worker", f"{self.gpus:g}")

    def _can_be_shared_out(self) -> bool:
        """As Ray has it: several workers on one GPU, or whole GPUs for one worker."""
        gpus = self.gpus or 0.0
        return 0 <= gpus <= 1 or (1 < gpus < MOST_WORKERS and float(gpus).is_integer())

    @property
    def is_here(self) -> bool:
        """Whether everything is computed in this process."""
        return self.kind == "local" and (self.workers or len(self.devices)) == 1

    @property
    def n_local(self) -> int:
        """Processes of a local engine."""
        return self.workers or len(self.devices)

    @property
    def threads_there(self) -> int | None:
        """Threads of each worker that is not this process: its share of the cores, or what a user said."""
        if self.kind == "ray" or self.threads is not None:
            return self.cores_each
        from shiftproof._threads import available_cores  # imports torch, which workers may not need

        return max(1, available_cores() // self.n_local)

    def for_tasks(self, n_tasks: int) -> Engine:
        """With no more workers than there are tasks; those of a cluster are started when they are needed."""
        if self.kind == "ray":
            return self
        return replace(self, workers=max(1, min(self.n_local, n_tasks)))

    @property
    def gpus_each(self) -> float:
        """GPUs of each worker on a cluster."""
        if self.gpus is not None:
            return self.gpus
        return 1.0 if self.devices[0].startswith("cuda") else 0.0

    @property
    def cores_each(self) -> int:
        """Cores of each worker on a cluster."""
        return self.threads or 1


def parse_engine(
    text: str,
    *,
    devices: Sequence[str] = ("cpu",),
    workers: int | None = None,
    threads: int | None = None,
    gpus: float | None = None,
) -> Engine:
    """The engine that a user names: `local`, `ray` or `ray:ADDRESS`.

    Raises:
        UnknownNameError: Another name.
        OptionError: No address after the colon, one of another kind, or numbers out of range.

    Example:
        >>> parse_engine("ray:10.0.0.1:6379").address
        '10.0.0.1:6379'
    """
    kind, colon, address = text.partition(":")
    if kind not in get_args(Kind) or (colon and kind == "local"):
        raise unknown_name("computing engine", said(text), ("local", "ray", "ray:ADDRESS"))
    if colon and address != "auto" and not _is_host_and_port(address):
        raise OptionError(
            "the address of a Ray cluster, as in ray:10.0.0.1:6379 or ray:auto",
            repr(said(text)),
            fix="`ray status` on a node of the cluster says it.",
        )
    return Engine(kind, address or None, workers, tuple(devices), threads, gpus)  # type: ignore[arg-type]


def _is_host_and_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
