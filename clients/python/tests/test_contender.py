"""The task that a contender gets, its rights in evaluation, and the questions it answers."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from numpy.typing import NDArray

import strategic_memory_envs as sme
from strategic_memory_envs import contender

FULL, JUDGED = "full-0123456789abcdef", "judged-0123456789abcdef"


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that requires tokens."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        f'[a]\ntoken = "{FULL}"\nevaluation_token = "{JUDGED}"\nmax_steps = 8\n', "utf-8"
    )
    tokens.chmod(0o600)
    monkeypatch.setenv("ENV_SERVER_TOKEN_FILE", str(tokens))
    server = sme.LocalServer()
    yield server.url
    server.stop()


def test_an_evaluation_token_plays_what_is_there(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRATEGIC_MEMORY_SERVER", guarded)
    owner = sme.RemoteVectorEnv(
        "MemoryTask-v0",
        num_envs=3,
        delay=2,
        seed=[7, 8, 9],
        autoreset_mode="SameStep",
        token=FULL,
        env_id="judged",
    )
    monkeypatch.setenv("STRATEGIC_MEMORY_TOKEN", JUDGED)
    monkeypatch.delenv("STRATEGIC_MEMORY_ENV_IDS", raising=False)
    assert list(contender.evaluation_envs()) == []
    monkeypatch.setenv("STRATEGIC_MEMORY_ENV_IDS", "judged")
    for env in contender.evaluation_envs():
        assert (env.num_envs, env.env_kwargs["delay"]) == (3, 2)
        with pytest.raises(sme.AccessDenied, match="evaluation token"):
            env.reset(seed=1)
        observations, _ = env.reset()
        cues = observations[:, 0].astype(int)
        env.step(cues)
        _, rewards, terminated, _, infos = env.step(cues)
        assert rewards.tolist() == [1.0] * 3
        assert terminated.all()
        assert "final_obs" in infos
    # It was not closed, and its creator may step it as long as the budget lasts.
    again = sme.RemoteVectorEnv.attach("judged", token=FULL)
    with pytest.raises(sme.BudgetExceeded, match="6 of the 8 steps"):
        again.step([0, 0, 0])
    again.reset(seed=1)
    again.close()
    owner.close()


def test_the_task_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PHASE": "train",
        "SPEC": "MemoryTask-v0",
        "KWARGS": '{"delay": 256}',
        "DRAWS": '{"delay": [4, 256]}',
        "SEED": "3",
        "BUDGET_STEPS": "14000",
        "WORKDIR": "/somewhere/work",
        "ENV_IDS": "",
    }.items():
        monkeypatch.setenv(f"STRATEGIC_MEMORY_{name}", value)
    assert contender.task() == contender.Task(
        phase="train",
        spec_id="MemoryTask-v0",
        kwargs={"delay": 256},
        draws={"delay": (4, 256)},
        seed=3,
        budget_steps=14_000,
        workdir=Path("/somewhere/work"),
        env_ids=[],
    )


class Counting:
    """Acts with the number of questions since its lane's episode began."""

    def __init__(self, num_envs: int) -> None:
        self.ages = np.zeros(num_envs, np.int64)

    def __call__(
        self, observations: NDArray[Any], is_first: NDArray[np.bool_], greedy: bool
    ) -> NDArray[Any]:
        assert observations.dtype == np.float32
        self.ages = np.where(is_first, 0, self.ages + 1)
        return self.ages if greedy else -self.ages


@pytest.fixture
def asked() -> Iterator[http.client.HTTPConnection]:
    """A connection to a contender that counts."""
    with contender.server_for(Counting, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        yield connection
        connection.close()
        server.shutdown()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[int, Any]:
    connection.request(method, path, None if body is None else json.dumps(body))
    response = connection.getresponse()
    data = response.read()
    return response.status, json.loads(data) if data else None


def act(seq: int, is_first: list[bool], mode: str = "greedy") -> dict[str, Any]:
    observations = [[0.5, 0.0]] * len(is_first)
    return {
        "session_id": "s",
        "seq": seq,
        "observations": observations,
        "is_first": is_first,
        "mode": mode,
    }


def test_what_a_contender_raises_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def begin(num_envs: int) -> contender.Act:
        def act(observations: Any, is_first: Any, greedy: bool) -> NDArray[Any]:
            if not greedy:
                raise NotImplementedError
            return np.zeros(num_envs)[[5]]

        return act

    with contender.server_for(begin, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        assert ask(connection, "PUT", "/v1/sessions/s", {"num_envs": 2})[0] == 201
        status, problem = ask(connection, "POST", "/v1/act", act(0, [True, True], "sampled"))
        assert (status, problem["detail"]) == (422, "it does not draw actions")
        assert capsys.readouterr().err == ""
        status, problem = ask(connection, "POST", "/v1/act", act(0, [True, True]))
        assert (status, problem["detail"][:30]) == (500, "IndexError: index 5 is out of ")
        assert "in begin" not in problem["detail"]
        assert "np.zeros(num_envs)[[5]]" in capsys.readouterr().err
        connection.close()
        server.shutdown()


def test_observations_come_as_their_space_has_them(server: str) -> None:
    seen: list[Any] = []

    def begin(num_envs: int) -> contender.Act:
        def act(observations: Any, is_first: Any, greedy: bool) -> NDArray[Any]:
            seen.append(observations)
            return np.zeros(num_envs, np.int64)

        return act

    with sme.RemoteVectorEnv("Autoencode-v0", 2, server=server, seed=1) as envs:
        space = envs.single_observation_space
        expected, _ = envs.reset()
    assert isinstance(expected, tuple)
    with contender.server_for(begin, "127.0.0.1", 0, space) as asked_server:
        threading.Thread(target=asked_server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", asked_server.server_port)
        assert ask(connection, "PUT", "/v1/sessions/s", {"num_envs": 2})[0] == 201
        question = act(0, [True, True])
        question["observations"] = [part.tolist() for part in expected]
        assert ask(connection, "POST", "/v1/act", question)[0] == 200
        question = {**question, "seq": 1, "observations": [[0, 0]]}
        assert ask(connection, "POST", "/v1/act", question)[0] == 422
        connection.close()
        asked_server.shutdown()
    assert data_equivalence(tuple(seen[0]), expected)


@pytest.mark.parametrize("length", ["-1", "many", "99999999999"])
def test_a_question_has_a_length(asked: http.client.HTTPConnection, length: str) -> None:
    asked.putrequest("POST", "/v1/act")
    asked.putheader("Content-Length", length)
    asked.endheaders()
    reply = asked.getresponse()
    assert reply.status == (413 if length.isdigit() else 400)
    assert "code" in json.load(reply)


def test_a_contender_is_asked_each_question_once(asked: http.client.HTTPConnection) -> None:
    assert ask(asked, "POST", "/v1/act", act(0, [True, True]))[0] == 404
    assert ask(asked, "PUT", "/v1/sessions/s", {"num_envs": 2, "seed": 0}) == (201, {"num_envs": 2})
    assert ask(asked, "PUT", "/v1/sessions/s", {"num_envs": 2, "seed": 0}) == (200, {"num_envs": 2})
    first = act(0, [True, True])
    for _ in range(2):
        assert ask(asked, "POST", "/v1/act", first) == (200, {"actions": [0, 0], "seq": 1})
    second = act(1, [False, False])
    for _ in range(2):
        assert ask(asked, "POST", "/v1/act", second) == (200, {"actions": [1, 1], "seq": 2})
    third = act(2, [False, True], "sampled")
    assert ask(asked, "POST", "/v1/act", third) == (200, {"actions": [-2, 0], "seq": 3})
    for wrong, status in [(first, 409), (act(4, [True, True]), 409), (act(3, [True]), 422)]:
        assert ask(asked, "POST", "/v1/act", wrong)[0] == status
    assert ask(asked, "POST", "/v1/elsewhere", {})[0] == 404
    asked.request("POST", "/v1/act", "{")
    response = asked.getresponse()
    assert (response.status, json.load(response)["code"]) == (400, "malformed-body")
    assert ask(asked, "DELETE", "/v1/sessions/s") == (204, None)
    assert ask(asked, "POST", "/v1/act", act(3, [True, True]))[0] == 404
