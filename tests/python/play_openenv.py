"""Plays MemoryTask-v0 (delay 3, HARD) with openenv-core's own clients, async and sync, and checks their results.

    python tests/python/play_openenv.py http://127.0.0.1:PORT

Prints one JSON object: for each client the observations, rewards and ends of two episodes of seed 7.
"""

import asyncio
import json
import sys

from openenv.core import GenericEnvClient
from openenv.core.env_server.types import EnvironmentMetadata, HealthResponse, SchemaResponse, State
from openenv.cli._validation import validate_running_environment

DELAY = 3


def seen(result):
    return {"observation": result.observation["observation"], "reward": result.reward, "done": result.done}


async def play_async(url):
    episodes = []
    async with GenericEnvClient(base_url=url) as env:
        for episode_id in ["first", "second"]:
            steps = [seen(await env.reset(seed=7, episode_id=episode_id))]
            while not steps[-1]["done"]:
                steps.append(seen(await env.step({"action": 1})))
            state = State(**await env.state())
            assert state.episode_id == episode_id and state.step_count == DELAY, state
            episodes.append(steps)
        try:
            await env.step({"action": 1})
            raise AssertionError("a step after the end was taken")
        except RuntimeError as error:
            assert "EXECUTION_ERROR" in str(error) and "needs-reset" in str(error), error
        try:
            await env.step({"move": 1})
            raise AssertionError("an action of another name was taken")
        except RuntimeError as error:
            assert "VALIDATION_ERROR" in str(error), error
    return episodes


def play_sync(url):
    episodes = []
    with GenericEnvClient(base_url=url).sync() as env:
        for _ in range(2):
            steps = [seen(env.reset(seed=7))]
            while not steps[-1]["done"]:
                steps.append(seen(env.step({"action": 1})))
            assert env.state()["step_count"] == DELAY
            episodes.append(steps)
    return episodes


def check_routes(url):
    """Reads the routes with the package's own models, and runs the package's validator."""
    import requests

    HealthResponse(**requests.get(url + "/health", timeout=10).json())
    metadata = EnvironmentMetadata(**requests.get(url + "/metadata", timeout=10).json())
    assert metadata.name == "MemoryTask-v0", metadata
    SchemaResponse(**requests.get(url + "/schema", timeout=10).json())
    State(**requests.get(url + "/state", timeout=10).json())
    report = validate_running_environment(url)
    assert report["passed"], json.dumps(report, indent=1)


def main():
    url = sys.argv[1]
    check_routes(url)
    print(json.dumps({"async": asyncio.run(play_async(url)), "sync": play_sync(url)}))


if __name__ == "__main__":
    main()
