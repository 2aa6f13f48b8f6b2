"""The relay: carries calls from a program's standard streams to the nodes of a cluster.

It checks numbers and lengths, and treats bodies as bytes. It sends a call whose worker is lost
again, with the last checkpoint that came back. Each try has a stream of its own, which
ends when the try is lost: later answers of a cut-off node are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator
from typing import Any, BinaryIO

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from . import frames, nodes, programs
from .calls import Call
from .cluster import Cluster, elsewhere
from .nodes import Shared
from .output import Output
from .seats import Seats
from .worker import Event

TRIES = 3
"""Workers that one call may lose before it fails."""

_LAST_CHECKPOINTS_S = 20.0
"""Time for workers to send their last checkpoints after the end of the input."""

_SEATS = 1 << 16
"""Seats have lower numbers than this: each may have a process."""


class Relay:
    """Answers the calls of one caller, all at once."""

    def __init__(self, cluster: Cluster, output: Output) -> None:
        self._output = output
        self._program = cluster.program
        self._classes = {node.found["cpu"] for node in cluster.nodes if node.found and node.slots}
        self._calls: dict[int, Call] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._shared: Shared | None = None
        self._avoided: set[str] = set()
        self._answer = ray.remote(
            num_cpus=1,
            max_retries=0,
            num_returns="streaming",
            _generator_backpressure_num_objects=nodes.READ_AHEAD,
        )(nodes.answer)
        # On this node, so that no other one takes it along when it dies.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_concurrency": 100_000, "scheduling_strategy": here}
        self._bell = ray.remote(**options)(nodes.Bell).remote()
        self._seats = Seats(cluster.program, self._avoided)

    async def serve(self, stream: BinaryIO) -> None:
        """Answers calls until the input ends; `Damaged` if it is not frames."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        def read() -> None:
            frame: Any = ()
            while frame is not None and not isinstance(frame, frames.Damaged):
                try:
                    frame = frames.read(stream)
                except Exception as error:  # else the relay would wait forever
                    frame = frames.Damaged(str(error) or repr(error))
                loop.call_soon_threadsafe(arrived.put_nowait, frame)

        threading.Thread(target=read, daemon=True).start()
        try:
            while (frame := await arrived.get()) is not None:
                if isinstance(frame, frames.Damaged):
                    raise frame
                self._receive(*frame)
        finally:
            await self._stop_all()

    def _receive(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "call":
            self._receive_call(fields)
        elif kind == "share":
            self._receive_share(fields)
        elif kind == "stop":
            [call_id] = frames.fields_of(fields, id=int)
            call = self._calls.get(call_id)
            if call is not None:
                call.stop.set()
                if call.seat is None:
                    self._bell.ring.remote([call_id])
        else:
            raise frames.Damaged(f"a frame {kind!r}, which callers do not send")

    def _receive_call(self, fields: dict[str, Any]) -> None:
        nothing = type(None)
        [call_id, *_, shared, seat] = frames.fields_of(
            fields,
            id=int,
            name=str,
            body=bytes,
            checkpoint=(bytes, nothing),
            shared=(str, nothing),
            seat=(int, nothing),
        )
        if call_id in self._calls:
            raise frames.Damaged(f"a second call {call_id}")
        if seat is not None and not 0 <= seat < _SEATS:
            raise frames.Damaged(f"a call of the seat {seat}; the limit is {_SEATS}")
        if shared is not None and (self._shared is None or self._shared.id != shared):
            raise frames.Damaged("a call that names another share than the latest")
        self._calls[call_id] = Call(fields, self._shared if shared is not None else None)
        self._tasks[call_id] = asyncio.create_task(self._carry(call_id))

    def _receive_share(self, fields: dict[str, Any]) -> None:
        """Keeps shared bytes in Ray's store. The calls that name others keep theirs there."""
        [shared, body] = frames.fields_of(fields, id=str, body=bytes)
        if programs.digest(body) != shared:
            raise frames.Damaged("a share whose id is not the SHA-256 of its body")
        if self._shared is None or self._shared.id != shared:
            self._shared = Shared(shared, [ray.put(body)])

    async def _carry(self, call_id: int) -> None:
        """Carries a call until it has an answer, or has lost its last worker."""
        call = self._calls[call_id]
        try:
            for _ in range(TRIES):
                reason = await self._try(call)
                if reason is None:
                    return
                if call.stop.is_set():
                    self._output.send("stopped", id=call_id)
                    return
                self._output.send("lost", id=call_id, reason=reason)
        except frames.Damaged as error:
            self._output.send("failed", id=call_id, reason=f"the answer does not fit: {error}")
        except Exception as error:  # else its caller would wait forever
            self._output.send("failed", id=call_id, reason=f"the relay failed: {error!a}")
        finally:
            if call.seat is None:
                self._bell.forget.remote(call_id)
            del self._calls[call_id], self._tasks[call_id]

    async def _try(self, call: Call) -> str | None:
        """Gives a call to a worker. Returns why that was lost; `None` if it has answered."""
        source = self._task(call) if call.seat is None else self._seats.answer(call)
        try:
            async with contextlib.aclosing(source) as events:
                async for kind, content in events:
                    if kind == "began":
                        self._compare(*content)
                    elif kind == "misplaced":
                        [node_id, reason] = content
                        self._avoided.add(node_id)
                        return str(reason)
                    elif self._pass_on(call, kind, content):
                        return None if kind != "lost" else str(content)
        except ray.exceptions.RayError as error:
            return why(error)
        return "its task ended without an answer"

    async def _task(self, call: Call) -> AsyncGenerator[Event, None]:
        """Has a call answered by a task of Ray."""
        events = self._answer.options(**elsewhere(self._avoided)).remote(
            self._program, self._bell, call.fields, call.shared
        )
        stopper = asyncio.create_task(self._cancel_if_waiting(call, events))
        try:
            async for reference in events:
                event = await reference
                # From now on the bell reaches it.
                stopper.cancel()
                yield event
        finally:
            stopper.cancel()

    def _pass_on(self, call: Call, kind: str, content: Any) -> bool:
        """Sends an event to the caller. Returns whether it is the last of this try."""
        call_id = call.fields["id"]
        if kind == "part":
            is_checkpoint, body = content
            if is_checkpoint:
                call.fields["checkpoint"] = body
            self._output.send("part", id=call_id, is_checkpoint=is_checkpoint, body=body)
            return False
        if kind == "done":
            self._output.send("done", id=call_id, body=content)
        elif kind == "failed":
            self._output.send("failed", id=call_id, reason=content)
        elif kind == "stopped":
            self._output.send("stopped", id=call_id)
        return True

    async def _cancel_if_waiting(self, call: Call, events: Any) -> None:
        """Takes a call back that is stopped before a worker has it."""
        await call.stop.wait()
        ray.cancel(events)

    def _compare(self, node: str, cpu: str) -> None:
        """Warns of a node that joined later and has another CPU."""
        if self._classes and cpu not in self._classes:
            self._output.send(
                "warning",
                text=f"{node} has a CPU of another class ({cpu}): the last bits may differ",
            )
            self._classes.add(cpu)

    async def _stop_all(self) -> None:
        """Lets all workers send their last checkpoints and end."""
        if not self._calls:
            return
        self._bell.ring.remote([id for id, call in self._calls.items() if call.seat is None])
        for call in self._calls.values():
            call.stop.set()
        tasks = list(self._tasks.values())
        await asyncio.wait(tasks, timeout=_LAST_CHECKPOINTS_S)


def why(error: BaseException) -> str:
    """Says in one sentence how Ray lost a call."""
    first = str(error).strip().split("\n")[0]
    name = type(error).__name__
    known = {
        "NodeDiedError": "its node died",
        "WorkerCrashedError": "the process that watched its worker died",
        "LocalRayletDiedError": "its node died",
        "ActorDiedError": "its node died, or the process there that watched its worker",
        "ActorUnavailableError": "its node could not be reached",
        "OutOfMemoryError": "its node ran out of memory",
        "TaskCancelledError": "it was taken back",
    }
    return known.get(name, f"{name}: {first[:300]}")
