"""A session over a blocking connection: each operation happens once, even if messages are lost."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from gymnasium.error import ClosedEnvironmentError

from . import _process
from ._connection import Connection
from ._http import Endpoint, Reply, Template
from ._retry import Attempts, RetryPolicy, doubt_about, log, problem_of, retry_after_s
from ._server import check_running
from ._session import Session
from .errors import ProtocolError, ServerProblem, StrategicMemoryError

_T = TypeVar("_T")

OPEN_PATIENCE_S = 10.0
"""Creating gives up after this time, so that a wrong address is reported soon."""
CLOSE_POLICY = RetryPolicy(give_up_after_s=5.0)
"""Closing gives up sooner: an environment that is not closed ends with its lease."""


def opening(policy: RetryPolicy) -> RetryPolicy:
    """Returns the policy for creating an environment."""
    return replace(policy, give_up_after_s=min(policy.give_up_after_s, OPEN_PATIENCE_S))


def send(connection: Connection, request: bytes, name: str, policy: RetryPolicy) -> Reply:
    """Sends a request that may be repeated, until there is an answer.

    Raises:
        ServerUnreachable, ServerProblem: there was no answer for as long as the policy allows.
        ProtocolError: the answer is not HTTP.
        ssl.SSLCertVerificationError: the server's certificate is not valid.
    """
    attempts: Attempts | None = None
    while True:
        was_open = connection.is_open
        wait_s = 0.0
        try:
            reply = connection.exchange(request)
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:
            check_running(connection.url)
            cause: Exception = error
        else:
            if reply.head.status < 300:
                return reply
            problem = doubt_about(reply)
            if problem is None:
                return reply
            cause, wait_s, was_open = problem, retry_after_s(reply), False
        if attempts is None:
            attempts = Attempts(policy, name)
        time.sleep(attempts.pause_s(cause, wait_s=wait_s, was_stale=was_open))


def check_closed(reply: Reply) -> None:
    """Raises the problem of a failed close; an environment that is already closed is no problem."""
    if reply.head.status >= 300 and reply.head.status not in (404, 410):
        raise problem_of(reply)


class Remote:
    """An environment on a server. Threads may share it; they take turns."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: Session,
        *,
        timeout_s: float,
        retry: RetryPolicy,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        self.session = session
        self._retry = retry
        self._connection = Connection(endpoint, timeout_s, ssl_context)
        self._lock = threading.RLock()
        self._generation = _process.generation
        self._is_open = False
        self._is_guest = False

    @property
    def is_foreign(self) -> bool:
        """Whether it belongs to the process from which this one was forked."""
        return self._generation != _process.generation

    def _check_usable(self) -> None:
        if self.is_foreign:
            raise StrategicMemoryError(
                "this environment was made before the process forked and belongs to the parent: "
                "make another one in the child"
            )
        if not self._is_open:
            raise ClosedEnvironmentError("the environment has been closed")

    def open(self, creation: dict[str, Any], read: Callable[[dict[str, Any]], _T]) -> _T:
        """Creates it, or finds it after the same creation before; returns `read(description)`."""
        put = self.session.put
        return self._find(put.render(self.session.codec.dumps(creation)), put, read)

    def attach(self, read: Callable[[dict[str, Any]], _T]) -> _T:
        """Finds an environment that another client has created; `close()` will not close it."""
        self._is_guest = True
        get = self.session.get
        return self._find(get.render(b""), get, read)

    def _find(self, request: bytes, template: Template, read: Callable[[dict[str, Any]], _T]) -> _T:
        try:
            reply = send(self._connection, request, template.name, opening(self._retry))
            description = self.session.accept(reply)
            self._is_open = True
            return read(description)
        except BaseException:
            self.abandon()
            raise

    def operate(self, template: Template, fields: dict[str, Any]) -> dict[str, Any]:
        """Applies an operation once and returns the body of its reply."""
        if self._generation != _process.generation or not self._is_open:
            self._check_usable()
        with self._lock:
            session = self.session
            request = session.operation(template, fields)
            if session.in_doubt is not None and session.in_doubt != request:
                session.settle(self._send(session.in_doubt, template))
                request = session.operation(template, fields)
            session.in_doubt = request
            reply = self._send(request, template)
            session.in_doubt = None
            return session.accept(reply)

    def _send(self, request: bytes, template: Template) -> Reply:
        return send(self._connection, request, template.name, self._retry)

    def picture(self, accept: str, lane: int | None = None) -> bytes:
        """Fetches a picture of the environment, or of one lane, with this media type."""
        self._check_usable()
        with self._lock:
            template = self.session.picture(accept, lane)
            reply = self._send(template.render(b""), template)
            if reply.head.status >= 300:
                raise problem_of(reply)
            if reply.head.media_type != accept:
                raise ProtocolError(f"the picture is {reply.head.media_type}, not {accept}")
            return bytes(reply.body)

    def close(self) -> None:
        """Closes it on the server. Never raises because of the server or the network."""
        if self.is_foreign or not self._is_open:
            return
        with self._lock:
            self._is_open = False
            if self._is_guest:
                self._connection.drop()
                return
            template = self.session.delete
            try:
                reply = send(self._connection, template.render(b""), template.name, CLOSE_POLICY)
                check_closed(reply)
            except (OSError, ServerProblem, ProtocolError) as error:
                log.warning("%s was not closed on the server: %s", self.session.env_id, error)
            finally:
                self._connection.drop()

    def abandon(self) -> None:
        """Closes it if the connection is open: for the garbage collector and after a failure."""
        if self.is_foreign:
            return
        was_open, self._is_open = self._is_open, False
        connection = self._connection
        if was_open and connection.is_open and not self._is_guest:
            connection.set_timeout(1.0)
            connection.exchange_once(self.session.delete.render(b""))
        else:
            connection.drop()
