"""MemoryTask in process, with the server's draws, for comparison with the remote one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1


class Rng:
    """xoshiro256++ (Blackman and Vigna 2021), seeded by SplitMix64."""

    def __init__(self, seed: int) -> None:
        self.state = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & _MASK
            z = seed
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
            self.state.append(z ^ (z >> 31))

    def next_u64(self) -> int:
        def rotl(x: int, k: int) -> int:
            return ((x << k) | (x >> (64 - k))) & _MASK

        s = self.state
        result = (rotl((s[0] + s[3]) & _MASK, 23) + s[0]) & _MASK
        t = (s[1] << 17) & _MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return result

    def bit(self) -> int:
        return self.next_u64() >> 63


class MemoryTask(gymnasium.Env[NDArray[np.float32], np.int64]):
    """The first observation shows a bit; the `delay`-th action has to repeat it."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, delay: int = 4, difficulty: int = 0, seed: int = 0) -> None:
        self.delay, self.difficulty = delay, difficulty
        self.rng = Rng(seed)

    def _distractor(self) -> int:
        return self.rng.bit() if self.difficulty else 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.rng = Rng(seed)
        self.remaining = (options or {}).get("delay", self.delay)
        self.target = self.rng.bit()
        return np.array([self.target, self._distractor(), 0], np.float32), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        observation = np.array([self._distractor(), self._distractor(), 0], np.float32)
        self.remaining -= 1
        if self.remaining > 0:
            return observation, 0.0, False, False, {}
        return observation, 1.0 if action == self.target else -1.0, True, False, {}
