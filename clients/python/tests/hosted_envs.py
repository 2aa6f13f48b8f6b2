"""Environments for the tests of the host, with all kinds of spaces and of trouble."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Step = tuple[Any, float, bool, bool, dict[str, Any]]


class Drawn(gymnasium.Env[Any, Any]):
    """Draws observations from its space. Episodes end at random."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as in Gymnasium's documentation)
    seen: float

    def __init__(self, size: int = 3, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.size = size
        self.observation_space, self.action_space = self.spaces()

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        raise NotImplementedError

    def draw(self) -> Any:
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seen = 0.0
        return self.draw(), {"fresh": True, "options": len(options or {})}

    def step(self, action: Any) -> Step:
        self.seen += float(np.sum(action))
        over = self.np_random.random() < 0.1
        late = self.np_random.random() < 0.05
        info: dict[str, Any] = {"seen": self.seen}
        if over:
            info |= {"draws": np.arange(3, dtype=np.int16), "inner": {"count": 4}}
        return self.draw(), self.seen, over, late, info

    def render(self) -> Any:
        return np.full((2, 4, 3), int(self.seen) % 256, np.uint8)


class Named(Drawn):
    """A dictionary of everything. The second sentence is not shown."""

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        whole = spaces.Dict(
            {
                "b": spaces.Box(-1.0, 1.0, (2, self.size), np.float64),
                "a": spaces.Tuple([spaces.Discrete(5, start=-2), spaces.MultiDiscrete([3, 4])]),
                "scalar": spaces.Box(-5, 5, (), np.int32),
            }
        )
        return whole, spaces.Box(-1.0, 1.0, (2,), np.float32)

    def draw(self) -> Any:
        rng = self.np_random
        return {
            "b": rng.uniform(-1, 1, (2, self.size)),
            "a": (int(rng.integers(-2, 3)), rng.integers(0, 3, 2)),
            "scalar": rng.integers(-5, 6, dtype=np.int32),
        }


class Bits(Drawn):
    """Bits for bits."""

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        return spaces.MultiBinary(self.size), spaces.MultiBinary(4)

    def draw(self) -> Any:
        return self.np_random.integers(0, 2, self.size, dtype=np.int8)

    def step(self, action: Any) -> Step:
        assert action.dtype == np.int8
        action += 0  # may be written to
        return super().step(action)


class Picture(Drawn):
    """Pictures, whose array is reused."""

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        self.pixels: NDArray[np.uint8] = np.zeros((8, self.size, 3), np.uint8)
        return spaces.Box(0, 255, (8, self.size, 3), np.uint8), spaces.MultiDiscrete([3, 2])

    def draw(self) -> Any:
        self.pixels[:] = self.np_random.integers(0, 256, self.pixels.shape, dtype=np.uint8)
        return self.pixels


class Printing(Bits):
    """Prints in every way."""

    def step(self, action: Any) -> Step:
        print("from Python")
        os.write(1, b"from the descriptor\n")
        libc = ctypes.CDLL(None)
        libc.puts(b"from C")
        libc.fflush(None)
        subprocess.run(["echo", "from a child"], check=True)
        assert os.read(0, 10) == b"", "the input is empty"
        return super().step(action)


class Chance(Bits):
    """Neither saved nor deterministic: it shares NumPy's global stream, and holds a lambda."""

    def __init__(self, size: int = 3) -> None:
        super().__init__(size)
        self.held = lambda: 0

    def draw(self) -> Any:
        return np.random.randint(0, 2, self.size).astype(np.int8)


class Troubled(gymnasium.Env[Any, Any]):
    """Fails when an action or an argument says so."""

    observation_space = spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(4)
    reward_range = (-1, 2)

    def __init__(
        self, limit: int = 3, rate: float = 0.5, sizes: tuple[int, ...] = (1, 2), name: str = "x"
    ) -> None:
        if limit < 0:
            raise ValueError("limit must not be negative")
        if limit == 99:
            raise RuntimeError("out of chairs")
        assert isinstance(sizes, tuple)
        assert isinstance(rate, float)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Step:
        if action == 1:
            raise KeyError("a door without a key")
        if action == 2:
            return np.zeros(1, np.float32), 0.0, False, False, {}
        if action == 3:
            raise SystemExit("enough")
        return [0.0, 0.5, 1.0], 1.0, False, False, {"text": "left out", "bad": float("nan")}


class Odd(Bits):
    """Does what an environment should not. With `is_worded`, no host can play it."""

    def __init__(self, is_worded: bool = False, render_mode: str | None = None) -> None:
        super().__init__(3, render_mode)
        if is_worded:
            self.observation_space = spaces.Text(4)

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        return spaces.Box(0, 1, (2, 0), np.float32), spaces.Discrete(3)

    def draw(self) -> Any:
        return np.zeros((2, 0), np.float32)

    def step(self, action: Any) -> Step:
        if action == 1:
            raise ValueError("a name with half a pair: \udcff")
        if action == 2:

            class Panic(BaseException):
                def __str__(self) -> str:
                    raise RuntimeError("nothing to read")

            raise Panic
        return self.draw(), 0.0, False, False, {"_mine": 5, "mine": 6, "\udcff": 7}

    def render(self) -> Any:
        raise RuntimeError("no paint")


class Lasting(Bits):
    """Leaves a thread behind that does not end."""

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        threading.Thread(target=time.sleep, args=(600,)).start()
        return super().reset(**arguments)


class Worded(Bits):
    """A part of its space is a text."""

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        return spaces.Dict({"text": spaces.Text(4)}), spaces.Discrete(2)


class NamedActions(Bits):
    """A dictionary of actions."""

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        return spaces.Discrete(2), spaces.Dict({"a": spaces.Discrete(2)})


class Grid(Bits):
    """A grid of numbers."""

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        return spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])), spaces.Discrete(2)


PLAYABLE = ("Named", "Bits", "Picture", "Printing", "Chance", "Troubled")
for _name in (*PLAYABLE, "Odd", "Lasting", "Worded", "NamedActions", "Grid"):
    gymnasium.register(f"{_name}-v0", entry_point=f"hosted_envs:{_name}")
