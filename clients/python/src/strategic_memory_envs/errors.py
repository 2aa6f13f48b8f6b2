"""The exceptions of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium


class StrategicMemoryError(Exception):
    """Base of the package's own exceptions."""


class LocalServerError(StrategicMemoryError):
    """No environment server program was found, or it does not start."""


class ProtocolError(StrategicMemoryError):
    """The answer does not follow the protocol: perhaps another program, or another version."""


class ServerUnreachable(StrategicMemoryError, ConnectionError):
    """The server gave no usable answer for as long as the retry policy allows.

    The operation may or may not have been applied. It is kept: repeating the same call continues
    with it, and any other call first lets it finish, so nothing happens twice.
    """


class ServerProblem(StrategicMemoryError):
    """The server refused a request. Nothing has changed on the server.

    `problem` is the whole problem document (RFC 9457).
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem)
        self.problem: dict[str, Any] = dict(problem)

    @property
    def status(self) -> int:
        """HTTP status."""
        return int(self.problem.get("status", 0))

    @property
    def code(self) -> str:
        """The kind of problem, for programs: `needs-reset`, `invalid-action`, …"""
        return str(self.problem.get("code", "unknown"))

    @property
    def title(self) -> str:
        """A line that is the same for every problem of this kind."""
        return str(self.problem.get("title", ""))

    @property
    def detail(self) -> str:
        """The particular reason."""
        return str(self.problem.get("detail", ""))

    @property
    def errors(self) -> list[dict[str, str]]:
        """Wrong places in the request's body: `pointer` (RFC 6901) and `detail`."""
        return list(self.problem.get("errors", []))

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return bool(self.problem.get("retryable", False))

    @property
    def expected_seq(self) -> int | None:
        """With `seq-conflict`: the number of the next operation."""
        expected = self.problem.get("expected_seq")
        return None if expected is None else int(expected)

    def __str__(self) -> str:
        text = f"{self.code} ({self.status}): {self.detail or self.title}"
        pointers = [error["pointer"] for error in self.errors if error.get("pointer")]
        return f"{text} [at {', '.join(pointers)}]" if pointers else text


class NeedsReset(ServerProblem, gymnasium.error.ResetNeeded):
    """The episode has ended or never begun: reset first."""


class InvalidAction(ServerProblem, ValueError):
    """The action is not in the action space."""


class InvalidArguments(ServerProblem, ValueError):
    """A kwarg, a reset option, the seed, the number of lanes, the lease or the id is invalid."""


class UnknownSpec(ServerProblem, LookupError):
    """The server offers no such spec."""


class UnknownEnv(ServerProblem, LookupError):
    """The server does not have the environment: it may have been restarted."""


class EnvGone(ServerProblem):
    """The environment was closed, or its lease ran out."""


class SeqConflict(ServerProblem):
    """The environment expects another operation: perhaps another client plays it too."""


class QuotaExceeded(ServerProblem):
    """A quota or limit of the server is used up."""


class AccessDenied(ServerProblem):
    """The server requires a token, or the token does not allow this."""


class BudgetExceeded(AccessDenied):
    """The token's budget of steps is used up. Trying again does not help."""


_BY_CODE: dict[str, type[ServerProblem]] = {
    "needs-reset": NeedsReset,
    "invalid-action": InvalidAction,
    "invalid-kwargs": InvalidArguments,
    "invalid-options": InvalidArguments,
    "invalid-seed": InvalidArguments,
    "invalid-num-envs": InvalidArguments,
    "invalid-ttl": InvalidArguments,
    "invalid-env-id": InvalidArguments,
    "unknown-spec": UnknownSpec,
    "unknown-env": UnknownEnv,
    "seq-conflict": SeqConflict,
    "seq-reused": SeqConflict,
    "quota-exceeded": QuotaExceeded,
    "budget-exceeded": BudgetExceeded,
}

_BY_STATUS: dict[int, type[ServerProblem]] = {
    401: AccessDenied,
    403: AccessDenied,
    410: EnvGone,
    429: QuotaExceeded,
}


def from_problem(problem: Mapping[str, Any]) -> ServerProblem:
    """Returns the exception for a problem document, by its code, else by its status."""
    kind = _BY_CODE.get(str(problem.get("code")))
    if kind is None:
        kind = _BY_STATUS.get(int(problem.get("status", 0)), ServerProblem)
    return kind(problem)
