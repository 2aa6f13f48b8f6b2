"""When to send a request again, and when to give up. Without I/O."""

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
"""Silence for which people wonder what they wait for."""

log = logging.getLogger("strategic_memory_envs")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to go on after lost connections, timeouts and replies such as 503.

    Every operation carries a number, so that one sent again is never applied again.
    """

    give_up_after_s: float = 60.0
    """Seconds from the first try. 0 tries once."""
    first_delay_s: float = 0.05
    """Pause before the second try; it doubles with each further one."""
    longest_delay_s: float = 2.0
    """Longest pause, unless the server's Retry-After asks for a longer one."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:  # Also when it is not a number.
                raise ValueError(f"{name} is a number of seconds from 0 on, not {value}")


def problem_of(reply: Reply) -> ServerProblem:
    """The exception that an error reply stands for, also when it is not a problem document."""
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
    """The problem, if the same request may succeed later."""
    if reply.head.status not in _DOUBTFUL_STATUSES:
        return None
    problem = problem_of(reply)
    return problem if problem.retryable else None


def retry_after_s(reply: Reply) -> float:
    """Seconds that the server asks to wait, 0 if it does not say."""
    text = reply.head.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


class Attempts:
    """The tries of one request."""

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
        """How long to wait before the next try, after one that failed with `cause`.

        `was_stale`: the connection was kept from an earlier request, which servers may end at any
        time; the first such failure is no reason to wait.

        Raises:
            ServerProblem: no more tries, and the server has said why.
            ServerUnreachable: no more tries, and it has said nothing.
        """
        self._count += 1
        policy = self._policy
        # An exponent that a float can hold; the longest delay comes far sooner.
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
                    "%s: no answer for %.0f s, trying on for up to %.0f s; the last try failed "
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
