"""Vector environments for Stable-Baselines3 and sb3-contrib: one request steps all lanes.

```python
from stable_baselines3 import PPO
from strategic_memory_envs.sb3 import RemoteVecEnv

envs = RemoteVecEnv("MemoryTask-v0", 8, delay=1, difficulty=1)
PPO("MlpPolicy", envs, n_steps=64, learning_rate=3e-3, seed=1).learn(6_000)
```

No other module of the package needs Stable-Baselines3: `pip install 'strategic-memory-envs[sb3]'`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from ._settings import RENDER_FPS
from .vector import RemoteVectorEnv

try:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError(
        "strategic_memory_envs.sb3 needs Stable-Baselines3: "
        "pip install 'strategic-memory-envs[sb3]'"
    ) from error

_MODULE = "strategic_memory_envs:"
"""Prefix of an id in `gymnasium.make`, which makes it import this package."""


class RemoteVecEnv(VecEnv):  # type: ignore[misc]
    """`num_envs` lanes on a server, as a vector environment of Stable-Baselines3.

    The step that ends an episode begins the next one; the last observation is in
    `infos[lane]["terminal_observation"]`. Returns and lengths of episodes are recorded like those
    of `Monitor`, so training logs and `evaluate_policy` have them without another wrapper.

    Args:
        spec_id: an id of the server's catalogue, such as `MemoryTask-v0`.
        num_envs: number of lanes.
        kwargs: other arguments of `RemoteVectorEnv`: `server`, `token`, `seed`, `render_mode` and
            so on, and arguments of the environment such as `delay=16`.

    The exceptions are those of `RemoteVectorEnv`.
    """

    def __init__(self, spec_id: str, num_envs: int = 1, **kwargs: Any) -> None:
        if "autoreset_mode" in kwargs:
            raise TypeError(
                "Stable-Baselines3 has only one autoreset mode: leave autoreset_mode out"
            )
        self.envs = RemoteVectorEnv(
            spec_id.removeprefix(_MODULE),
            num_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
            **kwargs,
        )
        super().__init__(
            num_envs, self.envs.single_observation_space, self.envs.single_action_space
        )
        self.metadata["render_fps"] = RENDER_FPS
        self._actions: Any = None
        self._began = time.monotonic()
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)

    def reset(self) -> Any:
        """Begins episodes in all lanes, with the seeds of `seed()` and the options of
        `set_options()` if these were called before.

        Raises:
            ValueError: the options differ between lanes.
        """
        options = self._options[0]
        if any(each != options for each in self._options):
            raise ValueError("the lanes of a RemoteVecEnv are reset with the same options")
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, infos = self.envs.reset(seed=seeds, options=options or None)
        self.reset_infos = self._by_lane(infos)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keeps the actions for `step_wait()`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Takes the actions; returns observations, rewards, flags of ended episodes, and infos."""
        observations, rewards, terminated, truncated, infos = self.envs.step(self._actions)
        over = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        final_observations = infos.pop("final_obs", None)
        final_infos = infos.pop("final_info", None)
        lanes = self._by_lane(infos)
        if over.any():
            ended = self._by_lane(final_infos or {})
            elapsed_s = round(time.monotonic() - self._began, 6)
            for lane in np.flatnonzero(over).tolist():
                # The infos of the step belong to the episode that has just begun.
                self.reset_infos[lane] = lanes[lane]
                lanes[lane] = {
                    **ended[lane],
                    "terminal_observation": final_observations[lane],
                    "TimeLimit.truncated": bool(truncated[lane] and not terminated[lane]),
                    "episode": {
                        "r": round(float(self._returns[lane]), 6),
                        "l": int(self._lengths[lane]),
                        "t": elapsed_s,
                    },
                }
            self._returns[over] = 0.0
            self._lengths[over] = 0
        return observations, rewards.astype(np.float32), over, lanes

    def _by_lane(self, infos: dict[str, Any]) -> list[dict[str, Any]]:
        """Splits Gymnasium's infos of a batch into a dict for each lane."""
        lanes: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for key, values in infos.items():
            mask = infos.get(f"_{key}")
            if mask is None:  # A mask itself, or an entry that is not per lane.
                continue
            parts = self._by_lane(values) if isinstance(values, dict) else values
            for lane in np.flatnonzero(mask).tolist():
                lanes[lane][key] = parts[lane]
        return lanes

    def close(self) -> None:
        """Closes the environments on the server. Closing again does nothing."""
        self.envs.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Returns a picture of each lane, with the render mode `rgb_array`."""
        return list(self.envs.render() or [None] * self.num_envs)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns an attribute of the vector environment for each lane; spaces are per lane."""
        owner = self if attr_name in ("observation_space", "action_space") else self.envs
        return [getattr(owner, attr_name)] * len(self._lanes(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Raises `NotImplementedError`: the lanes are on the server."""
        raise NotImplementedError("the lanes are on the server, and so are their attributes")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Raises `NotImplementedError`: the lanes are on the server."""
        raise NotImplementedError("the lanes are on the server, and have no methods to call here")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Returns whether each lane has the wrapper: only `Monitor` is built in."""
        return [wrapper_class is Monitor] * len(self._lanes(indices))

    def _lanes(self, indices: int | Iterable[int] | None) -> Sequence[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)
