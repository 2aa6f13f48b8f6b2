"""Runs of the benchmark on a cluster: where their jobs are, and whether the records are right."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from machines import Machine
from ray_machines import RayMachines

ROOT = Path(__file__).parents[2]
PLAN = Path(__file__).with_name("plan.toml")
JOBS = 24

_EVENTS = "events.out.tfevents.*"
"""Each session of a training writes a file of this name, unlike any other's."""

PATIENCE_S = 180.0
"""Time for anything that is waited for."""


Found = TypeVar("Found")


def wait_for(what: str, look: Callable[[], Found | None], seconds: float = PATIENCE_S) -> Found:
    """Waits until `look` returns something, and returns that."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class Session:
    """A session of a job's training, whose last checkpoint the caller has."""

    node: Machine
    """Where it runs."""
    folder: Path
    """The job's folder in the caller's run."""
    events: str
    """The file that it alone writes."""


class Sweep:
    """A run of the plan on a cluster."""

    def __init__(self, cluster: RayMachines, folder: Path, name: str) -> None:
        self.cluster = cluster
        self.folder = folder / name
        self._log = f"{name}.log"
        self._began = time.monotonic()
        self._process = cluster.call(
            command(folder, name, "--pool", "ray"),
            self._log,
            caller_environment(),
        )

    @property
    def log(self) -> str:
        """The caller's output so far."""
        return self.cluster.head.log(self._log)

    def finish(self) -> float:
        """Waits for the end, and returns how long the run took, in seconds."""
        status = self._process.wait(PATIENCE_S)
        assert status == 0, self.log
        return time.monotonic() - self._began

    def end(self) -> None:
        """Kills the caller, if it has not ended: its test has failed."""
        if self.is_running():
            for process in self.cluster.head.processes(lambda words: str(PLAN) in words):
                os.kill(process, signal.SIGKILL)
            self._process.wait()

    def is_running(self) -> bool:
        """Whether the caller has not ended."""
        return self._process.poll() is None

    def session(self) -> Session:
        """Waits for a session of a training with a checkpoint that has come back."""

        def look() -> Session | None:
            assert self.is_running(), self.log
            for node in self.cluster.nodes:
                for events in scratch(node, _EVENTS):
                    for kept in self.folder.glob(f"checkpoints/*/{events.name}"):
                        if (kept.parent / "checkpoint.safetensors").exists():
                            return Session(node, kept.parent, events.name)
            return None

        return wait_for("a checkpoint", look)

    def resumed(self, session: Session) -> Machine:
        """Waits until another node has the job, with what the lost session had sent."""

        def look() -> Machine | None:
            assert self.is_running(), self.log
            others = (node for node in self.cluster.nodes if node is not session.node)
            return next((node for node in others if scratch(node, session.events)), None)

        return wait_for("the job on another node", look)

    def check(self, alone: list[Any]) -> None:
        """Checks that the records are those of one machine, but for times, and one a job."""
        assert records(self.folder) == alone

    def check_lost(self, session: Session, reason: str) -> None:
        """Checks that this session, and no job of the whole run but it, was lost and resumed."""
        lost = re.findall(r"(\S+ \S+ seed \d+): lost its worker \((.*)\); it resumes", self.log)
        assert len(lost) == 1, self.log
        [[title, why]] = lost
        agent, experiment, _, seed = title.split()
        assert session.folder.name.startswith(f"{agent}-{experiment}-seed{seed}-")
        assert re.search(reason, why), why
        sessions = sorted(file.name for file in session.folder.glob(_EVENTS))
        assert len(sessions) == 2, sessions
        assert session.events in sessions

    def check_undisturbed(self) -> None:
        """Checks that no job lost its worker."""
        assert "lost its worker" not in self.log
        for job in self.folder.glob("checkpoints/*"):
            assert len(list(job.glob(_EVENTS))) == 1


def caller_environment() -> dict[str, str]:
    """Returns the variables of callers, which alone have the package: nodes need nothing of ours."""
    package = ROOT / "clients" / "cluster" / "src"
    return {"PYTHONPATH": str(package), "STRATEGIC_MEMORY_PYTHON": sys.executable}


def command(folder: Path, name: str, *how: str) -> list[str | Path]:
    """Returns the command of a run of the plan in `folder/name`."""
    program = ROOT / "target" / "release" / "benchmark"
    return [
        program,
        "--experiments",
        PLAN,
        "--seeds",
        "6",
        "--out",
        folder,
        "--name",
        name,
        *how,
        "--no-progress",
    ]


def run_here(folder: Path, name: str, *how: str) -> float:
    """Runs the plan on this machine, without a cluster; returns how long it took, in seconds."""
    began = time.monotonic()
    with (folder / f"{name}.log").open("wb") as log:
        subprocess.run(command(folder, name, *how), check=True, stdout=log, stderr=log)
    return time.monotonic() - began


def records(run: Path) -> list[Any]:
    """Returns a run's records without their times, in an order that depends on the jobs alone.

    The commit is that of the working tree at a run's start, which may change meanwhile.
    """
    lines = (run / "records.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    for record in found:
        del record["finished_at"], record["commit"]
        assert record["result"]["status"] == "finished", record
        for clock in ("steps_per_s", "train_duration_s"):
            del record["result"][clock]
    found.sort(key=lambda record: record["configuration_hash"])
    return found


def scratch(node: Machine, name: str) -> list[Path]:
    """Returns the files of this name in the folders of a node's workers."""
    return list(node.temporary.glob(f"worker-*/*/{name}"))


def is_worker(words: list[str]) -> bool:
    """Whether a command line is a worker's: the program, named by its SHA-256, and `worker`."""
    return len(words) == 2 and words[1] == "worker" and bool(re.search(r"/[0-9a-f]{64}$", words[0]))


def signal_workers(node: Machine, number: int) -> None:
    """Sends a signal to the workers of a node, once there are some."""
    for worker in wait_for("a worker", lambda: node.processes(is_worker)):
        os.kill(worker, number)
