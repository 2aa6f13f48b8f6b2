"""The relay with clusters that were started by hand: a node of another class of CPU joins one, and
others have another Ray or another Python."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Relay

RAY = ["-m", "ray.scripts.scripts"]
"""Arguments of Python that run the command `ray`."""

OTHERS = {
    "Ray 2.59.0": "ray.__version__ = '2.59.0'",
    "Python 3.10.2": "sys.version_info = (3, 10, 2, 'final', 0)",
}
"""What another cluster has, and how this machine's Ray comes to say so of itself."""

TOKEN = "ab" * 32
"""Nodes of this cluster have it; it guards nothing after the test."""


class Nodes:
    """Nodes of a Ray cluster on this machine; each is a process group."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = f"127.0.0.1:{server.getsockname()[1]}"
        self.environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []

    def start_head(self, command: list[str] = RAY) -> None:
        """Starts the first node, with one CPU."""
        port = self.address.rpartition(":")[2]
        store = f"--object-store-memory={100_000_000}"
        common = ("--node-ip-address=127.0.0.1", "--include-dashboard=false", store)
        self.start("--head", f"--port={port}", "--num-cpus=1", *common, command=command)

    def start(self, *arguments: str, command: list[str] = RAY, **environment: str) -> None:
        """Starts a node, and waits until it has joined."""
        said = self._folder / f"said-{len(self._started)}"
        with said.open("wb") as output:
            node = subprocess.Popen(
                [sys.executable, *command, "start", "--block", *arguments],
                env={**os.environ, **self.environment, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(node)
        deadline = time.monotonic() + 60
        while "--block" not in said.read_text(errors="replace"):
            assert node.poll() is None, said.read_text(errors="replace")
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def end(self) -> None:
        for node in reversed(self._started):
            # At once: `ray start --block` sometimes waits for its own processes for minutes.
            os.killpg(node.pid, signal.SIGKILL)
            node.wait(30)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A cluster with one CPU."""
    nodes = Nodes(tmp_path_factory.mktemp("ray"))
    try:
        nodes.start_head()
        yield nodes
    finally:
        nodes.end()


def losses(events: list[tuple[str, Any]]) -> list[str]:
    return [fields["reason"] for kind, fields in events if kind == "lost"]


def test_a_node_of_another_class_that_joins_later_is_avoided(nodes: Nodes, program: Path) -> None:
    relay = Relay(program, "--cpu", "any", **nodes.environment, RAY_ADDRESS=nodes.address)
    first = relay.read()
    assert first is not None
    assert first[0] == "ready", first
    assert first[1]["slots"] == 1
    # It takes the only CPU; then the only free ones are on the node that joins.
    call = relay.call("whoami", seat=0)
    assert relay.read_until_end_of(call)[call][-1][0] == "done"
    nodes.start(f"--address={nodes.address}", "--num-cpus=2", TEST_CPU="other")
    call = relay.call("whoami", seat=1)
    events = relay.read_until_end_of(call)[call]
    assert events[-1][0] == "done"
    [reason] = losses(events)
    assert re.search(r"has a CPU of another class: other, not any$", reason)
    # Others share the CPU that is left, and lose nothing more.
    calls = [relay.call("whoami", seat=seat) for seat in range(4)]
    came = relay.read_until_end_of(*calls)
    assert all(came[call][-1][0] == "done" and not losses(came[call]) for call in calls)
    assert relay.end() == 0
    # A new relay finds the node, and refuses the cluster.
    relay = Relay(program, "--cpu", "any", **nodes.environment, RAY_ADDRESS=nodes.address)
    first = relay.read()
    assert first is not None
    assert first[0] == "refused"
    assert "has a CPU of the class other, and the run needs any" in first[1]["reason"]
    assert relay.end() == 1


@pytest.mark.parametrize("other", OTHERS)
def test_a_cluster_of_another_ray_or_python_is_refused(
    program: Path, tmp_path_factory: pytest.TempPathFactory, other: str
) -> None:
    acts = f"import sys, ray; {OTHERS[other]}; from ray.scripts.scripts import main; main()"
    # A short name: paths of sockets have at most 107 bytes.
    nodes = Nodes(tmp_path_factory.mktemp("ray"))
    try:
        nodes.start_head(["-c", acts])
        relay = Relay(program, **nodes.environment, RAY_ADDRESS=nodes.address)
        first = relay.read()
        assert relay.end() == 1
    finally:
        nodes.end()
    assert first is not None
    assert first[0] == "refused"
    reason = first[1]["reason"]
    assert re.search(rf"has .*{re.escape(other)}.*, and here is Ray .*; use the same", reason)
