"""A Ray cluster: a head without slots, on which callers run, and nodes with one slot each."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from machines import Machine, Machines
from strategic_memory_cluster.settings import RECOMMENDED

_STORE_BYTES = 80 << 20
_PORT = 6379
_BIN = Path(sys.executable).parent


class RayMachines:
    """A head and nodes that have joined it."""

    def __init__(self, machines: Machines, nodes: int) -> None:
        self.head = machines.add("head")
        self.nodes = [machines.add(f"node{number}") for number in range(1, nodes + 1)]
        self.env = {
            **RECOMMENDED,
            "PATH": f"{_BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "RAY_ADDRESS": f"{self.head.address}:{_PORT}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            # By default jobs yield to all other programs, here to the machine's other work.
            "RAY_worker_niceness": "0",
        }
        self._start(
            self.head, ["--head", f"--port={_PORT}", "--num-cpus=0", "--include-dashboard=false"]
        )
        self._join(self.nodes)

    def repair(self) -> None:
        """Restarts every machine whose Ray has ended: it ends once the head has given it up."""
        lost = [node for node in self.nodes if not node.processes(_is_raylet)]
        for node in lost:
            node.power_on()
        self._join(lost)

    def _join(self, nodes: Sequence[Machine]) -> None:
        """Starts Ray on machines, on all at once."""
        join = [f"--address={self.env['RAY_ADDRESS']}", "--num-cpus=1"]
        starts = [threading.Thread(target=self._start, args=(node, join)) for node in nodes]
        for start in starts:
            start.start()
        for start in starts:
            start.join()

    def call(
        self, command: Sequence[str | Path], log: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a caller on the head."""
        return self.head.start(command, log, {**self.env, **(env or {})})

    def _start(self, machine: Machine, how: Sequence[str]) -> None:
        command = ["ray", "start", *how, f"--node-ip-address={machine.address}"]
        command += [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        machine.run(command, "ray-start.log", self.env)


def _is_raylet(words: list[str]) -> bool:
    return bool(words) and words[0].endswith("/raylet")
