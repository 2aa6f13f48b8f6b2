"""Functions that run on the nodes. Ray ships these functions by value: nodes need no package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from . import programs
from .worker import Event, Worker, WorkerLost

READ_AHEAD = 16
"""Events of a call that may wait on a node."""

LISTEN_S = 0.5
"""Time until an actor without news answers that it has none; then it can be told to stop."""

_SETS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl")


@dataclass(frozen=True)
class Program:
    """The workers' program."""

    sha256: str
    """Its SHA-256, in hexadecimal digits."""
    stored: list[Any]
    """Ray's reference to its bytes, in a list, so that only nodes without the file fetch them."""
    cpu: str | None = None
    """The class of CPU that it shall run on; nothing if all do."""

    def place(self) -> Path:
        """Returns the program's file on this node."""
        return programs.place(self.sha256, lambda: bytes(ray.get(self.stored[0])))


@dataclass(frozen=True)
class Shared:
    """Bytes that calls name by their id."""

    id: str
    """Their SHA-256, in hexadecimal digits."""
    stored: list[Any]
    """Ray's reference to them, in a list, so that only workers that do not hold them fetch them."""


class Bell:
    """An actor: rings for calls that shall stop. Tasks wait for it."""

    def __init__(self) -> None:
        self._rung: dict[int, asyncio.Event] = {}

    async def hears(self, call: int) -> None:
        """Returns when the bell rings for a call, or the call has ended."""
        await self._of(call).wait()

    async def ring(self, calls: list[int]) -> None:
        """Rings for calls, also for tasks that ask later."""
        for call in calls:
            self._of(call).set()

    async def forget(self, call: int) -> None:
        """Forgets a call that has ended."""
        ended = self._rung.pop(call, None)
        if ended is not None:
            ended.set()

    def _of(self, call: int) -> asyncio.Event:
        return self._rung.setdefault(call, asyncio.Event())


_idle: list[Worker] = []
"""The worker of this process of Ray, while it has no call: the next call need not start one."""


def answer(
    program: Program, bell: Any, call: dict[str, Any], shared: Shared | None
) -> Iterator[Event]:
    """A task: yields the events of a call that any worker may answer."""

    def listen(worker: Worker) -> None:
        # Closes the worker's input from another thread; `ray.get` here would give up this CPU.
        rung = bell.hears.remote(call["id"]).future()
        rung.add_done_callback(lambda _: worker.stop(call["id"]))

    yield from _answer(program, call, shared, listen)


class Keeper:
    """An actor: keeps a worker for the calls of its seats, which come one after the other.

    Its caller takes events by asking for more. A stream of Ray's takes twice the time. So does a
    second thread of Ray's, which could hear that a call shall stop.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._call = -1
        self._worker: Worker | None = None
        self._began: list[Event] = []
        self._events: queue.Queue[Event] = queue.Queue()

    def ready(self) -> None:
        """Answers once the actor is there."""

    def answer(self, call: dict[str, Any], shared: Shared | None) -> list[Event]:
        """Gives a call to the worker; returns its first events, as `more`."""
        self._call, self._worker = call["id"], None
        self._events = queue.Queue(READ_AHEAD)
        threading.Thread(target=self._play, args=(call, shared), daemon=True).start()
        return self.more(False)

    def more(self, stop: bool) -> list[Event]:
        """Returns the next events of the call, none if nothing happens for a while.

        With `stop` the worker stops, and the call's last events come soon.
        """
        if stop and self._worker is not None:
            self._worker.stop(self._call)
        events = []
        with contextlib.suppress(queue.Empty):
            events.append(self._events.get(timeout=LISTEN_S))
            while len(events) < READ_AHEAD:
                events.append(self._events.get_nowait())
        # With the next event: a quick call needs one exchange.
        began, self._began = self._began, []
        return began + events

    def _play(self, call: dict[str, Any], shared: Shared | None) -> None:
        def listen(worker: Worker) -> None:
            self._worker = worker

        try:
            for event in _answer(self._program, call, shared, listen):
                if event[0] == "began":
                    self._began = [event]
                else:
                    self._events.put(event)
        except Exception as error:  # else its caller would ask forever
            self._events.put(("lost", f"its actor failed: {error!r}"))


def _answer(
    program: Program,
    call: dict[str, Any],
    shared: Shared | None,
    listen: Callable[[Worker], None],
) -> Iterator[Event]:
    """Shows the worker of this process of Ray to `listen`, then gives it a call.

    Yields `began` with the node and the CPU's class, then the call's events. `misplaced`, with the
    node's id and the reason, is the only event where calls of this run must not be answered.
    """
    try:
        worker = _take(program)
    except (WorkerLost, programs.Untrusted, OSError) as error:
        yield ("lost", str(error))
        return
    is_whole = False
    try:
        node = ray.util.get_node_ip_address()
        if program.cpu is not None and worker.cpu != program.cpu:
            reason = f"{node} has a CPU of another class: {worker.cpu}, not {program.cpu}"
            yield ("misplaced", (ray.get_runtime_context().get_node_id(), reason))
            return
        events = worker.answer(call)
        listen(worker)
        if shared is not None and worker.held != shared.id:
            worker.hold(shared.id, ray.get(shared.stored[0]))
        yield ("began", (node, worker.cpu))
        for event in events:
            is_whole = event[0] in ("done", "failed")
            if is_whole:
                _idle.append(worker)
            yield event
    except ray.exceptions.RayError as error:
        yield ("lost", f"its node did not get the shared bytes: {error}")
    finally:
        if not is_whole:
            worker.end()


def _take(program: Program) -> Worker:
    """Takes the worker without a call, or starts one."""
    while _idle:
        worker = _idle.pop()
        if worker.lives() and worker.sha256 == program.sha256:
            return worker
        worker.end()
    return Worker(program.place(), program.sha256)


def look(program: Program | None) -> dict[str, Any]:
    """Says what this node is like: settings, class of the CPU, versions, and what is wrong."""
    found: dict[str, Any] = {
        "settings": {name: value for name, value in os.environ.items() if name.startswith("RAY_")},
        "python": platform.python_version(),
        "ray": ray.__version__,
        "cpu": cpu_class(),
        "problem": None,
    }
    # The token itself stays where it is.
    for name in [name for name in found["settings"] if "TOKEN" in name]:
        del found["settings"][name]
    if program is not None:
        try:
            worker = Worker(program.place(), program.sha256)
            found["cpu"] = worker.cpu
            worker.end()
        except (WorkerLost, programs.Untrusted, OSError) as error:
            found["problem"] = str(error)
    return found


def nothing() -> None:
    """Takes a slot for a moment."""


def cpu_class() -> str:
    """Class of this CPU, as workers name it: equal classes compute equal bits."""
    name = platform.machine()
    if name != "x86_64":
        return name
    flags: set[str] = set()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        line = next((line for line in lines if line.startswith("flags")), "")
        flags = set(line.split())
    return "+".join([name, *(one.replace("_", ".") for one in _SETS if one in flags)])
