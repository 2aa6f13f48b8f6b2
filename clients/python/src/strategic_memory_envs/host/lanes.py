"""Lanes: environments that are stepped together, with the meaning of Gymnasium's SyncVectorEnv."""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from .batches import Actions, Infos, batch_of

AutoresetMode = Literal["NextStep", "SameStep", "Disabled"]
MODES: tuple[str, ...] = get_args(AutoresetMode)

Env = gymnasium.Env[Any, Any]
Step = tuple[Any, Any, Any, Any, dict[str, Any]]


class Lanes:
    """The environments of a vector, whose spaces are those of each.

    An exception of an environment leaves the lanes in an undefined state: close them.
    """

    def __init__(
        self, make: Callable[[], Env], num_envs: int, mode: AutoresetMode, *, renders_copies: bool
    ) -> None:
        """Makes `num_envs` environments.

        With `renders_copies`, frames are drawn by a copy of the environment. A window or a surface
        in an environment can often not be saved.
        """
        self._envs: list[Env] = []
        try:
            for _ in range(num_envs):
                self._envs.append(make())
            self.observation_space: spaces.Space[Any] = self._envs[0].observation_space
            self.action_space: spaces.Space[Any] = self._envs[0].action_space
            self._check_spaces()
            self._observations = batch_of(self.observation_space, num_envs)
            self._final = batch_of(self.observation_space, num_envs) if mode == "SameStep" else None
            self._actions = Actions(self.action_space, num_envs)
        except BaseException:
            self.close()
            raise
        self.num_envs = num_envs
        self._mode = mode
        self._renders_copies = renders_copies
        self._ended = [False] * num_envs
        self._is_any_ended = False
        self._has_begun = [False] * num_envs
        self._bind()

    def _check_spaces(self) -> None:
        for env in self._envs:
            for name in ("observation_space", "action_space"):
                if getattr(env, name) != getattr(self, name):
                    raise RuntimeError(
                        f"two environments with the same arguments have different {name}s: "
                        f"{getattr(self, name)} and {getattr(env, name)}"
                    )

    def _bind(self) -> None:
        """Looks the methods up once, not at every step."""
        self._steps = [env.step for env in self._envs]

    def reset(
        self, mask: Sequence[bool] | None, seeds: Sequence[int | None], options: dict[str, Any]
    ) -> dict[str, Any]:
        """Resets the lanes in the mask; without one, all. Returns the fields of the answer."""
        infos = Infos(len(self._envs))
        extra: dict[str, Any] = {"options": options} if options else {}
        for i, (env, seed) in enumerate(zip(self._envs, seeds, strict=True)):
            if mask is None or mask[i]:
                observation, info = env.reset(seed=seed, **extra)
                self._observations.put(i, observation)
                self._ended[i], self._has_begun[i] = False, True
                if info:
                    infos.add(i, info)
        self._is_any_ended = any(self._ended)
        return _with_infos({"observations": self._observations.value}, "infos", infos.value)

    def read_actions(self, value: Any) -> NDArray[Any]:
        """Returns the actions of a call.

        Raises:
            ValueError: the value is not a batch of actions.
        """
        return self._actions.read(value)

    def step(self, actions: NDArray[Any]) -> dict[str, Any]:
        """Steps all lanes. Returns the fields of the answer, whose arrays the next call reuses."""
        # Iterating an array gives what SyncVectorEnv hands out: NumPy's numbers, or rows.
        if not self._is_any_ended:
            results = [step(action) for step, action in zip(self._steps, actions, strict=True)]
        elif self._mode == "NextStep":
            results = [
                step(action) if not is_ended else _first(self._envs[i])
                for i, (step, action, is_ended) in enumerate(
                    zip(self._steps, actions, self._ended, strict=True)
                )
            ]
        else:
            raise RuntimeError("the episode of a lane has ended, and only a reset starts another")
        rows: Sequence[Any]
        infos: Sequence[Any]
        rows, rewards, terminated, truncated, infos = zip(*results, strict=True)
        terminations = np.array(terminated, np.bool_)
        truncations = np.array(truncated, np.bool_)
        ended = terminations | truncations
        if ended.ndim != 1:
            raise ValueError("whether an episode ends must be a bool, not an array")
        self._is_any_ended = bool(ended.any())
        self._ended = ended.tolist()
        fields: dict[str, Any] = {}
        if self._is_any_ended and self._final is not None:
            rows, infos = self._begin_anew(list(rows), list(infos), fields)
        self._observations.fill(rows)
        fields["observations"] = self._observations.value
        fields["rewards"] = _floats(rewards)
        fields["terminations"] = terminations
        fields["truncations"] = truncations
        return _with_infos(fields, "infos", _gather(infos) if any(infos) else {})

    def _begin_anew(
        self, rows: list[Any], infos: list[Any], fields: dict[str, Any]
    ) -> tuple[list[Any], list[Any]]:
        """Resets the lanes that have ended, in the mode SameStep, and keeps their last rows."""
        assert self._final is not None
        final_infos: list[dict[str, Any]] = [{}] * len(rows)
        for i, env in enumerate(self._envs):
            if self._ended[i]:
                # Copied first: an environment may reuse the array and the map in its reset.
                self._final.put(i, rows[i])
                final_infos[i] = dict(infos[i])
                rows[i], infos[i] = env.reset()
        self._ended, self._is_any_ended = [False] * len(rows), False
        fields["final_observations"] = self._final.value
        _with_infos(fields, "final_infos", _gather(final_infos) if any(final_infos) else {})
        return rows, infos

    def render(self, lane: int) -> NDArray[np.uint8] | None:
        """Draws a lane; None where that cannot be done. A lane without pictures can still play."""
        env = self._envs[lane]
        if not self._has_begun[lane] or env.render_mode != "rgb_array":
            return None
        try:
            if self._renders_copies:
                copy = pickle.loads(pickle.dumps(env, pickle.HIGHEST_PROTOCOL))
                with contextlib.closing(copy):
                    frame = copy.render()
            else:
                frame = env.render()
        except (Exception, SystemExit) as error:
            print(f"a frame cannot be drawn: {error!r}"[:500], file=sys.stderr)
            return None
        array = np.asarray(frame)
        if array.ndim != 3 or array.shape[2] not in (3, 4) or array.dtype != np.uint8:
            print(f"a frame is {array.dtype} of shape {array.shape}", file=sys.stderr)
            return None
        return array[:, :, :3]

    def save(self) -> bytes:
        """Returns the state of all lanes."""
        state = (self._envs, self._ended, self._has_begun, self._observations.value)
        return pickle.dumps(state, pickle.HIGHEST_PROTOCOL)

    def restore(self, state: bytes) -> None:
        """Continues from a state of lanes that were made alike."""
        envs, ended, has_begun, observations = pickle.loads(state)
        if len(envs) != len(self._envs):
            raise ValueError(f"a state of {len(envs)} lanes for a vector of {len(self._envs)}")
        self.close()
        self._envs, self._ended, self._has_begun = envs, ended, has_begun
        self._is_any_ended = any(ended)
        self._observations.copy_from(observations)
        self._bind()

    def close(self) -> None:
        """Closes the environments. Their exceptions are only reported."""
        for env in self._envs:
            try:
                env.close()
            except (Exception, SystemExit) as error:
                print(f"an environment cannot be closed: {error!r}"[:500], file=sys.stderr)


def _first(env: Env) -> Step:
    """The step of the mode NextStep that resets a lane."""
    observation, info = env.reset()
    return observation, 0.0, False, False, info


def _floats(rewards: Sequence[Any]) -> NDArray[np.float64]:
    try:
        array = np.array(rewards, np.float64)
    except ValueError:  # numbers mixed with arrays
        array = np.zeros(0)
    if array.shape != (len(rewards),):
        array = np.zeros(len(rewards))
        for i, reward in enumerate(rewards):
            array[i] = reward
    return array


def _gather(infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    gathered = Infos(len(infos))
    for i, info in enumerate(infos):
        if info:
            gathered.add(i, info)
    return gathered.value


def _with_infos(fields: dict[str, Any], name: str, infos: dict[str, Any]) -> dict[str, Any]:
    if infos:
        fields[name] = infos
    return fields
