"""Compares Stable-Baselines3's vector environment with single environments played by hand."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sb3_stub
from gymnasium.utils.env_checker import data_equivalence

import strategic_memory_envs as sme


@pytest.fixture
def sb3(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, over the real base class if that is installed."""
    name = "strategic_memory_envs.sb3"
    try:
        return importlib.import_module(name)
    except ImportError:
        for each, module in sb3_stub.modules().items():
            monkeypatch.setitem(sys.modules, each, module)
        loaded = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)  # The next test loads it again.
        return loaded


def test_the_package_does_without_it() -> None:
    program = (
        "import sys; import strategic_memory_envs; "
        "assert not any('baselines' in name for name in sys.modules); "
        "sys.modules['stable_baselines3'] = None\n"
        "try: import strategic_memory_envs.sb3\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "pip install 'strategic-memory-envs[sb3]'" in done.stdout


class ByHand:
    """Lanes like those of `DummyVecEnv`: single environments, each reset when its episode ends."""

    def __init__(self, spec_id: str, num_envs: int, server: str, **kwargs: Any) -> None:
        self.lanes = [sme.RemoteEnv(spec_id, server=server, **kwargs) for _ in range(num_envs)]
        self.returns = [0.0] * num_envs
        self.lengths = [0] * num_envs

    def reset(self, seed: int) -> list[Any]:
        return [env.reset(seed=seed + lane)[0] for lane, env in enumerate(self.lanes)]

    def step(self, actions: Any) -> list[Any]:
        results = []
        for lane, (env, action) in enumerate(zip(self.lanes, actions, strict=True)):
            observation, reward, terminated, truncated, info = env.step(action)
            self.returns[lane] += reward
            self.lengths[lane] += 1
            if terminated or truncated:
                info["terminal_observation"] = observation
                info["TimeLimit.truncated"] = truncated and not terminated
                info["episode"] = {"r": round(self.returns[lane], 6), "l": self.lengths[lane]}
                self.returns[lane], self.lengths[lane] = 0.0, 0
                observation, _ = env.reset()
            results.append((observation, reward, terminated or truncated, info))
        return results

    def close(self) -> None:
        for env in self.lanes:
            env.close()


@pytest.mark.parametrize(
    ("spec_id", "kwargs"),
    [
        ("MemoryTask-v0", {"delay": 7, "delay_min": 2, "difficulty": 1}),
        ("MemoryTask-v0", {"delay": 7, "env_kwargs": {"max_episode_steps": 3}}),
        ("StatelessCartPole-v0", {"previous_action": True, "is_first": True}),
    ],
)
def test_it_equals_single_environments(
    sb3: ModuleType, server: str, spec_id: str, kwargs: dict[str, Any]
) -> None:
    envs = sb3.RemoteVecEnv(f"strategic_memory_envs:{spec_id}", 3, server=server, **kwargs)
    by_hand = ByHand(spec_id, 3, server, **kwargs)

    def lane_of(batch: Any, lane: int) -> Any:
        if isinstance(batch, dict):
            return {key: lane_of(each, lane) for key, each in batch.items()}
        return batch[lane]

    envs.seed(5)
    first = envs.reset()
    for lane, observation in enumerate(by_hand.reset(5)):
        assert data_equivalence(lane_of(first, lane), observation)
    chance, num_over = np.random.default_rng(1), 0
    for _ in range(80):
        actions = chance.integers(2, size=3)
        observations, rewards, over, infos = envs.step(actions)
        assert (rewards.dtype, over.dtype, len(infos)) == (np.float32, np.bool_, 3)
        for lane, expected in enumerate(by_hand.step(actions)):
            observation, reward, is_over, info = expected
            assert data_equivalence(lane_of(observations, lane), observation)
            assert (rewards[lane], over[lane]) == (np.float32(reward), is_over)
            if is_over:
                assert infos[lane]["episode"].pop("t") >= 0
                num_over += 1
            assert data_equivalence(infos[lane], info)
    assert num_over > 3
    envs.close()
    envs.close()
    by_hand.close()


def test_seeds_and_options_hold_for_one_reset(sb3: ModuleType, server: str) -> None:
    envs = sb3.RemoteVecEnv("MemoryTask-v0", 2, server=server, delay=5, difficulty=1)
    envs.seed(3)
    envs.set_options({"delay": 1})
    seeded = envs.reset()
    assert envs.step(np.array([0, 1]))[2].all()
    unseeded = envs.reset()
    assert not envs.step(np.array([0, 1]))[2].any()
    envs.seed(3)
    assert data_equivalence(envs.reset(), seeded)
    assert unseeded.shape == seeded.shape
    envs.set_options([{"delay": 1}, {}])
    with pytest.raises(ValueError, match="same options"):
        envs.reset()
    envs.close()


def test_what_else_stable_baselines3_asks_for(sb3: ModuleType, server: str) -> None:
    envs = sb3.RemoteVecEnv("MemoryTask-v0", 3, server=server, render_mode="rgb_array", delay=2)
    assert envs.get_attr("observation_space", [0, 2]) == [envs.observation_space] * 2
    assert envs.observation_space.shape == (3,)
    assert envs.get_attr("render_mode", 1) == ["rgb_array"]
    with pytest.raises(AttributeError):
        envs.get_attr("action_masks")
    assert envs.env_is_wrapped(sb3.Monitor) == [True] * 3
    assert envs.env_is_wrapped(dict, indices=0) == [False]
    with pytest.raises(NotImplementedError, match="server"):
        envs.set_attr("delay", 3)
    with pytest.raises(NotImplementedError, match="server"):
        envs.env_method("reset")
    envs.reset()
    assert len({image.shape for image in envs.get_images()}) == 1
    envs.close()
    with pytest.raises(TypeError, match="autoreset_mode"):
        sb3.RemoteVecEnv("MemoryTask-v0", 3, server=server, autoreset_mode="NextStep")
