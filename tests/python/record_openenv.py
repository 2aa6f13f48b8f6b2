"""Records the messages between openenv-core's own client and server, one exchange per line.

    python tests/python/record_openenv.py > env-server/tests/stream/openenv.jsonl

Each line is {"send": text, "receive": text or null}: a message of the client and the reply of the server, null
if the server closes the socket. The environment is a stub with the fields of ours.
"""

import asyncio
import json
import sys
import threading
import time
from typing import Any, Dict, List

import uvicorn
from openenv.core import GenericEnvClient
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


class CueAction(Action):
    action: int


class CueObservation(Observation):
    observation: List[float]
    terminated: bool = False
    truncated: bool = False
    info: Dict[str, Any] = {}


class Cue(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self._state = State(episode_id="drawn", step_count=0)
        self.is_over = True

    def reset(self, seed=None, episode_id=None, **kwargs):
        self._state = State(episode_id=episode_id or "drawn", step_count=0)
        self.is_over = False
        return CueObservation(observation=[1.0, 0.0, 0.0])

    def step(self, action, timeout_s=None, **kwargs):
        if self.is_over:
            raise RuntimeError("the episode has ended or never begun")
        self._state.step_count += 1
        self.is_over = self._state.step_count == 2
        return CueObservation(
            observation=[0.0, 0.0, 0.0], reward=float(action.action), done=self.is_over, terminated=self.is_over
        )

    @property
    def state(self):
        return self._state


class Recorder(GenericEnvClient):
    """Records the messages that it sends and receives."""

    async def _send(self, message):
        self.sent = json.dumps(message)
        await super()._send(message)

    async def _receive(self):
        received = await super()._receive()
        print(json.dumps({"send": self.sent, "receive": json.dumps(received)}))
        return received


async def play(url):
    async with Recorder(base_url=url) as env:
        await env.state()
        await env.reset(seed=7, episode_id="mine")
        await env.step({"action": 0})
        await env.state()
        await env.step({"action": 1})
        for bad in [lambda: env.step({"action": 1}), lambda: env.step({}), lambda: env.step({"action": 1, "x": 2})]:
            try:
                await bad()
                raise AssertionError("should have been refused")
            except RuntimeError:
                pass
        await env.reset()


async def say(url, messages):
    """Sends messages unchanged, on one socket."""
    async with connect(url.replace("http", "ws") + "/ws") as socket:
        for message in messages:
            await socket.send(message)
            try:
                received = await asyncio.wait_for(socket.recv(), 10)
            except ConnectionClosed:
                received = None
            print(json.dumps({"send": message, "receive": received}))


async def record(url):
    await play(url)
    odd = [
        "hello",
        "{}",
        '{"type": "jump"}',
        '{"type": "step"}',
        '{"type": "step", "data": [1]}',
        '{"type": "step", "data": {"action": "left"}}',
        '{"type": "state", "data": {}}',
        '{"type": "reset", "x": 1}',
        '{"type": "mcp", "data": {"jsonrpc": "2.0", "method": "tools/list", "id": 3}}',
        '{"type": "mcp", "data": {"jsonrpc": "2.0", "method": "resources/list", "id": 4}}',
        '{"type": "mcp", "data": {}}',
        '{"type": "close"}',
    ]
    await say(url, odd)
    await say(url, ["[]"])


def main():
    app = create_fastapi_app(Cue, CueAction, CueObservation, max_concurrent_envs=4)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    threading.Thread(target=server.run, daemon=True).start()
    deadline = time.time() + 30
    while not server.started:
        if time.time() > deadline:
            sys.exit("the server did not start")
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    asyncio.run(record(f"http://127.0.0.1:{port}"))
    server.should_exit = True


if __name__ == "__main__":
    main()
