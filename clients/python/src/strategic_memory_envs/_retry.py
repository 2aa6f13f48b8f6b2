"""Decides when to send a request again, and when to give up. Without I/O."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._http import Reply
from .errors import ServerProblem, ServerUnreachable, from_problem

_DOUBTFUL_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
_PROBLEM = "application/problem+json"
_TELL_AFTER_S = 3.0
"""Seconds without an answer after which a warning says what the client is waiting for."""

log = logging.getLogger("strategic_memory_envs")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to keep trying after lost connections, timeouts and replies such as 503.

    Every operation carries a number, so an operation that is sent twice is applied once.
    """

    give_up_after_s: float = 60.0
    """Seconds from the first try. 0 tries once."""
    first_delay_s: float = 0.05
    """Pause before the second try; it doubles with each further try."""
    longest_delay_s: float = 2.0
    """Longest pause, unless the server's Retry-After asks for a longer one."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:  # Also true for NaN.
                raise ValueError(f"{name} is a number of seconds from 0 on, not {value}")


def problem_of(reply: Reply) -> ServerProblem:
    """Returns the exception for an error reply, which need not be a problem document."""
    problem: dict[str, Any] = {}
    if reply.head.media_type == _PROBLEM:
        try:
            document = json.loads(bytes(reply.body))
        except ValueError:
            document = None
        if isinstance(document, dict):
            problem = document
    if not problem:
        text = bytes(reply.body[:200]).decode("utf-8", "replace").strip()
        problem["detail"] = (
            f"status {reply.head.status} without a problem document, so from something else than "
            f"an environment server: {text!r}"
        )
        problem["retryable"] = reply.head.status in _DOUBTFUL_STATUSES
    problem.setdefault("status", reply.head.status)
    return from_problem(problem)


def doubt_about(reply: Reply) -> ServerProblem | None:
    """Returns the problem, if the same request may succeed later."""
    if reply.head.status not in _DOUBTFUL_STATUSES:
        return None
    problem = problem_of(reply)
    return problem if problem.retryable else None


def retry_after_s(reply: Reply) -> float:
    """Returns the seconds that the server asks the client to wait, or 0."""
    text = reply.head.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


class Attempts:
    """Counts the tries of one request."""

    def __init__(
        self,
        policy: RetryPolicy,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._name = name
        self._clock = clock
        self._began = clock()
        self._count = 0
        self._is_told = False

    def pause_s(self, cause: Exception, *, wait_s: float = 0.0, was_stale: bool = False) -> float:
        """Returns how long to wait before the next try, after a try that failed with `cause`.

        `was_stale`: the connection was kept from an earlier request. Servers may close such a
        connection at any time, so the first such failure is no reason to wait.

        Raises:
            ServerProblem: there is no time for another try, and the server has given a reason.
            ServerUnreachable: there is no time for another try, and the server has not answered.
        """
        self._count += 1
        policy = self._policy
        # The exponent stays within a float's range; the longest delay is reached far earlier.
        delay = policy.first_delay_s * 2.0 ** min(self._count - 1, 60)
        delay = min(delay, policy.longest_delay_s) * random.uniform(0.5, 1.0)
        if was_stale and self._count == 1:
            delay = 0.0
        delay = max(delay, wait_s)
        elapsed = self._clock() - self._began
        may_go_on = elapsed + delay <= policy.give_up_after_s or (was_stale and self._count == 1)
        if may_go_on:
            if elapsed >= _TELL_AFTER_S and not self._is_told:
                self._is_told = True
                log.warning(
                    "%s: no answer for %.0f s, still trying for up to %.0f s; the last try failed "
                    "with %s: %s",
                    self._name,
                    elapsed,
                    policy.give_up_after_s,
                    type(cause).__name__,
                    cause,
                )
            return delay
        if isinstance(cause, ServerProblem):
            raise cause
        tries = "one try" if self._count == 1 else f"{self._count} tries"
        raise ServerUnreachable(
            f"{self._name}: no answer in {tries} over {elapsed:.1f} s; the last one failed with "
            f"{type(cause).__name__}: {cause}"
        ) from cause
