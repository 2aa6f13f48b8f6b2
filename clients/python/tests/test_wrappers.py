"""Environments with the server's wrappers, and with those of Gymnasium."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import iterate
from gymnasium.wrappers import FlattenObservation, TimeLimit

import strategic_memory_envs as sme

CARTPOLE = "strategic_memory_envs:StatelessCartPole-v0"
EXTRAS: dict[str, Any] = {"previous_action": True, "previous_reward": True, "is_first": True}


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_extras_make_observations_dicts(server: str, encoding: Any) -> None:
    env = sme.RemoteEnv("MemoryTask-v0", server=server, encoding=encoding, delay=2, **EXTRAS)
    assert env.observation_space == spaces.Dict(
        {
            "is_first": spaces.Discrete(2),
            "observation": spaces.Box(0.0, 1.0, (3,), np.float32),
            "previous_action": spaces.Discrete(2),
            "previous_reward": spaces.Box(-1.0, 1.0, (1,), np.float32),
        }
    )
    check_env(env, skip_render_check=True)
    first, _ = env.reset(seed=7)
    target = first["observation"][0]
    assert (first["is_first"], first["previous_action"]) == (1, 0)
    middle = env.step(1)[0]
    assert (middle["is_first"], middle["previous_action"]) == (0, 1)
    last, reward, terminated, *_ = env.step(int(1 - target))
    assert (last["previous_action"], reward, terminated) == (1 - target, -1.0, True)
    assert last["previous_reward"].tolist() == [-1.0]
    assert all(observation in env.observation_space for observation in (first, middle, last))
    env.close()


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_vector_batches_the_parts(server: str, mode: AutoresetMode) -> None:
    """Each lane is equal to the single environment with the same seed."""
    kwargs: dict[str, Any] = {"delay": 3, "difficulty": 1, **EXTRAS}
    envs = sme.RemoteVectorEnv("MemoryTask-v0", 2, server=server, autoreset_mode=mode, **kwargs)
    lanes = [sme.RemoteEnv("MemoryTask-v0", server=server, **kwargs) for _ in range(2)]
    batch, _ = envs.reset(seed=5)
    alone = [lane.reset(seed=5 + i)[0] for i, lane in enumerate(lanes)]
    for action in [1, 0, 1]:
        assert batch in envs.observation_space
        for mine, their in zip(iterate(envs.observation_space, batch), alone, strict=True):
            assert data_equivalence(mine, their)
        batch, _, terminations, _, infos = envs.step(np.array([action] * 2))
        alone = [lane.step(action)[0] for lane in lanes]
    assert terminations.all()
    if mode is AutoresetMode.SAME_STEP:
        assert batch["is_first"].tolist() == [1, 1]
        ended = list(infos["final_obs"])
    else:
        assert batch["is_first"].tolist() == [0, 0]
        ended = list(iterate(envs.observation_space, batch))
    for mine, their in zip(ended, alone, strict=True):
        assert data_equivalence(mine, their)
    envs.close()
    for lane in lanes:
        lane.close()


def test_gymnasium_flattens_them(server: str) -> None:
    env = FlattenObservation(gym.make(CARTPOLE, server=server, is_first=True, previous_action=True))
    # A flag and an action of two, each one-hot, around two numbers.
    assert env.observation_space.shape == (2 + 2 + 2,)
    row, _ = env.reset(seed=1)
    assert row.tolist()[:2] == [0.0, 1.0]
    assert row.tolist()[4:] == [1.0, 0.0]
    assert env.step(1)[0].tolist()[4:] == [0.0, 1.0]
    env.close()


def test_noise_is_the_servers(server: str) -> None:
    """The seed determines the noise, and the space has no bounds."""
    rows = []
    for noise in (0.0, 0.5, 0.5):
        env = gym.make(CARTPOLE, server=server, observation_noise=noise)
        rows.append(env.reset(seed=3)[0])
        assert isinstance(env.observation_space, spaces.Box)
        assert env.observation_space.is_bounded() is (noise == 0.0)
        env.close()
    assert (rows[1] == rows[2]).all()
    assert (rows[0] != rows[1]).all()
    with pytest.raises(sme.InvalidArguments, match="real numbers"):
        gym.make("strategic_memory_envs:RepeatFirst-v0", server=server, observation_noise=0.5)


def steps_of(env: gym.Env[Any, Any]) -> tuple[int, bool, bool]:
    """Plays an episode with alternating actions; returns its steps and its end."""
    env.reset(seed=1)
    steps = 0
    while True:
        _, _, terminated, truncated, _ = env.step(steps % 2)
        steps += 1
        if terminated or truncated:
            return steps, bool(terminated), bool(truncated)


def is_limited_here(env: gym.Env[Any, Any]) -> bool:
    while isinstance(env, gym.Wrapper):
        if isinstance(env, TimeLimit):
            return True
        env = env.env
    return False


def test_gym_make_keeps_its_time_limit_for_itself(server: str) -> None:
    env = gym.make(CARTPOLE, server=server, max_episode_steps=5)
    assert is_limited_here(env)
    assert isinstance(env.unwrapped, sme.RemoteEnv)
    assert "max_episode_steps" not in env.unwrapped.env_kwargs
    assert steps_of(env) == (5, False, True)
    # The server's episode continues, and a reset ends it.
    _, _, terminated, truncated, _ = env.unwrapped.step(0)
    assert not terminated
    assert not truncated
    assert steps_of(env) == (5, False, True)
    env.close()


def test_the_server_limits_what_asks_it_to(server: str) -> None:
    env = gym.make(CARTPOLE, server=server, env_kwargs={"max_episode_steps": 5})
    assert not is_limited_here(env)
    assert isinstance(env.unwrapped, sme.RemoteEnv)
    assert env.unwrapped.env_kwargs["max_episode_steps"] == 5
    assert steps_of(env) == (5, False, True)
    with pytest.raises(sme.NeedsReset):
        env.unwrapped.step(0)
    env.close()
    envs = gym.make_vec(CARTPOLE, num_envs=2, server=server, max_episode_steps=5)
    assert isinstance(envs, sme.RemoteVectorEnv)
    assert envs.env_kwargs["max_episode_steps"] == 5
    envs.reset(seed=1)
    truncations = [envs.step(np.array([i % 2] * 2))[3].tolist() for i in range(5)]
    assert truncations == [[False, False]] * 4 + [[True, True]]
    envs.close()
