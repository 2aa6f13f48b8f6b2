"""Refusals, and the exceptions that report them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from stub import Stub, problem, response

import strategic_memory_envs as sme
from strategic_memory_envs.errors import from_problem


def test_a_problem_carries_its_document(env: sme.RemoteEnv) -> None:
    with pytest.raises(sme.NeedsReset) as caught:
        env.step(0)
    error = caught.value
    assert isinstance(error, gymnasium.error.ResetNeeded)
    assert (error.status, error.code, error.retryable) == (409, "needs-reset", False)
    assert error.problem["instance"].endswith("/step")
    assert str(error) == "needs-reset (409): it has never been reset"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is sme.NeedsReset
    assert again.problem == error.problem


@pytest.mark.parametrize("action", [2, -1, 0.5, np.array([0]), np.float32(1), 2**63, 2**64, "a"])
def test_a_refused_action_changes_nothing(env: sme.RemoteEnv, action: object) -> None:
    env.reset(seed=1)
    with pytest.raises((sme.InvalidAction, sme.ServerProblem, ValueError, TypeError)) as caught:
        env.step(action)
    if isinstance(caught.value, sme.ServerProblem):
        assert caught.value.errors[0]["pointer"] == "/action"
    for _ in range(2):
        assert env.step(0)[2] is False
    assert env.step(0)[2] is True


@pytest.mark.parametrize("action", [1, True, np.int64(1), np.int8(1), np.array(1)])
def test_actions_of_any_integer_type(env: sme.RemoteEnv, action: object) -> None:
    env.reset()
    assert env.step(action)[1] == 0.0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", ">i4", "uint64", "int64"])
def test_batches_of_any_integer_type(server: str, dtype: str) -> None:
    with sme.RemoteVectorEnv("MemoryTask-v0", 4, server=server, delay=1) as envs:
        observations, _ = envs.reset(seed=5)
        rewards = envs.step(observations[:, 0].astype(dtype))[1]
        assert rewards.tolist() == [1.0] * 4
    with sme.RemoteVectorEnv("MemoryTask-v0", 4, server=server, delay=1) as envs:
        envs.reset()
        with pytest.raises(sme.InvalidAction) as caught:
            envs.step(np.array([0, 1, 2, 1]).astype(dtype))
        assert caught.value.errors[0]["pointer"] == "/actions/2"
        with pytest.raises(TypeError, match=r"<U1 cannot be sent: array.*'d'"):
            envs.step(["a", "b", "c", "d"])


def test_wrong_arguments_are_told_at_once(server: str) -> None:
    with pytest.raises(sme.UnknownSpec):
        sme.RemoteEnv("NoSuchTask-v0", server=server)
    with pytest.raises(sme.InvalidArguments) as caught:
        sme.RemoteEnv("MemoryTask-v0", server=server, delay=0)
    assert caught.value.errors[0]["pointer"] == "/kwargs/delay"
    with pytest.raises(TypeError, match="given twice"):
        sme.RemoteEnv("MemoryTask-v0", server=server, delay=1, env_kwargs={"delay": 2})
    with pytest.raises(ValueError, match="render_mode"):
        sme.RemoteEnv("MemoryTask-v0", server=server, render_mode="human")
    with pytest.raises(ValueError, match="server's URL"):
        sme.RemoteEnv("MemoryTask-v0", server="127.0.0.1:1")
    with pytest.raises(ValueError, match="token"):
        sme.RemoteEnv("MemoryTask-v0", server=server, token="a\r\nX-Evil: 1")
    with pytest.raises(ValueError, match="id"):
        sme.RemoteEnv("MemoryTask-v0", server=server, env_id="../specs")


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"ttl_s": 1.5}, TypeError, r"ttl_s is an integer, not 1\.5"),
        ({"ttl_s": -1}, ValueError, "ttl_s cannot be -1"),
        ({"ttl_s": 0}, sme.InvalidArguments, "from 1 to"),
        ({"timeout_s": "1"}, TypeError, "timeout_s is a number of seconds, not '1'"),
        ({"retry": 3}, TypeError, "retry is a RetryPolicy"),
        ({"autoreset_mode": "same"}, ValueError, "one of .*'SameStep'.* not 'same'"),
        ({"num_envs": 2.0}, TypeError, r"num_envs is an integer, not 2\.0"),
        ({"num_envs": -1}, ValueError, "num_envs cannot be -1"),
        ({"num_envs": 0}, sme.InvalidArguments, "from 1 to"),
    ],
)
def test_an_argument_of_the_client_is_named(
    server: str, arguments: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        sme.RemoteVectorEnv("MemoryTask-v0", server=server, **arguments)


@pytest.mark.parametrize("options", [3, "delay", [("delay", 3)]])
def test_options_are_a_dict(env: sme.RemoteEnv, options: Any) -> None:
    with pytest.raises(TypeError, match="options is a dict"):
        env.reset(options=options)


def test_an_environment_is_not_copied(env: sme.RemoteEnv, server: str) -> None:
    env.reset()
    asynchronous = sme.AsyncRemoteEnv("MemoryTask-v0", server=server)
    with sme.RemoteVectorEnv("MemoryTask-v0", 2, server=server) as envs:
        for original in (env, envs, asynchronous):
            for copied in (copy.copy, copy.deepcopy, pickle.dumps):
                with pytest.raises(TypeError, match="make another one"):
                    copied(original)
    assert env.step(0)[2] is False


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_change_nothing(env: sme.RemoteEnv, seed: int) -> None:
    env.reset(seed=3)
    with pytest.raises((ValueError, gymnasium.error.Error)):
        env.reset(seed=seed)
    assert env.step(0)[2] is False


def test_someone_elses_step_is_noticed(server: str) -> None:
    with sme.RemoteEnv("MemoryTask-v0", server=server, env_id="contested", delay=9) as mine:
        mine.reset()
        theirs = sme.RemoteEnv("MemoryTask-v0", server=server, env_id="contested", delay=9)
        theirs.step(0)
        theirs.step(0)
        with pytest.raises(sme.SeqConflict) as caught:
            mine.step(1)
        assert caught.value.expected_seq == 3


def test_a_token_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = problem("401 Unauthorized", status=401, code="unauthorized", detail="no such token")
    with Stub(lambda request: denied) as stub:
        monkeypatch.setenv("STRATEGIC_MEMORY_TOKEN", "SECRET-1")
        with pytest.raises(sme.AccessDenied, match="no such token"):
            sme.RemoteEnv("MemoryTask-v0", server=stub.url)
        with pytest.raises(sme.AccessDenied):
            sme.RemoteEnv("MemoryTask-v0", server=stub.url, token="SECRET-2", ttl_s=60)
    sent = [request.headers["authorization"] for request in stub.requests]
    assert sent == ["bearer secret-1", "bearer secret-2"]
    assert [request.body.get("ttl_s") for request in stub.requests] == [None, 60]


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-something\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        response(b"\xc1"),
        response([1]),
        response({"seq": 0}),
        response({"seq": 0, "kwargs": {}, "observation_space": {"type": "Graph"}}),
        response(b"<html>", content_type="text/html"),
    ],
)
def test_whoever_does_not_speak_the_protocol_is_told_from_a_server(answer: bytes) -> None:
    with Stub(lambda request: answer) as stub, pytest.raises(sme.ProtocolError):
        sme.RemoteEnv("MemoryTask-v0", server=stub.url)


def test_problems_without_a_document_say_what_came() -> None:
    html = response(b"<html>teapot</html>", "418 I'm a teapot", "text/html")
    with Stub(lambda request: html) as stub, pytest.raises(sme.ServerProblem, match="teapot") as e:
        sme.RemoteEnv("MemoryTask-v0", server=stub.url)
    assert e.value.status == 418


def test_every_code_has_its_exception() -> None:
    assert type(from_problem({"code": "invalid-seed"})) is sme.InvalidArguments
    assert type(from_problem({"code": "env-closed", "status": 410})) is sme.EnvGone
    assert type(from_problem({"code": "lease-expired", "status": 410})) is sme.EnvGone
    assert type(from_problem({"code": "quota-exceeded", "status": 429})) is sme.QuotaExceeded
    assert type(from_problem({})) is sme.ServerProblem


NOT_FINITE = [float("nan"), float("inf"), -float("inf"), np.float32("nan"), np.array(np.inf)]


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize("number", NOT_FINITE, ids=repr)
def test_numbers_that_are_not_finite_are_refused_with_their_place(
    server: str, encoding: Any, number: Any
) -> None:
    def place(pointer: str) -> Any:
        return pytest.raises(ValueError, match=rf"is not a finite number \[at {pointer}\]$")

    name = "StatelessCartPole-v0"
    with place("/kwargs/observation_noise"):
        sme.RemoteEnv(name, server=server, encoding=encoding, observation_noise=number)
    with place("/kwargs/observation_noise"):
        sme.RemoteVectorEnv(name, 2, server=server, encoding=encoding, observation_noise=number)
    with place("/kwargs/observation_noise"):
        sme.AsyncRemoteEnv(name, server=server, encoding=encoding, observation_noise=number)
    with sme.RemoteEnv(name, server=server, encoding=encoding) as env:
        with place("/options/a~1b/1"):
            env.reset(options={"a/b": [1, number]})
        env.reset()
        with place("/action"):
            env.step(number)
        env.step(1)
    with sme.RemoteVectorEnv(name, 2, server=server, encoding=encoding) as envs:
        envs.reset()
        with place("/actions/1"):
            envs.step(np.array([1, number]))
        with place("/actions/1"):
            envs.step([0.0, number])
        envs.step([0, 1])
    for seed in (number, [0, number]):
        with pytest.raises(TypeError):
            sme.RemoteVectorEnv(name, 2, server=server, seed=seed)


def test_waits_that_are_no_number_are_refused() -> None:
    for wait_s in (float("nan"), -1.0):
        with pytest.raises(ValueError, match="give_up_after_s"):
            sme.RetryPolicy(give_up_after_s=wait_s)
    for timeout_s in (float("nan"), float("inf"), 0.0):
        with pytest.raises(ValueError, match="timeout_s"):
            sme.RemoteEnv("MemoryTask-v0", server="http://127.0.0.1:9", timeout_s=timeout_s)
