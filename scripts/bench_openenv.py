"""MemoryTask behind OpenEnv's own server, for bench_python.py: `python bench_openenv.py PORT`."""

import sys

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


class Choice(Action):
    """The agent's answer."""

    value: int


class Shown(Observation):
    """The agent's view."""

    values: list[float]


class MemoryTask(Environment):
    """The task with the same delay as in bench_python.py."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, episode_id=None, **kwargs):
        self.remaining = 16
        return Shown(values=[1.0, 0.0, 0.0])

    def step(self, action, timeout_s=None, **kwargs):
        self.remaining -= 1
        is_over = self.remaining == 0
        reward = (1.0 if action.value == 1 else -1.0) if is_over else 0.0
        return Shown(values=[0.0, 0.0, 0.0], reward=reward, done=is_over)

    @property
    def state(self):
        return State()


if __name__ == "__main__":
    app = create_fastapi_app(MemoryTask, Choice, Shown)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
