"""Trainings that play on a cluster, and whether they learn what one process learns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from machines import Machine
from ray_machines import RayMachines
from sweeps import PATIENCE_S, ROOT, caller_environment, is_worker, wait_for

_AGENT = ROOT / "target" / "release" / "agent"
_STEPS = 48_000
"""Some 250 updates: a quarter of a minute and more with three workers on two cores."""


def command(out: Path, *how: str) -> list[str | Path]:
    """Returns the command of a training in the folder `out`."""
    settings = ["--algorithm", "recurrent-ppo", "--env", "MemoryTask-v0", "--env-arg", "delay=31"]
    settings += ["--num-envs", "6", "--total-timesteps", str(_STEPS), "--no-early-stop"]
    return [_AGENT, "train", *settings, "--no-progress", "--out", out, *how]


def train_here(folder: Path) -> Path:
    """Trains in one process on this machine; returns the run's folder."""
    subprocess.run(command(folder / "alone"), check=True, stdout=subprocess.DEVNULL)
    return folder / "alone"


class Training:
    """A training on a cluster, with a worker for each node."""

    def __init__(self, cluster: RayMachines, folder: Path, name: str) -> None:
        self.cluster = cluster
        self.run = folder / name
        self._log = f"{name}.log"
        how = ("--pool", "ray", "--workers", str(len(cluster.nodes)))
        self._process = cluster.call(command(self.run, *how), self._log, caller_environment())

    @property
    def log(self) -> str:
        """The caller's output so far."""
        return self.cluster.head.log(self._log)

    def updates(self) -> int:
        """Updates so far."""
        metrics = self.run / "metrics.jsonl"
        return metrics.read_bytes().count(b"\n") if metrics.exists() else 0

    def wait_for_updates(self, more: int) -> float:
        """Waits for so many updates more; returns the seconds that it took."""
        wanted, began = self.updates() + more, time.monotonic()

        def look() -> bool:
            assert self.is_running(), self.log
            return self.updates() >= wanted

        wait_for("an update", look)
        return time.monotonic() - began

    def working(self) -> list[Machine]:
        """Returns the nodes that have a worker."""
        return [node for node in self.cluster.nodes if node.processes(is_worker)]

    def is_running(self) -> bool:
        """Whether the caller has not ended."""
        return self._process.poll() is None

    def finish(self) -> None:
        """Waits for the end."""
        assert self._process.wait(PATIENCE_S) == 0, self.log

    def end(self) -> None:
        """Kills the caller, if it has not ended: its test has failed."""
        if self.is_running():
            for process in self.cluster.head.processes(lambda words: str(self.run) in words):
                os.kill(process, signal.SIGKILL)
            self._process.wait()


def learned(run: Path) -> tuple[list[Any], dict[str, bytes]]:
    """Returns what a run has measured in each update, and its weights and optimiser to the bit."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    measured = [(line["timesteps"], line["metrics"]) for line in map(json.loads, lines)]
    stored = (run / "checkpoint.safetensors").read_bytes()
    begin = 8 + int.from_bytes(stored[:8], "little")
    tensors = {}
    for name, tensor in json.loads(stored[8:begin]).items():
        # The environments' state, the only bytes, is stored by groups.
        if name != "__metadata__" and tensor["dtype"] == "F32":
            low, high = tensor["data_offsets"]
            tensors[name] = stored[begin + low : begin + high]
    return measured, tensors
