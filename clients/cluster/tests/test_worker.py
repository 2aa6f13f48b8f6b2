from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from conftest import lives

from strategic_memory_cluster.programs import digest
from strategic_memory_cluster.worker import Worker, WorkerLost


def start(program: Path) -> Worker:
    return Worker(program, digest(program.read_bytes()))


def call(name: str, number: int, checkpoint: bytes | None = None) -> dict[str, Any]:
    fields = {"id": 5, "name": name, "body": bytes([number]), "checkpoint": checkpoint}
    return {**fields, "shared": None, "seat": None}


def test_a_worker_answers_with_parts_and_a_result(program: Path) -> None:
    worker = start(program)
    assert worker.cpu == "any"
    events = list(worker.answer(call("count", 3, b"\x01")))
    parts = [content for kind, content in events if kind == "part"]
    assert [body for is_checkpoint, body in parts if is_checkpoint] == [b"\x02", b"\x03"]
    assert events[-1] == ("done", b"\x03\x01")
    worker.end()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exit", "the worker ended with exit status: 3 (a last word)"),
        ("die", "the worker ended with signal: 9"),
        ("damage", "it sent a frame of 4294967295 bytes; the limit is 1073741824"),
    ],
)
def test_how_a_worker_is_lost_is_said(program: Path, name: str, reason: str) -> None:
    worker = start(program)
    assert list(worker.answer(call(name, 5)))[-1] == ("lost", reason)
    worker.end()


def test_answers_to_other_calls_are_dropped(program: Path) -> None:
    worker = start(program)
    events = list(worker.answer(call("stranger", 1)))
    assert events[-1] == ("done", b"\x01\x00")
    assert b"for another" not in [content for _, content in events]
    worker.end()


def test_a_stopped_worker_sends_what_it_has_and_ends(program: Path) -> None:
    worker = start(program)
    events = worker.answer(call("count", 255))
    pid = 0
    for kind, content in events:
        if kind == "part" and not content[0]:
            pid = int(content[1])
            worker.stop()
            break
    rest = list(events)
    assert rest[-1] == ("stopped", None)
    assert len(rest) < 20
    worker.end()
    assert not lives(pid)


def test_a_worker_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strategic_memory_cluster.worker.PATIENCE_S", 0.2)
    stubborn = tmp_path / "stubborn"
    stubborn.write_text("#!/bin/sh\nsleep 50 & exec sleep 50\n")
    stubborn.chmod(0o700)
    monkeypatch.setattr(Worker, "_greet", lambda *_: "any")
    worker = start(stubborn)
    began = time.monotonic()
    worker.end()
    assert time.monotonic() - began < 5


def test_another_program_is_no_worker(program: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match="another program"):
        Worker(program, "0" * 64)
    with pytest.raises(WorkerLost, match="exit status: 1"):
        Worker(Path("/bin/false"), "")
    with pytest.raises(WorkerLost, match="cannot be started"):
        Worker(tmp_path / "none", "")
