"""Many environments on one event loop."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from memory_task import MemoryTask

import strategic_memory_envs as sme


def test_fifty_environments_at_once(server: str) -> None:
    async def play(seed: int) -> int:
        local, steps = MemoryTask(4, 1), 0
        async with sme.AsyncRemoteEnv("MemoryTask-v0", server=server, delay=4, difficulty=1) as env:
            for episode in range(5):
                first = await env.reset(seed=seed + episode)
                assert data_equivalence(first, local.reset(seed=seed + episode))
                for action in (0, 1, 1, 0):
                    result = await env.step(action)
                    assert data_equivalence(result, local.step(np.int64(action)))
                    steps += 1
        return steps

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*[play(10 * i) for i in range(50)])

    assert asyncio.run(all_of_them()) == [20] * 50


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vectors_equal_gymnasiums(server: str, mode: AutoresetMode) -> None:
    async def play() -> list[Any]:
        async with sme.AsyncRemoteVectorEnv(
            "MemoryTask-v0", 3, server=server, autoreset_mode=mode, delay=2, difficulty=1
        ) as envs:
            returned: list[Any] = [await envs.reset(seed=1)]
            for _ in range(9):
                returned.append(await envs.step(np.array([0, 1, 1])))
                if mode is AutoresetMode.DISABLED and returned[-1][2].any():
                    returned.append(await envs.reset(options={"reset_mask": returned[-1][2]}))
            return returned

    local = SyncVectorEnv([lambda: MemoryTask(2, 1)] * 3, autoreset_mode=mode)
    expected: list[Any] = [local.reset(seed=1)]
    for _ in range(9):
        expected.append(local.step(np.array([0, 1, 1])))
        if mode is AutoresetMode.DISABLED and expected[-1][2].any():
            expected.append(local.reset(options={"reset_mask": expected[-1][2].copy()}))
    assert data_equivalence(asyncio.run(play()), expected, exact=True)


def test_a_cancelled_step_is_not_lost(server: str) -> None:
    async def play() -> None:
        local = MemoryTask(4, 1)
        async with sme.AsyncRemoteEnv("MemoryTask-v0", server=server, delay=4, difficulty=1) as env:
            first = await env.reset(seed=3)
            assert data_equivalence(first, local.reset(seed=3))
            task = asyncio.ensure_future(env.step(1))
            await asyncio.sleep(0)  # It sends the request,
            await asyncio.sleep(0)
            task.cancel()  # and is cancelled before the reply.
            with pytest.raises(asyncio.CancelledError):
                await task
            for action in (1, 0, 0, 1):
                result = await env.step(action)
                assert data_equivalence(result, local.step(np.int64(action)))

    asyncio.run(play())


def test_problems_and_closing(server: str) -> None:
    async def play() -> None:
        env = sme.AsyncRemoteEnv("MemoryTask-v0", server=server)
        with pytest.raises(ClosedEnvironmentError):
            await env.reset()
        await env.open()
        with pytest.raises(sme.NeedsReset):
            await env.step(0)
        await env.reset()
        with pytest.raises(sme.InvalidAction):
            await env.step(5)
        await env.close()
        await env.close()
        with pytest.raises(ClosedEnvironmentError):
            await env.step(0)
        with pytest.raises(sme.UnknownSpec):
            await sme.AsyncRemoteEnv("NoSuchTask-v0", server=server).open()

    asyncio.run(play())


def number_of_envs(server: str, env_ids: list[str]) -> int:
    """Returns how many of these environments are on the server."""
    there = 0
    for env_id in env_ids:
        try:
            # Repeating the creation finds the environment; if it was closed, it is refused.
            sme.RemoteEnv("MemoryTask-v0", server=server, env_id=env_id, delay=4).close()
            there += 1
        except sme.EnvGone:
            pass
    return there


def test_another_event_loop_goes_on_with_the_episode(server: str) -> None:
    env = sme.AsyncRemoteEnv("MemoryTask-v0", server=server, delay=4)
    local = MemoryTask(4, 0)

    async def begin() -> Any:
        await env.open()
        return await env.reset(seed=1)

    async def crowd() -> list[Any]:
        # Several at once, so that they wait for one another in this loop too.
        return [await each for each in [env.step(1), env.step(0)]]

    async def together() -> list[Any]:
        return list(await asyncio.gather(env.step(1), env.step(1)))

    with warnings.catch_warnings():
        # A loop that ends before its connections leaves them to be collected.
        warnings.simplefilter("ignore", ResourceWarning)
        assert data_equivalence(asyncio.run(begin()), local.reset(seed=1))
        expected = [local.step(np.int64(action)) for action in (1, 0)]
        assert data_equivalence(asyncio.run(crowd()), expected)
        expected = [local.step(np.int64(1)) for _ in range(2)]
        assert data_equivalence(asyncio.run(together()), expected)
        asyncio.run(env.close())
        gc.collect()
    assert number_of_envs(server, [env._session.env_id if env._session else ""]) == 0


def test_two_event_loops_at_once_are_told(server: str) -> None:
    env = sme.AsyncRemoteEnv("MemoryTask-v0", server=server, delay=4)

    async def step_elsewhere() -> None:
        with pytest.raises(sme.StrategicMemoryError, match="another event loop"):
            await env.step(1)

    async def play() -> None:
        async with env:
            await env.reset()
            async with env._lock:
                await asyncio.to_thread(asyncio.run, step_elsewhere())
            await env.step(1)

    asyncio.run(play())


def test_forgotten_ones_are_closed_on_the_server(server: str) -> None:
    async def forget(number: int) -> list[str]:
        env_ids = []
        for _ in range(number):
            env = await sme.AsyncRemoteEnv("MemoryTask-v0", server=server, delay=4).open()
            await env.reset()
            env_ids.append(env.env_id)
        return env_ids

    env_ids = asyncio.run(forget(5))
    gc.collect()
    assert number_of_envs(server, env_ids) == 0
    # An environment may also be forgotten after its event loop has ended.
    env = sme.AsyncRemoteEnv("MemoryTask-v0", server=server, delay=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(env.open())
        env_id = env.env_id
        del env
        gc.collect()
    assert number_of_envs(server, [env_id]) == 0
