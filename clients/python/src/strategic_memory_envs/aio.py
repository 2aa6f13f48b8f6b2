"""Environments for asyncio: many on one event loop, each with its own request in flight."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from gymnasium.error import ClosedEnvironmentError
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from . import _process, _settings
from ._bodies import (
    Fields,
    Info,
    Seeds,
    Single,
    StepResult,
    Vector,
    VectorStepResult,
    check_seed,
    creation,
)
from ._codec import Encoding
from ._connection import Connection
from ._http import Endpoint, Reply, ReplyReader, Template
from ._remote import CLOSE_POLICY, check_closed, opening
from ._retry import Attempts, RetryPolicy, doubt_about, log, problem_of, retry_after_s
from ._server import check_running
from ._session import Kind, Session
from ._settings import Settings
from .env import read_picture
from .errors import ProtocolError, ServerProblem, StrategicMemoryError
from .vector import vector_creation

_ABANDON_TIMEOUT_S = 1.0

_Bodies = TypeVar("_Bodies", Single, Vector)
_Self = TypeVar("_Self", bound="_AsyncRemote[Any]")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Channel(asyncio.BufferedProtocol):
    """One connection: a request, then its reply."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = ReplyReader()
        self._waiter: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self.is_usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_usable = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = self._loop.time()
        try:
            reply = self._reader.fed(nbytes)
        except ProtocolError as error:
            self._fail(error)
            return
        if reply is None:
            return
        if reply.head.closes or self._waiter is None:
            self.drop()
        self._answer(reply)

    def eof_received(self) -> None:
        try:
            reply = self._reader.eof()
        except ConnectionResetError as error:
            self._fail(error)
        else:
            self._answer(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the connection ended before the reply did"))

    def _answer(self, reply: Reply) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _fail(self, error: Exception) -> None:
        self.drop()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    async def exchange(self, request: bytes, timeout_s: float) -> Reply:
        assert self._transport is not None
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter = waiter
        self._heard = self._loop.time()
        self._listen(timeout_s, timeout_s)
        try:
            self._transport.write(request)
            return await waiter
        except BaseException:
            # Also when cancelled: a late reply must not be taken for that of the next request.
            self.drop()
            raise
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    def _listen(self, timeout_s: float, rest_s: float) -> None:
        self._alarm = self._loop.call_later(rest_s, self._check_silence, timeout_s)

    def _check_silence(self, timeout_s: float) -> None:
        """Gives up if no part of the reply has arrived for `timeout_s` seconds."""
        rest_s = self._heard + timeout_s - self._loop.time()
        if rest_s > 0:
            self._listen(timeout_s, rest_s)
        else:
            self._fail(TimeoutError(f"nothing came for {timeout_s} s"))

    def drop(self) -> None:
        """Closes the connection, even if its event loop has ended, or runs in another thread."""
        self.is_usable = False
        transport, self._transport = self._transport, None
        if transport is None:
            return
        if _running_loop() is self._loop:
            transport.abort()
            return
        try:
            self._loop.call_soon_threadsafe(transport.abort)
        except RuntimeError:
            # The loop is closed and can no longer abort the transport. Tell the server here. The
            # descriptor is closed with the transport, which would warn about it.
            connected = transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                del transport


class _AsyncRemote(Generic[_Bodies]):
    """Base of the two asynchronous environments.

    One event loop at a time plays an environment. Another loop may continue with it, as the next
    `asyncio.run` of a script or a notebook does; it opens its own connection.
    """

    _is_open = False
    _bodies: _Bodies
    __reduce__ = _settings.refuse_copy

    def __init__(
        self,
        settings: Settings,
        kind: Kind,
        env_id: str | None,
        render_mode: str | None,
        wanted: Fields,
    ) -> None:
        _settings.check_render_mode(render_mode)
        self.render_mode = render_mode
        self._settings = settings
        self._kind: Kind = kind
        self._env_id = env_id
        self._wanted = wanted
        self._channel: _Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Lock()
        self._session: Session | None = None
        self._endpoint: Endpoint | None = None
        self._generation = _process.generation

    def _read_description(self, description: Fields) -> None:
        raise NotImplementedError

    async def open(self: _Self) -> _Self:
        """Creates the environment. `async with` does so too.

        Raises:
            ServerProblem, ServerUnreachable, LocalServerError: as for `RemoteEnv`.
        """
        session = self._session
        if session is None:
            # This may have to start a server, which takes a moment.
            place = await asyncio.to_thread(self._settings.session, self._kind, self._env_id)
            self._endpoint, session = place
            self._session = session
        template = session.put
        request = template.render(session.codec.dumps(self._wanted))
        async with self._lock:
            try:
                reply = await self._send(request, template, opening(self._settings.retry))
                self._read_description(session.accept(reply))
            except BaseException:
                self._drop()
                raise
            self._is_open = True
        return self

    async def close(self) -> None:
        """Closes the environment here and on the server. Closing again does nothing."""
        if not self._is_open or self._generation != _process.generation:
            return
        async with self._lock:
            self._is_open = False
            assert self._session is not None
            template = self._session.delete
            try:
                check_closed(await self._send(template.render(b""), template, CLOSE_POLICY))
            except (OSError, ServerProblem, ProtocolError) as error:
                log.warning("%s was not closed on the server: %s", self._session.env_id, error)
            finally:
                self._drop()

    @property
    def _lock(self) -> asyncio.Lock:
        """The lock for calls in the running event loop, which becomes the environment's loop.

        Raises:
            StrategicMemoryError: an event loop in another thread is using the environment.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None and self._loop.is_running() and self._turns.locked():
                raise StrategicMemoryError(
                    "the environment is being played in another event loop: wait for that one"
                )
            self._drop()
            self._loop, self._turns = loop, asyncio.Lock()
        return self._turns

    def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.drop()

    def __del__(self) -> None:
        # At the end of the process even modules may be gone.
        with contextlib.suppress(Exception):
            if self._generation != _process.generation:
                return
            self._drop()
            if self._is_open:
                self._abandon()

    def _abandon(self) -> None:
        """Closes the environment on the server, over a separate connection.

        If an event loop is running, a thread does it, and `asyncio.run` waits for the thread.
        """
        assert self._session is not None
        assert self._endpoint is not None
        connection = Connection(self._endpoint, _ABANDON_TIMEOUT_S, self._settings.ssl_context)
        request = self._session.delete.render(b"")
        loop = _running_loop()
        if loop is None:
            connection.exchange_once(request)
            return

        def hand_over() -> None:
            try:
                loop.run_in_executor(None, connection.exchange_once, request)
            except RuntimeError:  # The loop is about to end and accepts no work.
                connection.exchange_once(request)

        # Not immediately: garbage is collected anywhere, even while the executor holds its locks.
        loop.call_soon(hand_over)

    async def __aenter__(self: _Self) -> _Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def env_id(self) -> str:
        """Name of the environment on the server."""
        return self._opened().env_id

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment, including defaults."""
        self._opened()
        return dict(self._bodies.env_kwargs)

    def _opened(self) -> Session:
        if self._generation != _process.generation:
            raise StrategicMemoryError("this environment belongs to the process that has forked")
        if not self._is_open or self._session is None:
            raise ClosedEnvironmentError("the environment is not open: use `async with`")
        return self._session

    async def _channel_to(self, endpoint: Endpoint) -> _Channel:
        loop = asyncio.get_running_loop()
        context: ssl.SSLContext | None = None
        if endpoint.is_tls:
            context = self._settings.ssl_context or ssl.create_default_context()
        _, channel = await asyncio.wait_for(
            loop.create_connection(
                lambda: _Channel(loop), endpoint.host, endpoint.port, ssl=context
            ),
            self._settings.timeout_s,
        )
        return channel

    async def _send(self, request: bytes, template: Template, policy: RetryPolicy) -> Reply:
        assert self._endpoint is not None
        attempts: Attempts | None = None
        while True:
            channel, wait_s = self._channel, 0.0
            was_open = channel is not None and channel.is_usable
            try:
                if channel is None or not was_open:
                    channel = self._channel = await self._channel_to(self._endpoint)
                reply = await channel.exchange(request, self._settings.timeout_s)
            except ssl.SSLCertVerificationError:
                raise
            except (OSError, asyncio.TimeoutError) as error:
                check_running(str(self._endpoint))
                cause: Exception = error
            else:
                if reply.head.status < 300:
                    return reply
                problem = doubt_about(reply)
                if problem is None:
                    return reply
                cause, wait_s, was_open = problem, retry_after_s(reply), False
            if attempts is None:
                attempts = Attempts(policy, template.name)
            await asyncio.sleep(attempts.pause_s(cause, wait_s=wait_s, was_stale=was_open))

    async def _operate(self, which: str, fields: Fields) -> Fields:
        self._opened()
        async with self._lock:
            session = self._opened()
            template = session.reset if which == "reset" else session.step
            policy = self._settings.retry
            request = session.operation(template, fields)
            if session.in_doubt is not None and session.in_doubt != request:
                session.settle(await self._send(session.in_doubt, template, policy))
                request = session.operation(template, fields)
            session.in_doubt = request
            reply = await self._send(request, template, policy)
            session.in_doubt = None
            return session.accept(reply)

    async def _picture(self, lane: int | None = None) -> str | NDArray[np.uint8] | None:
        if self.render_mode is None:
            return None
        accept = _settings.PICTURES[self.render_mode]
        async with self._lock:
            template = self._opened().picture(accept, lane)
            reply = await self._send(template.render(b""), template, self._settings.retry)
            if reply.head.status >= 300:
                raise problem_of(reply)
            if reply.head.media_type != accept:
                raise ProtocolError(f"the picture is {reply.head.media_type}, not {accept}")
            return read_picture(bytes(reply.body), self.render_mode)


class AsyncRemoteEnv(_AsyncRemote[Single]):
    """`RemoteEnv` with coroutines: `async with AsyncRemoteEnv("MemoryTask-v0") as env`.

    The arguments, results and exceptions are those of `RemoteEnv`. A step that was cancelled may
    have been applied; repeating the same step continues with it.
    """

    def __init__(
        self,
        spec_id: str,
        *,
        server: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        render_mode: str | None = None,
        seed: int | None = None,
        env_id: str | None = None,
        ttl_s: int | None = None,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        encoding: Encoding = "msgpack",
        ssl_context: ssl.SSLContext | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        wanted = creation(spec_id, _settings.join_kwargs(env_kwargs, kwargs), ttl_s)
        if seed is not None:
            wanted["seed"] = check_seed(seed)
        settings = Settings(
            server, token, token_file, timeout_s, retry or RetryPolicy(), encoding, ssl_context
        )
        super().__init__(settings, "envs", env_id, render_mode, wanted)

    def _read_description(self, description: Fields) -> None:
        self._bodies = Single(description)
        self.observation_space = self._bodies.observation_space
        self.action_space = self._bodies.action_space

    async def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Begins an episode."""
        self._opened()
        fields = self._bodies.reset_fields(seed, options)
        return self._bodies.read_reset(await self._operate("reset", fields))

    async def step(self, action: Any) -> StepResult:
        """Takes an action."""
        self._opened()
        fields = self._bodies.step_fields(action)
        return self._bodies.read_step(await self._operate("step", fields))

    async def render(self) -> str | NDArray[np.uint8] | None:
        """Returns a picture of the current state, or None without a render mode."""
        return await self._picture()


class AsyncRemoteVectorEnv(_AsyncRemote[Vector]):
    """`RemoteVectorEnv` with coroutines; arguments, results and exceptions are the same."""

    def __init__(
        self,
        spec_id: str,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        server: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        render_mode: str | None = None,
        seed: int | Sequence[int] | None = None,
        env_id: str | None = None,
        ttl_s: int | None = None,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        encoding: Encoding = "msgpack",
        ssl_context: ssl.SSLContext | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        wanted = vector_creation(
            spec_id,
            num_envs,
            _settings.join_kwargs(env_kwargs, kwargs),
            autoreset_mode=autoreset_mode,
            seed=seed,
            ttl_s=ttl_s,
        )
        settings = Settings(
            server, token, token_file, timeout_s, retry or RetryPolicy(), encoding, ssl_context
        )
        super().__init__(settings, "vector-envs", env_id, render_mode, wanted)

    def _read_description(self, description: Fields) -> None:
        bodies = self._bodies = Vector(description)
        self.num_envs = bodies.num_envs
        self.single_observation_space = bodies.single_observation_space
        self.single_action_space = bodies.single_action_space
        self.observation_space = bodies.observation_space
        self.action_space = bodies.action_space
        self.metadata = {"autoreset_mode": bodies.autoreset_mode}

    async def reset(
        self,
        *,
        seed: Seeds = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Info]:
        """Begins episodes in all lanes, or in those of `options["reset_mask"]`."""
        self._opened()
        plan = self._bodies.reset_fields(seed, options)
        replies = [await self._operate("reset", fields) for fields in plan]
        return self._bodies.read_resets(replies)

    async def step(self, actions: Any) -> VectorStepResult:
        """Takes an action in every lane."""
        self._opened()
        fields = self._bodies.step_fields(actions)
        return self._bodies.read_step(await self._operate("step", fields))

    async def render(self) -> tuple[Any, ...] | None:
        """A picture of each lane's present state, None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple([await self._picture(lane) for lane in range(self.num_envs)])
