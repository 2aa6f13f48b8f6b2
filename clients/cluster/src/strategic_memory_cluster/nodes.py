"""Functions that run on the nodes. Ray ships these functions by value: nodes need no package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from . import programs
from .worker import Event, Worker, WorkerLost

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


def answer(program: Program, bell: Any, call: dict[str, Any]) -> Iterator[Event]:
    """Gives a call to a worker on this node. Yields `began` with the CPU's class, then events."""
    try:
        worker = _take(program)
    except (WorkerLost, programs.Untrusted, OSError) as error:
        yield ("lost", str(error))
        return
    is_whole = False
    try:
        events = worker.answer(call)
        # Closes the worker's input from another thread; `ray.get` here would give up this CPU.
        rung = bell.hears.remote(call["id"]).future()
        rung.add_done_callback(lambda _: worker.stop(call["id"]))
        yield ("began", (ray.util.get_node_ip_address(), worker.cpu))
        for event in events:
            is_whole = event[0] in ("done", "failed")
            yield event
    finally:
        if is_whole:
            _idle.append(worker)
        else:
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
