"""Messages get lost, but every step is applied exactly once."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from memory_task import MemoryTask
from stub import Proxy, Stub, problem, response

import strategic_memory_envs as sme

QUICK = sme.RetryPolicy(give_up_after_s=20.0, first_delay_s=0.001, longest_delay_s=0.01)
FAULTS = ["lose-request", "lose-reply", "hang", "refuse", "bad-gateway", "cut", "dribble"]
DESCRIPTION = {
    "env_id": "e",
    "kwargs": {},
    "observation_space": {"type": "Discrete", "n": 4, "start": 0},
    "action_space": {"type": "Discrete", "n": 2, "start": 0},
    "seq": 0,
}


def expected(episodes: int) -> list[Any]:
    local = MemoryTask(3, 1)
    returned: list[Any] = []
    for seed in range(episodes):
        returned.append(local.reset(seed=seed))
        returned += [local.step(np.int64(step % 2)) for step in range(3)]
    return returned


@pytest.mark.parametrize("fault", FAULTS)
def test_every_step_once(server: str, fault: str) -> None:
    with Proxy(server) as proxy:
        proxy.plan = ["ok", fault] * 12
        returned: list[Any] = []
        with sme.RemoteEnv(
            "MemoryTask-v0", server=proxy.url, retry=QUICK, timeout_s=0.2, delay=3, difficulty=1
        ) as env:
            for seed in range(4):
                returned.append(env.reset(seed=seed))
                returned += [env.step(step % 2) for step in range(3)]
    assert data_equivalence(returned, expected(4))
    assert proxy.faults.count(fault) >= 8


def test_a_storm_of_faults(server: str) -> None:
    chance = random.Random(5)
    with Proxy(server) as proxy:
        proxy.plan = [chance.choice(["ok", "ok", *FAULTS]) for _ in range(300)]
        returned: list[Any] = []
        with sme.RemoteEnv(
            "MemoryTask-v0", server=proxy.url, retry=QUICK, timeout_s=0.1, delay=3, difficulty=1
        ) as env:
            for seed in range(30):
                returned.append(env.reset(seed=seed))
                returned += [env.step(step % 2) for step in range(3)]
    assert data_equivalence(returned, expected(30))


def test_the_same_for_asyncio(server: str) -> None:
    async def play() -> list[Any]:
        chance = random.Random(6)
        with Proxy(server) as proxy:
            proxy.plan = [chance.choice(["ok", "ok", *FAULTS]) for _ in range(120)]
            returned: list[Any] = []
            async with sme.AsyncRemoteEnv(
                "MemoryTask-v0", server=proxy.url, retry=QUICK, timeout_s=0.1, delay=3, difficulty=1
            ) as env:
                for seed in range(12):
                    returned.append(await env.reset(seed=seed))
                    returned += [await env.step(step % 2) for step in range(3)]
            return returned

    assert data_equivalence(asyncio.run(play()), expected(12))


def test_a_creation_is_repeated_as_it_was() -> None:
    answers = [
        problem("503 Service Unavailable", "retry-after: 0\r\n", status=503, retryable=True),
        None,
        response(DESCRIPTION),
        response(b"", "204 No Content"),
    ]
    with Stub(lambda request: answers.pop(0)) as stub:
        sme.RemoteEnv("X-v0", server=stub.url, retry=QUICK).close()
    assert [request.method for request in stub.requests] == ["PUT", "PUT", "PUT", "DELETE"]
    assert len({request.raw for request in stub.requests[:3]}) == 1


def test_what_will_fail_again_is_not_tried_again() -> None:
    broken = problem("500 Internal Server Error", status=500, code="internal", retryable=False)
    with Stub(lambda request: broken) as stub:
        with pytest.raises(sme.ServerProblem, match="internal"):
            sme.RemoteEnv("X-v0", server=stub.url, retry=QUICK)
        assert len(stub.requests) == 1


def test_giving_up_says_why() -> None:
    policy = sme.RetryPolicy(give_up_after_s=0.05, first_delay_s=0.01)
    full = problem("429 Too Many Requests", status=429, code="quota-exceeded", retryable=True)
    with (
        Stub(lambda request: full) as stub,
        pytest.raises(sme.QuotaExceeded),
    ):
        sme.RemoteEnv("X-v0", server=stub.url, retry=policy)
    assert len(stub.requests) > 1
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(sme.ServerUnreachable, match="ConnectionRefused") as caught:
        sme.RemoteEnv("X-v0", server=f"http://127.0.0.1:{port}", retry=policy)
    assert isinstance(caught.value, ConnectionError)


class _Interrupting:
    """Loses the reply of one step as Ctrl-C does: by an exception in the waiting client."""

    def __init__(self, env: sme.RemoteEnv) -> None:
        assert env._remote is not None
        self._connection = env._remote._connection
        self._exchange = self._connection.exchange

    def __enter__(self) -> None:
        def exchange(request: bytes) -> Any:
            self._exchange(request)
            self._connection.drop()
            raise KeyboardInterrupt

        self._connection.exchange = exchange  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self._connection.exchange = self._exchange  # type: ignore[method-assign]


def test_an_interrupted_step_is_resumed_by_the_same_call(env: sme.RemoteEnv) -> None:
    local = MemoryTask(3, 1)
    assert data_equivalence(env.reset(seed=1), local.reset(seed=1))
    with _Interrupting(env), pytest.raises(KeyboardInterrupt):
        env.step(1)
    assert data_equivalence(env.step(1), local.step(np.int64(1)))
    assert data_equivalence(env.step(0), local.step(np.int64(0)))


def test_another_call_lets_an_interrupted_step_finish_first(env: sme.RemoteEnv) -> None:
    local = MemoryTask(3, 1)
    assert data_equivalence(env.reset(seed=1), local.reset(seed=1))
    with _Interrupting(env), pytest.raises(KeyboardInterrupt):
        env.step(1)
    local.step(np.int64(1))
    assert data_equivalence(env.step(0), local.step(np.int64(0)))
    assert data_equivalence(env.reset(), local.reset())


def test_a_refused_operation_in_doubt_does_not_stand_in_the_way(env: sme.RemoteEnv) -> None:
    env.reset(seed=1)
    with _Interrupting(env), pytest.raises(KeyboardInterrupt):
        env.step(2)
    assert env.step(0)[1] == 0.0


def test_closing_survives_a_server_that_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    answers = [response(DESCRIPTION)]
    stub = Stub(lambda request: answers.pop(0) if answers else None)
    with stub:
        env = sme.RemoteEnv("X-v0", server=stub.url, retry=QUICK)
    import strategic_memory_envs._remote as remote

    original = remote.CLOSE_POLICY
    remote.CLOSE_POLICY = sme.RetryPolicy(give_up_after_s=0.0)
    try:
        env.close()
    finally:
        remote.CLOSE_POLICY = original
    assert "was not closed on the server" in caplog.text
