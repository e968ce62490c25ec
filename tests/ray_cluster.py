"""A real Ray cluster of several nodes on this machine, over loopback, for tests.

It lives in a process of its own: Ray warns when it is imported, and warnings are errors here.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


class RayCluster:
    """A cluster with a head that computes nothing, and nodes that come and go.

    Args:
        folder: Where Ray keeps its token.
        version: Of Ray, as the cluster says it; that of the package by default.
    """

    def __init__(self, folder: Path, version: str | None = None) -> None:
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback alone
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "OMP_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._token = str(token)
        self.address: str = self._ask({"do": "begin", "version": version})["address"]

    def add(self, n_cores: int, environment: Mapping[str, str] | None = None, n_gpus: int = 0) -> int:
        """A node that says it has so many cores and GPUs; its number."""
        asked = {"do": "add", "n_cores": n_cores, "n_gpus": n_gpus, "environment": environment}
        return int(self._ask(asked)["number"])

    def kill(self, number: int) -> None:
        """`kill -9` of all processes of a node."""
        self._ask({"do": "kill", "number": number})

    def workers(self) -> list[int]:
        """Processes of workers of ours: named by Ray, started by what has our token."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (folder / "cmdline").read_bytes().startswith(b"ray::_Actor"):
                    parent = (folder / "stat").read_text().rpartition(") ")[2].split()[1]
                    if self._token.encode() in Path(f"/proc/{parent}/environ").read_bytes():
                        found.append(int(folder.name))
        return found

    def close(self) -> None:
        """The end of the cluster."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Ray prints is no answer
    import ray
    from ray.cluster_utils import Cluster

    cluster: Any = None
    nodes: list[Any] = []
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if asked["do"] == "begin":
            ray.__version__ = asked["version"] or ray.__version__
            head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
            cluster = Cluster(initialize_head=True, head_node_args=head)
            answer["address"] = cluster.address
        elif asked["do"] == "add":
            settings = {"env_vars": asked["environment"]} if asked["environment"] else {}
            has = {"num_cpus": asked["n_cores"], "num_gpus": asked["n_gpus"]}
            nodes.append(cluster.add_node(**has, node_ip_address="127.0.0.1", **settings))
            answer["number"] = len(nodes) - 1
        elif asked["do"] == "kill":
            cluster.remove_node(nodes[asked["number"]], allow_graceful=False)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if cluster is not None:  # also where whoever asked is gone
        cluster.shutdown()


if __name__ == "__main__":
    _serve()
