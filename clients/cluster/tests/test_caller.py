"""The relay without a caller, or with one that it cannot answer."""

from __future__ import annotations

import asyncio
import io
import os
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from conftest import Relay

from strategic_memory_cluster import caller, frames, relay
from strategic_memory_cluster.calls import Call
from strategic_memory_cluster.output import Output


def test_a_caller_is_gone_once_its_pipe_is_closed() -> None:
    ours, theirs = os.pipe()
    assert not caller.is_gone(ours)
    os.write(theirs, b"not read yet")
    assert not caller.is_gone(ours)
    os.close(theirs)
    assert caller.is_gone(ours)
    # The look took nothing away.
    assert os.read(ours, 100) == b"not read yet"
    os.close(ours)


def test_a_relay_whose_caller_is_gone_waits_no_longer_for_a_cpu(program: Path) -> None:
    # A Ray without a CPU never has one free.
    waits = Relay(
        program, "--pool-wait-s", "3600", RAY_ADDRESS="local", RAY_OVERRIDE_RESOURCES='{"CPU": 0}'
    )
    time.sleep(8)
    assert waits.process.poll() is None
    assert waits.end() == 1


def test_a_call_that_the_relay_cannot_carry_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def carried(error: Exception) -> tuple[str, dict[str, Any]] | None:
        async def fail(*_: object) -> None:
            raise error

        wire = io.BytesIO()
        monkeypatch.setattr(relay.Relay, "_try", fail)
        own = relay.Relay.__new__(relay.Relay)
        own._output = Output(cast(BinaryIO, wire))
        own._calls = {7: Call({"id": 7, "seat": 0}, None)}
        own._tasks = {7: cast(Any, None)}
        asyncio.run(own._carry(7))
        assert not own._calls
        wire.seek(0)
        return frames.read(wire)

    reason = "the relay failed: ValueError('odd \\udcff')"
    assert carried(ValueError("odd \udcff")) == ("failed", {"id": 7, "reason": reason})
    assert carried(frames.Damaged("long")) == (
        "failed",
        {"id": 7, "reason": "the answer does not fit: long"},
    )
