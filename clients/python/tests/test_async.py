"""Many environments on one event loop."""

from __future__ import annotations

import asyncio
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
            await asyncio.sleep(0)  # It sends,
            await asyncio.sleep(0)
            task.cancel()  # and will not see the reply.
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
