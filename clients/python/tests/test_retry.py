"""Tests when requests are repeated, with a clock that only the test moves."""

from __future__ import annotations

import pytest
from test_http import feed

import strategic_memory_envs as sme
from strategic_memory_envs._http import Reply, ReplyReader
from strategic_memory_envs._retry import Attempts, doubt_about, retry_after_s

LOST = ConnectionResetError("lost")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def reply(status: int, headers: str = "", body: str = "") -> Reply:
    data = f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n{body}"
    read = feed(ReplyReader(), data.encode(), 1 << 20)
    assert read is not None
    return read


def test_pauses_grow_up_to_the_longest() -> None:
    policy = sme.RetryPolicy(give_up_after_s=1e9, first_delay_s=0.1, longest_delay_s=1.0)
    attempts = Attempts(policy, "GET x", Clock())
    pauses = [attempts.pause_s(LOST) for _ in range(2000)]
    for pause, full in zip(pauses, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0], strict=False):
        assert full / 2 <= pause <= full
    assert max(pauses) <= 1.0


def test_the_server_may_ask_for_a_longer_one() -> None:
    attempts = Attempts(sme.RetryPolicy(), "GET x", Clock())
    assert attempts.pause_s(LOST, wait_s=7.0) == 7.0


def test_a_kept_connection_that_ended_is_no_reason_to_wait() -> None:
    once = sme.RetryPolicy(give_up_after_s=0.0)
    attempts = Attempts(once, "GET x", Clock())
    assert attempts.pause_s(LOST, was_stale=True) == 0.0
    with pytest.raises(sme.ServerUnreachable, match="2 tries"):
        attempts.pause_s(LOST, was_stale=True)


def test_who_waits_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    attempts = Attempts(sme.RetryPolicy(), "GET x", clock)
    attempts.pause_s(LOST)
    clock.now += 2.0
    attempts.pause_s(LOST)
    assert caplog.messages == []
    for _ in range(2):
        clock.now += 2.0
        attempts.pause_s(LOST)
    assert caplog.messages == [
        "GET x: no answer for 4 s, still trying for up to 60 s; the last try failed with "
        "ConnectionResetError: lost"
    ]


def test_giving_up_rather_than_waiting_beyond_the_limit() -> None:
    clock = Clock()
    attempts = Attempts(sme.RetryPolicy(give_up_after_s=10.0), "GET x", clock)
    clock.now += 9.0
    assert attempts.pause_s(LOST) <= 0.05
    with pytest.raises(sme.ServerUnreachable, match=r"GET x: no answer in 2 tries over 9.0 s"):
        attempts.pause_s(LOST, wait_s=2.0)
    refused = sme.QuotaExceeded({"code": "quota-exceeded"})
    with pytest.raises(sme.QuotaExceeded):
        attempts.pause_s(refused, wait_s=2.0)


def test_what_is_in_doubt() -> None:
    for status in (408, 429, 500, 502, 503, 504):
        assert doubt_about(reply(status)) is not None
    for status in (400, 404, 409, 422, 501):
        assert doubt_about(reply(status)) is None
    kind = "content-type: application/problem+json\r\n"
    for text, is_doubtful in [("true", True), ("false", False)]:
        answer = reply(500, kind, f'{{"retryable":{text},"status":500}}')
        assert (doubt_about(answer) is not None) == is_doubtful
    # A malformed document does not hide the status.
    assert doubt_about(reply(503, kind, "[1]")) is not None
    assert doubt_about(reply(503, kind, "{")) is not None


def test_retry_after_in_seconds_only() -> None:
    assert retry_after_s(reply(503, "Retry-After: 12\r\n")) == 12.0
    for header in ("", "Retry-After: soon\r\n", "Retry-After: -1\r\n"):
        assert retry_after_s(reply(503, header)) == 0.0
