"""A worker's program to test with, and a relay in front of a local Ray."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strategic_memory_cluster import frames, programs

SOURCE = Path(__file__).parent.parent / "src"

WORKER = """#!{python}
# Counts from the checkpoint to the body's number, as a worker does; some calls misbehave.
import hashlib, os, sys, time
sys.path.insert(0, {source!r})
from strategic_memory_cluster import frames
import threading

out = sys.stdout.buffer
def send(kind, **fields):
    out.write(frames.encode(kind, **fields)); out.flush()
own = hashlib.sha256(open(sys.argv[0], "rb").read()).hexdigest()
send("hello", protocol=2, version="1", program=own, cpu=os.environ.get("TEST_CPU", "any"))
ended = threading.Event()
calls, held = [], []
def read():
    while (frame := frames.read(sys.stdin.buffer)) is not None:
        if frame[0] == "share":
            assert hashlib.sha256(frame[1]["body"]).hexdigest() == frame[1]["id"]
            held.append(frame[1]["id"])
        else:
            calls.append(frame[1])
    ended.set()
threading.Thread(target=read, daemon=True).start()
while not ended.is_set():
    if not calls:
        time.sleep(0.002)
        continue
    call = calls.pop(0)
    name, number = call["name"], call["body"][0] if call["body"] else 0
    first = call["checkpoint"][0] if call["checkpoint"] else 0
    if name == "echo":
        send("done", id=call["id"], body=call["body"])
        continue
    if name == "whoami":
        # Its process, all shares that it has received, and whether it holds the call's.
        fits = call["shared"] is None or held[-1:] == [call["shared"]]
        told = [str(os.getpid()), str(os.getppid()), str(fits), *held]
        send("done", id=call["id"], body=" ".join(told).encode())
        continue
    if name == "exit":
        print("a last word", file=sys.stderr, flush=True)
        os._exit(3)
    if name == "damage":
        out.write(b"\\xff" * 8); out.flush()
        time.sleep(60)
    if name == "stranger":
        send("done", id=call["id"] + 1, body=b"for another")
    if name == "fail":
        send("failed", id=call["id"], reason="on request")
        continue
    for count in range(first + 1, number + 1):
        if ended.is_set():
            break
        send("part", id=call["id"], is_checkpoint=True, body=bytes([count]))
        send("part", id=call["id"], is_checkpoint=False, body=str(os.getpid()).encode())
        if name == "die" and count == 3 and first == 0:
            os.kill(os.getpid(), 9)
        time.sleep(0.02)
    else:
        send("done", id=call["id"], body=bytes([number, first]))
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of a worker that counts."""
    path = tmp_path_factory.mktemp("program") / "worker"
    path.write_text(WORKER.format(python=sys.executable, source=str(SOURCE)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Relay:
    """A relay, as the benchmark starts it."""

    def __init__(self, program: Path, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "strategic_memory_cluster",
                "relay",
                "--program",
                str(program),
                *arguments,
            ],
            env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._last = 0

    def call(self, name: str, number: int = 0, checkpoint: bytes | None = None, **more: Any) -> int:
        """Sends a call; returns its number."""
        self._last += 1
        fields = {"name": name, "body": bytes([number]), "checkpoint": checkpoint}
        fields |= {"shared": None, "seat": None, **more}
        self.send(frames.encode("call", id=self._last, **fields))
        return self._last

    def share(self, body: bytes) -> str:
        """Sends bytes that the next calls name by what this returns."""
        shared = programs.digest(body)
        self.send(frames.encode("share", id=shared, body=body))
        return shared

    def send(self, content: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def read(self) -> tuple[str, dict[str, Any]] | None:
        assert self.process.stdout is not None
        return frames.read(self.process.stdout)

    def read_until_end_of(self, *calls: int) -> dict[int, list[tuple[str, Any]]]:
        """Reads frames until all of these calls have ended: what came for each."""
        came: dict[int, list[tuple[str, Any]]] = {call: [] for call in calls}
        open_calls = set(calls)
        while open_calls:
            frame = self.read()
            assert frame is not None
            kind, fields = frame
            of = fields.pop("id")
            came[of].append((kind, fields))
            lost = sum(kind == "lost" for kind, _ in came[of])
            if kind in ("done", "failed", "stopped") or lost == 3:
                open_calls.discard(of)
        return came

    def end(self) -> int:
        """Ends the relay's input, and waits for its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        status = self.process.wait(60)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="module")
def relay(program: Path) -> Iterator[Relay]:
    """A relay with a Ray of its own on this machine; one for all tests of a file."""
    relay = Relay(program, RAY_ADDRESS="local")
    first = relay.read()
    assert first is not None
    assert first[0] == "ready", first
    relay.ready = first[1]  # type: ignore[attr-defined]
    yield relay
    assert relay.end() == 0


def wait_for(condition: Any, within_s: float = 20.0) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def kill(pid: int) -> None:
    """Kills a process as a machine without memory does."""
    os.kill(pid, signal.SIGKILL)
