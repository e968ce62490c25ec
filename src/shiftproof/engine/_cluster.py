"""A Ray cluster: finding it, what fits on it, and what of it does not fit to us."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shiftproof._optional import require
from shiftproof._text import said
from shiftproof._version import __version__
from shiftproof.engine._engine import Engine
from shiftproof.errors import WorkerError

SECONDS_TO_ANSWER = 10.0
EVERY = 1e-9


def versions() -> dict[str, str]:
    """What has to be the same everywhere for results to be."""
    import torch

    return {"shiftproof": __version__, "torch": torch.__version__}


def check_there(engine: Engine) -> None:
    """Nothing where an engine can be used, as far as that shows before anything is started.

    For those who have long work to do before: a mistake is said now, not after it.

    Raises:
        MissingDependencyError: `ray` is not installed.
        WorkerError: Nobody answers where the cluster should be.
    """
    if engine.kind == "local":
        return
    address = _address_of(engine)
    ray = _imported(address)
    if address is not None and not ray.is_initialized():
        _check_answers(address)


def connected(engine: Engine) -> tuple[Any, Callable[[], None]]:
    """Ray, connected to the cluster of an engine, and how to leave it.

    Without an address, and without RAY_ADDRESS, a cluster is started on this machine, for this machine alone.
    Whoever is connected already stays so.

    Raises:
        MissingDependencyError: `ray` is not installed.
        WorkerError: Nobody answers there, the cluster is of another version, or this process is connected to
            another one.
    """
    address = _address_of(engine)
    ray = _imported(address)
    if ray.is_initialized():
        _check_is_that_one(ray, engine.address)
        return ray, lambda: None
    own = {
        "address": "local",
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    if address is not None:
        _check_answers(address)
    try:
        with _signals_kept():
            ray.init(
                **(own if address is None else {"address": address}),
                log_to_driver=False,
                configure_logging=True,
                logging_level="ERROR",
            )
    except Exception as error:
        raise _no_cluster(address, error) from error
    return ray, ray.shutdown


def _address_of(engine: Engine) -> str | None:
    return engine.address or os.environ.get("RAY_ADDRESS") or None


def _imported(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if _stays_here(address):
        # Ray puts this machine's address in the place of 127.0.0.1, as if others were to reach it.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    return require("ray", extra="ray", purpose="--engine ray")


def _check_is_that_one(ray: Any, address: str | None) -> None:
    """A process is connected to one cluster at a time."""
    there = ray.get_runtime_context().gcs_address
    if address in (None, "auto", there):
        return
    assert address is not None, "None is any cluster"
    # Ray knows this machine by another address than 127.0.0.1.
    if _stays_here(address) and there == f"{ray.util.get_node_ip_address()}:{address.rpartition(':')[2]}":
        return
    raise WorkerError.cannot(
        f"join a Ray cluster at {address}",
        f"this process is connected to that at {there}",
        fix="Call `ray.shutdown()` before, or use that one: engine='ray'.",
    )


def _stays_here(address: str | None) -> bool:
    return address is None or address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


def _check_answers(address: str) -> None:
    """Ray itself waits for minutes, and then may end this process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> WorkerError:
    lines = [line.strip() for line in said(error, 10_000).splitlines() if line.strip()]
    happened = (lines[0] if lines else type(error).__name__).rstrip(".")
    if "version mismatch" in happened.lower():
        return WorkerError.cannot(
            "join the Ray cluster with the Ray and Python that are here",
            " ".join(lines[:8]),
            fix="Install the versions of the cluster on this machine.",
        )
    if address is None:
        return WorkerError.cannot("start Ray on this machine", happened)
    return WorkerError.cannot(
        f"join a Ray cluster at {address}",
        happened,
        cause="It does not run, or this machine cannot reach it.",
        fix="`ray status` on a node of the cluster says its address.",
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; here it asks for a stop, as in every other command."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def room_for(ray: Any, engine: Engine, *, at_start: bool = False) -> int:
    """How many workers fit on the nodes that are there.

    Raises:
        WorkerError: At the start, none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(_fit(node, engine) for node in nodes)
    if at_start and not room:
        raise _too_small(nodes, engine)
    return room


def _fit(node: Mapping[str, float], engine: Engine) -> int:
    by_cores = int(node.get("CPU", 0.0) / engine.cores_each + EVERY)
    gpus, each = node.get("GPU", 0.0), engine.gpus_each
    if not each:
        return by_cores
    per_gpu = int(1 / each + EVERY) if each < 1 else 1
    return min(by_cores, int(gpus) * per_gpu if each < 1 else int(gpus / each + EVERY))


def _too_small(nodes: list[Mapping[str, float]], engine: Engine) -> WorkerError:
    cores = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    return WorkerError(
        f"a node with {engine.cores_each} cores and {engine.gpus_each:g} GPUs for a worker",
        f"{len(nodes)} nodes with up to {cores:g} cores and {gpus:g} GPUs",
        fix="Lower --threads or --gpus-per-worker, or use --device cpu.",
    )
