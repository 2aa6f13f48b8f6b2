"""Helps a program compete in the benchmark: its task, its evaluation, or a server for questions.

`docs/bring-your-own-agent.md` describes all of it. The benchmark starts the same command twice: to
train, and to be judged. In evaluation the program either plays the environments of
`evaluation_envs()`, or calls `serve()` and is asked for its actions; then the benchmark can also
scramble its actions and empty its memory.
"""

from __future__ import annotations

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._spaces import decoder
from .vector import RemoteVectorEnv

Act = Callable[[Any, NDArray[np.bool_], bool], ArrayLike]
"""Returns actions for `observations` (a batch, as in Gymnasium's vectors). `is_first` says which
lanes begin an episode (their memory has to be emptied first); the last argument says whether the
actions are the likeliest ones or drawn."""


MAX_BODY_BYTES = 256 << 20
"""Largest question that is read."""


@dataclass(frozen=True)
class Task:
    """The task that the benchmark gives a contender."""

    phase: Literal["train", "evaluate"]
    spec_id: str
    kwargs: dict[str, Any]
    """Arguments of the environments to train on."""
    draws: dict[str, tuple[int, int]]
    """Reset options to train on, each with its least and greatest value."""
    seed: int
    budget_steps: int
    """Training steps, counted by the server over all lanes."""
    workdir: Path
    """A folder that is kept from training to evaluation."""
    env_ids: list[str]
    """Vector environments to play in evaluation; empty while training."""


def task() -> Task:
    """Reads the task from the benchmark's environment variables.

    Raises:
        KeyError: the benchmark did not start this program.
    """
    variables = {name: os.environ[f"STRATEGIC_MEMORY_{name}"] for name in _VARIABLES}
    draws = json.loads(variables["DRAWS"])
    return Task(
        phase="evaluate" if variables["PHASE"] == "evaluate" else "train",
        spec_id=variables["SPEC"],
        kwargs=json.loads(variables["KWARGS"]),
        draws={name: (low, high) for name, (low, high) in draws.items()},
        seed=int(variables["SEED"]),
        budget_steps=int(variables["BUDGET_STEPS"]),
        workdir=Path(variables["WORKDIR"]),
        env_ids=variables["ENV_IDS"].split(),
    )


_VARIABLES = ["PHASE", "SPEC", "KWARGS", "DRAWS", "SEED", "BUDGET_STEPS", "WORKDIR", "ENV_IDS"]


def evaluation_envs() -> Iterator[RemoteVectorEnv]:
    """Yields the environments to play in evaluation, one after the other; none while training.

    Reset each once, without seed and options, and step it until the first episode of every lane is
    over. A lane whose episode ends begins another one, which does not count.
    """
    for env_id in os.environ.get("STRATEGIC_MEMORY_ENV_IDS", "").split():
        env = RemoteVectorEnv.attach(env_id)
        try:
            yield env
        finally:
            env.close()


def serve(begin: Callable[[int], Act], *, host: str = "127.0.0.1", port: int = 0) -> None:
    """Answers the benchmark's questions until it ends this program.

    `begin(num_envs)` returns a function that acts in that many lanes, with a new memory. It is
    called for each evaluation, and for each step of the evaluation that empties the memory.

    A function that cannot draw actions raises `NotImplementedError` when asked to: then there is no
    sampled score. Any other exception fails the row, and is its reason.
    """
    with server_for(begin, host, port, observation_space()) as server:
        print(f"listening on http://{host}:{server.server_port}", flush=True)
        server.serve_forever()


def observation_space() -> gymnasium.Space[Any] | None:
    """Returns the space of each lane's observations; None while training."""
    for env in evaluation_envs():
        return env.single_observation_space
    return None


def server_for(
    begin: Callable[[int], Act],
    host: str,
    port: int,
    space: gymnasium.Space[Any] | None = None,
) -> ThreadingHTTPServer:
    """Returns the server that `serve` runs, before it answers.

    Without the space, observations are read as plain arrays.
    """
    fields: dict[str, Any] = {"begin": staticmethod(begin), "space": space, "sessions": {}}
    return ThreadingHTTPServer((host, port), type("Handler", (_Handler,), fields))


class _Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.document = {"status": status, "code": code, "detail": detail}


def _plain_array(observations: Any) -> NDArray[Any]:
    array = np.asarray(observations)
    return array.astype(np.float32) if array.dtype == np.float64 else array


class _Session:
    """Lanes that act together; answers one question at a time, and each once."""

    def __init__(self, num_envs: int, act: Act, space: gymnasium.Space[Any] | None) -> None:
        self.num_envs = num_envs
        self._decode = _plain_array if space is None else decoder(space, num_envs)
        self._act = act
        self._lock = threading.Lock()
        self._seq = 0
        self._last: tuple[dict[str, Any], dict[str, Any]] | None = None

    def act(self, asked: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._last is not None and asked == self._last[0]:
                return self._last[1]
            if asked.get("seq") != self._seq:
                detail = f"seq is {asked.get('seq')}, but {self._seq} comes next"
                raise _Refused(409, "seq-conflict", detail)
            is_first = np.asarray(asked["is_first"], dtype=np.bool_)
            if is_first.shape != (self.num_envs,):
                raise _Refused(422, "invalid-body", f"there are {self.num_envs} lanes")
            try:
                observations = self._decode(asked["observations"])
            except (ValueError, TypeError, KeyError) as error:
                raise _Refused(422, "invalid-observation", str(error)) from error
            is_greedy = asked.get("mode", "greedy") == "greedy"
            try:
                actions = self._act(observations, is_first, is_greedy)
            except NotImplementedError as error:
                if is_greedy:
                    raise
                detail = str(error) or "it does not draw actions"
                raise _Refused(422, "not-implemented", detail) from error
            self._seq += 1
            reply = {"actions": np.asarray(actions).tolist(), "seq": self._seq}
            self._last = (asked, reply)
            return reply


class _Handler(BaseHTTPRequestHandler):
    """`PUT` and `DELETE /v1/sessions/{id}`, `POST /v1/act`, in JSON."""

    protocol_version = "HTTP/1.1"
    # Otherwise an answer waits for the acknowledgement of the previous one.
    disable_nagle_algorithm = True
    begin: Callable[[int], Act]
    space: gymnasium.Space[Any] | None
    sessions: dict[str, _Session]

    def _answer(self, status: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/problem+json" if status >= 400 else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _do(self, handle: Callable[[], tuple[int, Any]]) -> None:
        try:
            answer = handle()
        except _Refused as refused:
            answer = (refused.status, refused.document)
        except Exception as error:
            # The traceback goes to standard error, a short form to the benchmark.
            traceback.print_exc()
            detail = f"{type(error).__name__}: {error}"
            answer = (500, {"status": 500, "code": "internal", "detail": detail})
        self._answer(*answer)

    def _session_id(self) -> str:
        prefix = "/v1/sessions/"
        if not self.path.startswith(prefix):
            raise _Refused(404, "unknown-route", f"nothing is at {self.path}")
        return self.path[len(prefix) :]

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            raise _Refused(400, "malformed-body", "Content-Length is not a number")
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            detail = f"a question has at most {MAX_BODY_BYTES} bytes"
            raise _Refused(413, "body-too-large", detail)
        data = self.rfile.read(int(length))
        try:
            body = json.loads(data)
        except ValueError as error:
            raise _Refused(400, "malformed-body", str(error)) from error
        if not isinstance(body, dict):
            raise _Refused(422, "invalid-body", "the body is an object")
        return body

    def do_PUT(self) -> None:
        def put() -> tuple[int, Any]:
            body, session_id = self._body(), self._session_id()
            if session_id in self.sessions:
                return 200, {"num_envs": self.sessions[session_id].num_envs}
            num_envs = int(body["num_envs"])
            act = type(self).begin(num_envs)
            self.sessions[session_id] = _Session(num_envs, act, self.space)
            return 201, {"num_envs": num_envs}

        self._do(put)

    def do_DELETE(self) -> None:
        def delete() -> tuple[int, Any]:
            self.sessions.pop(self._session_id(), None)
            return 204, None

        self._do(delete)

    def do_POST(self) -> None:
        def act() -> tuple[int, Any]:
            body = self._body()
            if self.path != "/v1/act":
                raise _Refused(404, "unknown-route", f"nothing is at {self.path}")
            session = self.sessions.get(str(body.get("session_id")))
            if session is None:
                raise _Refused(404, "unknown-session", "there is no such session")
            return 200, session.act(body)

        self._do(act)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""
