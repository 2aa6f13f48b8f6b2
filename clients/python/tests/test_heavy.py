"""Unmodified learners of other projects. A delay of 1 needs no memory and is learned in seconds."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import strategic_memory_envs as sme

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("default")]

NAME = "strategic_memory_envs:MemoryTask-v0"


def test_stable_baselines3s_checker_has_no_word_to_say(server: str) -> None:
    from stable_baselines3.common.env_checker import check_env

    env = gym.make(NAME, delay=4, difficulty=1, server=server)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, warn=True, skip_render_check=True)
    env.close()


def greedy_return(model: Any, env: Any, *, is_recurrent: bool) -> float:
    """Returns the mean return of 40 episodes; carries the state of a recurrent policy along."""
    total = 0.0
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        state: Any = None
        start, is_over = np.array([True]), False
        while not is_over:
            if is_recurrent:
                action, state = model.predict(observation, state, start, deterministic=True)
                start = np.array([False])
            else:
                action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            is_over = terminated or truncated
    return total / 40


def test_stable_baselines3_learns(server: str) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    arguments: dict[str, Any] = {"delay": 1, "difficulty": 1, "server": server}
    envs = make_vec_env(NAME, n_envs=4, seed=1, env_kwargs=arguments)
    model = PPO("MlpPolicy", envs, n_steps=64, learning_rate=3e-3, seed=1, device="cpu")
    model.learn(6_000)
    env = gym.make(NAME, **arguments)
    assert greedy_return(model, env, is_recurrent=False) == 1.0
    env.close()
    envs.close()


def test_stable_baselines3_plays_real_actions(server: str) -> None:
    """Its own PPO, unmodified: it clips what it draws to the bounds, which the server asks for."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env

    env = gym.make("strategic_memory_envs:PositionOnlyPendulum-v0", server=server)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Its word on Gymnasium's own pendulum, too.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized Box action space.*")
        check_env(env.unwrapped, warn=True, skip_render_check=True)
    model = PPO("MlpPolicy", env, n_steps=256, seed=1, device="cpu")
    model.learn(1_024)
    assert model.num_timesteps == 1_024
    assert np.isfinite(greedy_return(model, env, is_recurrent=False))
    env.close()


def test_the_program_of_the_guide_learns(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trains PPO over `RemoteVecEnv`; evaluation does not warn about a missing `Monitor`."""
    monkeypatch.setenv("STRATEGIC_MEMORY_SERVER", server)
    guide = (Path(__file__).parents[3] / "docs" / "python.md").read_text()
    program = re.search(r"```python sb3\n(.*?)```", guide, re.DOTALL)
    assert program is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exec(program[1], {})
    assert capsys.readouterr().out.strip().endswith("(1.0, 0.0)")


def test_stable_baselines3s_wrappers_fit(server: str) -> None:
    from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

    from strategic_memory_envs.sb3 import RemoteVecEnv

    envs = RemoteVecEnv("MemoryTask-v0", 4, server=server, delay=3, difficulty=1, seed=1)
    wrapped = VecNormalize(VecFrameStack(envs, 2))
    assert wrapped.reset().shape == (4, 6)
    for step in range(1, 7):
        observations, _, over, infos = wrapped.step(np.zeros(4, np.int64))
        assert observations.shape == (4, 6)
        assert over.all() == (step % 3 == 0)
        assert all(("terminal_observation" in info) == (step % 3 == 0) for info in infos)
    wrapped.close()


def test_sb3_contribs_recurrent_ppo_learns_to_remember(server: str) -> None:
    from sb3_contrib import RecurrentPPO

    from strategic_memory_envs.sb3 import RemoteVecEnv

    arguments: dict[str, Any] = {"delay": 2, "server": server}
    envs = RemoteVecEnv(NAME, 8, **arguments)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=32,
        batch_size=64,
        learning_rate=3e-3,
        seed=1,
        device="cpu",
        policy_kwargs={"lstm_hidden_size": 32},
    )
    model.learn(10_000)
    env = gym.make(NAME, **arguments)
    assert greedy_return(model, env, is_recurrent=True) == 1.0
    env.close()
    envs.close()


def test_a_cleanrl_style_script_learns(server: str) -> None:
    """Policy gradient with a value baseline on one page, over Gymnasium's own wrapper."""
    import torch
    from torch import nn

    torch.manual_seed(1)
    envs = gym.make_vec(NAME, num_envs=32, delay=1, difficulty=1, server=server)
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    network = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 3))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    observations, _ = envs.reset(seed=1)
    was_over = np.zeros(32, bool)
    returns: list[float] = []
    for _ in range(400):
        output = network(torch.as_tensor(observations))
        policy = torch.distributions.Categorical(logits=output[:, :2])
        actions = policy.sample()
        observations, rewards, terminations, truncations, infos = envs.step(actions.numpy())
        if "episode" in infos:
            returns += infos["episode"]["r"][infos["_episode"]].tolist()
        # Under NextStep the step after an end is a reset: there is nothing to learn from it.
        counts = torch.as_tensor(~was_over, dtype=torch.float32)
        advantage = torch.as_tensor(rewards, dtype=torch.float32) - output[:, 2]
        loss = -(policy.log_prob(actions) * advantage.detach()) + 0.5 * advantage**2
        optimizer.zero_grad()
        (loss * counts).mean().backward()
        optimizer.step()
        was_over = terminations | truncations
    envs.close()
    assert np.mean(returns[:100]) < 0.5
    assert np.mean(returns[-200:]) > 0.95


@pytest.mark.parametrize("mode", ["sync", "vector_entry_point"])
def test_rllib_trains(server: str, mode: str) -> None:
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    def create(config: Any) -> Any:
        if mode == "sync":
            return gym.make(NAME, **config)
        return sme.RemoteVectorEnv("MemoryTask-v0", **config)

    register_env("memory-task", create)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        config = (
            PPOConfig()
            .environment("memory-task", env_config={"delay": 1, "difficulty": 1, "server": server})
            .env_runners(num_env_runners=1, num_envs_per_env_runner=2, gym_env_vectorize_mode=mode)
            .training(train_batch_size_per_learner=256, minibatch_size=64, num_epochs=4, lr=3e-3)
        )
        algorithm = config.build_algo()
        results = [algorithm.train() for _ in range(8)]
        algorithm.stop()
    finally:
        ray.shutdown()
    returns = [result["env_runners"]["episode_return_mean"] for result in results]
    assert results[-1]["num_env_steps_sampled_lifetime"] >= 8 * 256
    assert returns[-1] > max(0.5, returns[0])
