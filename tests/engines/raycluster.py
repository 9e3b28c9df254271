"""A Ray cluster of our own: two nodes on this machine, every port on 127.0.0.1.

Run as a program it is the cluster: it prints its address and lives until its stdin ends.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engines.engine import Missing, directory

INSTALL = "pip install 'mitosis[ray]'"
NODES, CPUS = 2, 2
SETTINGS = {
    # "127.0.0.1" stays what it is; else Ray listens on every interface
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",  # else a token is written into the home directory
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs; `env` is what a driver needs besides its address."""

    address: str
    env: dict[str, str]


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A new cluster; it ends with the context. Raises Missing."""
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("hydra_plugins") is None:
        raise Missing(f"Ray is not installed: {INSTALL}")
    with directory("ray") as home:
        (home / "ray").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.engines.raycluster", str(home)],
            cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **SETTINGS, "PYTHONWARNINGS": "", "RAY_TMPDIR": str(home)},
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("cluster "):
                    yield Cluster(line.split()[1], SETTINGS)
                    return
            raise RuntimeError(f"the Ray cluster ended with {process.wait()}")
        finally:
            process.communicate()  # ends its stdin


def main(home: str) -> None:
    """Be the cluster."""
    from ray.cluster_utils import Cluster as Nodes

    memory = 100_000_000  # bytes: the least that a node's object store may have is 75 MB
    head = {"num_cpus": CPUS, "include_dashboard": False, "object_store_memory": memory, "temp_dir": home}
    nodes = Nodes(initialize_head=True, head_node_args=head)
    for _ in range(NODES - 1):
        nodes.add_node(num_cpus=CPUS, object_store_memory=memory)
    nodes.wait_for_nodes()
    print(f"cluster {nodes.address}", flush=True)
    try:
        sys.stdin.read()
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
