"""Seats and shares, with a local Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SOURCE, Relay, kill, lives, wait_for

from strategic_memory_cluster import frames


@pytest.fixture(scope="module")
def seats(program: Path) -> Iterator[Relay]:
    """A relay with a Ray of its own; one for all tests of this file, in their order."""
    relay = Relay(program, RAY_ADDRESS="local")
    first = relay.read()
    assert first is not None
    assert first[0] == "ready", first
    yield relay
    assert relay.end() == 0


class Told:
    """The body of an answer to `whoami`."""

    def __init__(self, body: bytes) -> None:
        pid, parent, fits, *self.received = body.decode().split()
        self.pid, self.parent, self.fits = int(pid), int(parent), fits == "True"


def ask(relay: Relay, seat: int | None, shared: str | None = None, losses: int = 0) -> Told:
    """Asks the worker of a seat who it is, which takes so many lost workers."""
    call = relay.call("whoami", seat=seat, shared=shared)
    events = relay.read_until_end_of(call)[call]
    assert [kind for kind, _ in events] == ["lost"] * losses + ["done"], events
    return Told(events[-1][1]["body"])


def renew(relay: Relay, seat: int) -> None:
    """Kills a seat's worker: the next one holds nothing."""
    old = ask(relay, seat)
    kill(old.pid)
    wait_for(lambda: not lives(old.pid))


def test_calls_without_a_seat_get_their_share_too(seats: Relay) -> None:
    # The first test: later, seats have all CPUs.
    shared = seats.share(b"x" * 200_000)
    told = ask(seats, None, shared)
    assert (told.fits, told.received) == (True, [shared])


def test_a_seat_keeps_its_worker_and_a_worker_its_share(seats: Relay) -> None:
    renew(seats, 0)
    renew(seats, 1)
    first = seats.share(b"first" * 100_000)
    told = ask(seats, 0, first)
    assert (told.fits, told.received) == (True, [first])
    assert ask(seats, 0, first).received == [first]
    # The same bytes again are no other share; a call may need none.
    assert seats.share(b"first" * 100_000) == first
    assert ask(seats, 0).received == [first]
    again = ask(seats, 0, first)
    assert (again.pid, again.received) == (told.pid, [first])
    second = seats.share(b"second")
    assert ask(seats, 0, second).received == [first, second]
    # Another seat has another worker, which receives what it needs.
    other = ask(seats, 1, second)
    assert other.received == [second]
    assert other.pid != told.pid
    assert ask(seats, 0, second).pid == told.pid
    # A killed worker costs nothing where no call has it; the new one receives the share again.
    kill(told.pid)
    wait_for(lambda: not lives(told.pid))
    new = ask(seats, 0, second)
    assert new.pid != told.pid
    assert new.parent == told.parent
    assert new.received == [second]


def test_a_lost_worker_and_a_lost_actor_are_replaced(seats: Relay) -> None:
    shared = seats.share(b"bytes")
    old = ask(seats, 1, shared)
    call = seats.call("die", 30, seat=1, shared=shared)
    events = seats.read_until_end_of(call)[call]
    assert [kind for kind, _ in events if kind != "part"] == ["lost", "done"]
    assert events[-1][1]["body"] == b"\x1e\x03"
    new = ask(seats, 1, shared)
    assert (new.pid != old.pid, new.parent == old.parent) == (True, True)
    assert new.received == [shared]
    # The process of Ray dies, and its worker with it.
    call = seats.call("count", 100, seat=1, shared=shared)
    frame = seats.read()
    assert frame is not None
    assert frame[0] == "part"
    kill(new.parent)
    events = seats.read_until_end_of(call)[call]
    assert [kind for kind, _ in events if kind != "part"] == ["lost", "done"]
    assert events[-1][1]["body"][1] > 0
    wait_for(lambda: not lives(new.pid))
    newest = ask(seats, 1, shared)
    assert newest.parent != new.parent
    assert newest.received == [shared]
    # Without a call, its death is noticed by the next one.
    kill(newest.parent)
    wait_for(lambda: not lives(newest.parent))
    call = seats.call("whoami", seat=1, shared=shared)
    events = seats.read_until_end_of(call)[call]
    assert events[-1][0] == "done"
    # Three lost workers end a call, and nothing else.
    call = seats.call("exit", seat=1)
    reason = "the worker ended with exit status: 3 (a last word)"
    assert seats.read_until_end_of(call)[call] == [("lost", {"reason": reason})] * 3
    assert ask(seats, 1, shared).received == [shared]


def test_calls_in_flight_keep_the_share_they_name(seats: Relay) -> None:
    renew(seats, 0)
    first = seats.share(b"1" * 300_000)
    # It waits behind another call of its seat while a new share comes.
    before = seats.call("count", 10, seat=0)
    waiting = seats.call("whoami", seat=0, shared=first)
    second = seats.share(b"2" * 300_000)
    last = seats.call("whoami", seat=0, shared=second)
    came = seats.read_until_end_of(before, waiting, last)
    told = Told(came[waiting][-1][1]["body"])
    assert (told.fits, told.received) == (True, [first])
    assert Told(came[last][-1][1]["body"]).received == [first, second]


def test_stop_reaches_calls_of_seats(seats: Relay) -> None:
    running = seats.call("count", 255, seat=0)
    waiting = seats.call("count", 255, seat=0)
    frame = seats.read()
    assert frame is not None
    assert frame[1]["id"] == running
    seats.send(frames.encode("stop", id=waiting))
    frame = seats.read()
    while frame is not None and frame[0] == "part":
        assert frame[1]["id"] == running
        frame = seats.read()
    assert frame == ("stopped", {"id": waiting})
    seats.send(frames.encode("stop", id=running))
    events = seats.read_until_end_of(running)[running]
    assert events[-1] == ("stopped", {})
    assert len(events) < 255
    early = seats.call("count", 255, seat=1)
    seats.send(frames.encode("stop", id=early))
    assert seats.read_until_end_of(early)[early][-1] == ("stopped", {})
    assert ask(seats, 0).received == []


def test_more_seats_than_cpus_share_actors(seats: Relay) -> None:
    many = (os.cpu_count() or 1) + 3
    shared = seats.share(b"bytes")
    calls = [seats.call("whoami", seat=seat, shared=shared) for seat in range(many)]
    came = seats.read_until_end_of(*calls)
    told = [Told(came[call][-1][1]["body"]) for call in calls]
    assert all(one.fits for one in told)
    pids = {one.pid for one in told}
    assert 1 <= len(pids) < many
    # From now on each goes to the same worker, and at once.
    assert {ask(seats, seat, shared).pid for seat in range(many)} == pids
    # A lost actor's seats find others.
    kill(told[0].parent)
    wait_for(lambda: not lives(told[0].parent))
    calls = [seats.call("count", 2, seat=seat) for seat in range(many)]
    came = seats.read_until_end_of(*calls)
    assert all(events[-1][0] == "done" for events in came.values())


def test_the_end_of_the_input_stops_seats(program: Path) -> None:
    relay = Relay(program, RAY_ADDRESS="local")
    assert relay.read() is not None
    told = ask(relay, 3)
    call, waiting = relay.call("count", 255, seat=3), relay.call("count", 255, seat=3)
    assert relay.read() is not None
    assert relay.process.stdin is not None
    relay.process.stdin.close()
    came = relay.read_until_end_of(call, waiting)
    assert came[call][-1] == ("stopped", {})
    assert any(fields.get("is_checkpoint") for _, fields in came[call])
    assert came[waiting] == [("stopped", {})]
    assert relay.end() == 0
    wait_for(lambda: not lives(told.pid) and not lives(told.parent))


def test_a_killed_relay_takes_its_actors_along(program: Path) -> None:
    relay = Relay(program, RAY_ADDRESS="local")
    assert relay.read() is not None
    told = ask(relay, 0)
    kill(relay.process.pid)
    relay.end()
    wait_for(lambda: not lives(told.pid) and not lives(told.parent))


MEMORY = """
import argparse, asyncio, io, os, sys
from pathlib import Path
from strategic_memory_cluster import frames, programs, start
from strategic_memory_cluster.output import Output

args = argparse.Namespace(pool_wait_s=60.0, insecure=False, cpu=None)
_, cluster = start.connect(args, Path(sys.argv[1]))
import ray
from strategic_memory_cluster.relay import Relay

core = ray._private.worker.global_worker.core_worker
reading, writing = os.pipe()
relay = Relay(cluster, Output(io.BytesIO()))

async def main():
    serving = asyncio.create_task(relay.serve(os.fdopen(reading, "rb")))
    for number in range(8):
        body = bytes([number]) * 2000
        shared = programs.digest(body)
        os.write(writing, frames.encode("share", id=shared, body=body))
        fields = {"name": "whoami", "body": b"", "checkpoint": None}
        for seat in (None, 0):
            call = {"id": 2 * number + (seat is None), **fields, "shared": shared, "seat": seat}
            os.write(writing, frames.encode("call", **call))
        await asyncio.sleep(0.1)
        while relay._calls:
            await asyncio.sleep(0.05)
        if number > 0:
            # What was given back may take a moment to be counted.
            for _ in range(100):
                kept = len(core.get_all_reference_counts())
                if number == 1 or kept <= first:
                    break
                await asyncio.sleep(0.05)
            first = kept if number == 1 else first
            print(kept, flush=True)
    # The same bytes are stored once.
    last = relay._shared
    os.write(writing, frames.encode("share", id=shared, body=body))
    os.write(writing, frames.encode("call", id=99, **fields, shared=shared, seat=None))
    while 99 not in relay._calls:
        await asyncio.sleep(0.001)
    assert relay._shared is last
    os.close(writing)
    await serving

asyncio.run(main())
"""


def test_a_share_is_stored_once_and_an_old_one_is_dropped(program: Path) -> None:
    measured = subprocess.run(
        [sys.executable, "-c", MEMORY, str(program)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    first, *later = map(int, measured.stdout.split())
    assert first > 0
    assert max(later) <= first
