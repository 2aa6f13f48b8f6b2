"""The relay with a local Ray."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCE, Relay, kill, lives, wait_for

from strategic_memory_cluster import frames, programs

ANY_CALL = {"id": 1, "name": "echo", "body": b"", "checkpoint": None}


def checkpoints(events: list[tuple[str, Any]]) -> list[int]:
    parts = [fields for kind, fields in events if kind == "part"]
    return [fields["body"][0] for fields in parts if fields["is_checkpoint"]]


def pids(events: list[tuple[str, Any]]) -> list[int]:
    parts = [fields for kind, fields in events if kind == "part"]
    return [int(fields["body"]) for fields in parts if not fields["is_checkpoint"]]


def first_worker(relay: Relay) -> tuple[int, int]:
    """Reads until the only call has a worker: its process id, and the last checkpoint."""
    last = 0
    while True:
        frame = relay.read()
        assert frame is not None
        kind, fields = frame
        assert kind == "part"
        if not fields["is_checkpoint"]:
            return int(fields["body"]), last
        last = fields["body"][0]


def test_it_says_what_it_has(relay: Relay, program: Path) -> None:
    ready = relay.ready  # type: ignore[attr-defined]
    assert ready["program"] == programs.digest(program.read_bytes())
    assert ready["protocol"] == frames.PROTOCOL
    assert ready["slots"] >= 1
    assert ready["nodes"] == 1
    assert ready["warnings"] == []


def test_many_calls_are_answered_at_once(relay: Relay) -> None:
    calls = [relay.call("count", number, b"\x01") for number in range(2, 8)]
    failing = relay.call("fail")
    came = relay.read_until_end_of(*calls, failing)
    for number, call in zip(range(2, 8), calls, strict=True):
        assert checkpoints(came[call]) == list(range(2, number + 1))
        assert came[call][-1] == ("done", {"body": bytes([number, 1])})
    assert came[failing] == [("failed", {"reason": "on request"})]


def test_a_worker_takes_one_call_after_the_other(relay: Relay) -> None:
    workers: set[int] = set()
    slots = relay.ready["slots"]  # type: ignore[attr-defined]
    for _ in range(2 * slots + 2):
        call = relay.call("count", 1)
        workers.update(pids(relay.read_until_end_of(call)[call]))
    assert len(workers) <= slots + 1


def test_a_lost_call_continues_from_its_checkpoint(relay: Relay) -> None:
    call = relay.call("die", 30)
    events = relay.read_until_end_of(call)[call]
    assert [kind for kind, _ in events if kind != "part"] == ["lost", "done"]
    assert events[-1][1]["body"] == b"\x1e\x03"
    assert checkpoints(events) == list(range(1, 31))
    assert len(set(pids(events))) == 2


def test_a_call_continues_when_the_process_of_ray_is_killed(relay: Relay) -> None:
    call = relay.call("count", 100)
    worker, before = first_worker(relay)
    # A command's name may have spaces; the parent's number is the second word after it.
    kill(int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1]))
    events = relay.read_until_end_of(call)[call]
    assert [kind for kind, _ in events if kind != "part"] == ["lost", "done"]
    target, first = events[-1][1]["body"]
    assert (target, first >= before) == (100, True)
    assert checkpoints(events)[-1] == 100
    wait_for(lambda: not lives(worker))


def test_three_lost_workers_end_a_call(relay: Relay) -> None:
    call, damaging = relay.call("exit"), relay.call("damage")
    came = relay.read_until_end_of(call, damaging)
    reason = "the worker ended with exit status: 3 (a last word)"
    assert came[call] == [("lost", {"reason": reason})] * 3
    assert [kind for kind, _ in came[damaging]] == ["lost"] * 3
    assert "the limit is" in came[damaging][0][1]["reason"]


def test_stop_reaches_running_and_waiting_calls(relay: Relay) -> None:
    slots = relay.ready["slots"]  # type: ignore[attr-defined]
    calls = [relay.call("count", 255) for _ in range(slots + 1)]
    begun: set[int] = set()
    while len(begun) < slots:
        frame = relay.read()
        assert frame is not None
        begun.add(frame[1]["id"])
    for call in calls:
        relay.send(frames.encode("stop", id=call))
    came = relay.read_until_end_of(*calls)
    for call in calls:
        assert came[call][-1] == ("stopped", {})
        assert len(checkpoints(came[call])) < 200
    again = relay.call("count", 1)
    assert relay.read_until_end_of(again)[again][-1][0] == "done"


def test_the_end_of_the_input_stops_everything(program: Path) -> None:
    relay = Relay(program, RAY_ADDRESS="local")
    first = relay.read()
    assert first is not None
    assert first[0] == "ready"
    call = relay.call("count", 255)
    worker, _ = first_worker(relay)
    assert relay.process.stdin is not None
    relay.process.stdin.close()
    events = relay.read_until_end_of(call)[call]
    assert events[-1] == ("stopped", {})
    assert relay.end() == 0
    wait_for(lambda: not lives(worker))


def test_a_killed_relay_takes_its_workers_along(program: Path) -> None:
    relay = Relay(program, RAY_ADDRESS="local")
    assert relay.read() is not None
    relay.call("count", 255)
    worker, _ = first_worker(relay)
    kill(relay.process.pid)
    relay.end()
    wait_for(lambda: not lives(worker))


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frames.encode("done", id=1, body=b""),
        frames.encode("call", id=1),
        frames.encode("share", id="0" * 64, body=b"other"),
        frames.encode("share", id=programs.digest(b"").upper(), body=b""),
        frames.encode("share", id=programs.digest(b"old"), body=b"old")
        + frames.encode("share", id=programs.digest(b"new"), body=b"new")
        + frames.encode("call", **ANY_CALL, shared=programs.digest(b"old"), seat=0),
        frames.encode("call", **ANY_CALL, shared=programs.digest(b"never sent"), seat=None),
        frames.encode("call", **ANY_CALL, shared=None, seat=-1),
    ],
)
def test_a_damaged_frame_of_the_caller_ends_the_relay(program: Path, content: bytes) -> None:
    relay = Relay(program, RAY_ADDRESS="local")
    assert relay.read() is not None
    relay.send(content)
    assert relay.read() is None
    assert relay.end() == 1


def test_another_class_of_cpu_than_the_callers_is_refused(program: Path) -> None:
    relay = Relay(program, "--cpu", "odd", RAY_ADDRESS="local")
    first = relay.read()
    assert first is not None
    assert first[0] == "refused"
    assert "has a CPU of the class any, and the run needs odd" in first[1]["reason"]
    assert relay.end() == 1


def test_no_cluster_is_said_at_once(program: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    relay = Relay(program, RAY_ADDRESS=free)
    first = relay.read()
    assert first is not None
    assert first[0] == "refused"
    assert f"no cluster at RAY_ADDRESS={free}" in first[1]["reason"]
    assert relay.end() == 1


def test_check_prints_nodes_and_slots() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "strategic_memory_cluster", "check"],
        env={"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin", "RAY_ADDRESS": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "nodes    1" in checked.stdout
    assert "x86_64" in checked.stdout or "aarch64" in checked.stdout
