"""Replaces Stable-Baselines3, which requires torch, by its vector environment's base class.

`modules()` are the modules that `strategic_memory_envs.sb3` imports. The heavy tests use the real
ones.
"""

from __future__ import annotations

from copy import deepcopy
from types import ModuleType
from typing import Any


class Monitor:
    """Only the name is used."""


class VecEnv:
    """The parts that a subclass uses: fields, seeds and options for the next reset, `step`."""

    def __init__(self, num_envs: int, observation_space: Any, action_space: Any) -> None:
        self.num_envs = num_envs
        self.observation_space = observation_space
        self.action_space = action_space
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        self._reset_seeds()
        self._reset_options()
        (self.render_mode,) = set(self.get_attr("render_mode"))
        self.metadata: dict[str, Any] = {"render_modes": [self.render_mode]}

    def _reset_seeds(self) -> None:
        self._seeds: list[int | None] = [None] * self.num_envs

    def _reset_options(self) -> None:
        self._options: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]

    def seed(self, seed: int) -> list[int | None]:
        self._seeds = [seed + lane for lane in range(self.num_envs)]
        return self._seeds

    def set_options(self, options: Any) -> None:
        self._options = deepcopy(
            [options] * self.num_envs if isinstance(options, dict) else options
        )

    def step(self, actions: Any) -> Any:
        self.step_async(actions)
        return self.step_wait()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        raise NotImplementedError

    def step_async(self, actions: Any) -> None:
        raise NotImplementedError

    def step_wait(self) -> Any:
        raise NotImplementedError


def modules() -> dict[str, ModuleType]:
    """Returns the modules by name."""
    names = ["stable_baselines3", "stable_baselines3.common"]
    made = {name: ModuleType(name) for name in names}
    made[f"{names[1]}.monitor"] = ModuleType(f"{names[1]}.monitor")
    made[f"{names[1]}.vec_env"] = ModuleType(f"{names[1]}.vec_env")
    vars(made[f"{names[1]}.monitor"])["Monitor"] = Monitor
    vars(made[f"{names[1]}.vec_env"])["VecEnv"] = VecEnv
    return made
