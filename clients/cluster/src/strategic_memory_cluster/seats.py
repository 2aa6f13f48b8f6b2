"""Seats: calls of the same seat go to the same worker, as long as it lives.

A seat has an actor of Ray, which takes a CPU for as long as the relay lives. Where no CPU is free
it uses another seat's actor until it gets one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import ray

from .calls import Call
from .cluster import elsewhere
from .nodes import Keeper, Program
from .worker import Event

_PATIENCE_S = 10.0
"""Time for an actor to come up until its seat uses another one's."""


class Host:
    """An actor that keeps a worker."""

    def __init__(self, actor: Any) -> None:
        self.turn = asyncio.Lock()
        """Held while it has a call."""
        self.is_lost = False
        self.error: ray.exceptions.RayError | None = None
        """Why it did not come up."""
        self.actor = actor
        self.up = asyncio.create_task(self._come_up())
        """Ends once it takes calls, or is lost."""
        self._asked = asyncio.get_running_loop().time()

    @property
    def is_up(self) -> bool:
        """Whether it takes calls."""
        return self.up.done() and not self.is_lost

    @property
    def patience_s(self) -> float:
        """Time that is left for it to come up."""
        return max(0.0, self._asked + _PATIENCE_S - asyncio.get_running_loop().time())

    def drop(self) -> None:
        """Ends the actor with its worker."""
        if not self.is_lost:
            self.is_lost = True
            ray.kill(self.actor)

    async def _come_up(self) -> None:
        try:
            await self.actor.ready.remote()
        except ray.exceptions.RayError as error:
            self.error = error
            self.drop()


class Seats:
    """The actors of all seats."""

    def __init__(self, program: Program | None, avoided: set[str]) -> None:
        self._program = program
        self._avoided = avoided
        self._own: dict[int, Host] = {}
        self._lent: dict[int, Host] = {}
        self._keeper = ray.remote(
            num_cpus=1, max_restarts=0, max_task_retries=0, enable_task_events=False
        )(Keeper)

    async def answer(self, call: Call) -> AsyncGenerator[Event, None]:
        """Has a call answered by the worker of its seat."""
        while not call.stop.is_set():
            host = await self._find(call)
            if host is None or not await self._take_turn(host, call):
                continue
            try:
                if host.is_lost:  # by the call before this one
                    continue
                async with contextlib.aclosing(_events(host, call)) as events:
                    async for event in events:
                        yield event
                return
            finally:
                host.turn.release()
        yield ("stopped", None)

    async def _find(self, call: Call) -> Host | None:
        """Returns the actor of a call's seat once there is one; nothing if the call stops before.

        Raises Ray's error if the actor does not come up.
        """
        assert call.seat is not None
        own = self._own.get(call.seat)
        if own is None or own.is_lost:
            own = self._own[call.seat] = self._start()
        if not own.up.done():
            await _first(call.stop, [own.up], own.patience_s)
        while not own.up.done():
            if call.stop.is_set():
                return None
            lent = self._lend(call.seat)
            if lent is not None:
                return lent
            await _first(call.stop, [host.up for host in self._own.values() if not host.up.done()])
        self._lent.pop(call.seat, None)
        if own.error is not None:
            raise own.error
        return own

    async def _take_turn(self, host: Host, call: Call) -> bool:
        """Waits until an actor has no call. False if the call stops, or its own actor comes up."""
        if not host.turn.locked():
            return await host.turn.acquire()
        assert call.seat is not None
        turn = asyncio.create_task(host.turn.acquire())
        own = self._own[call.seat].up
        await _first(call.stop, [turn] if own.done() else [turn, own])
        if not turn.done():
            turn.cancel()
            return False
        return True

    def _start(self) -> Host:
        return Host(self._keeper.options(**elsewhere(self._avoided)).remote(self._program))

    def _lend(self, seat: int) -> Host | None:
        """Returns another seat's actor: always the same, at first the one with the fewest seats."""
        lent = self._lent.get(seat)
        if lent is None or lent.is_lost:
            seats = Counter(self._lent.values())
            up = [host for host in self._own.values() if host.is_up]
            lent = min(up, key=lambda host: seats[host], default=None)
            if lent is not None:
                self._lent[seat] = lent
        return lent


async def _events(host: Host, call: Call) -> AsyncGenerator[Event, None]:
    """The events of a call until its last. A worker that is lost alone does not cost the actor."""
    is_kept = False
    try:
        batch = await host.actor.answer.remote(call.fields, call.shared)
        while True:
            for event in batch:
                is_kept = event[0] in ("done", "failed", "stopped", "lost")
                yield event
                if is_kept or event[0] == "misplaced":
                    return
            batch = await host.actor.more.remote(call.stop.is_set())
    finally:
        if not is_kept:
            host.drop()


async def _first(
    stop: asyncio.Event, tasks: list[asyncio.Task[Any]], within_s: float | None = None
) -> None:
    """Waits until one of these tasks has ended, or the event has come."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, stopped], timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
