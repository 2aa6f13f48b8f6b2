"""Many environments behind one id, as a Gymnasium vector environment: one request per batch."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from . import _settings
from ._bodies import (
    Fields,
    Info,
    Seeds,
    Vector,
    VectorStepResult,
    check_count,
    check_seed,
    creation,
)
from ._codec import Encoding
from ._remote import Remote
from ._retry import RetryPolicy
from ._session import Session
from ._settings import Settings
from .env import picture


def _check_mode(mode: AutoresetMode | str) -> str:
    try:
        return AutoresetMode(mode).value
    except ValueError:
        modes = [each.value for each in AutoresetMode]
        raise ValueError(f"autoreset_mode is one of {modes}, not {mode!r}") from None


def vector_creation(
    spec_id: str,
    num_envs: int,
    kwargs: Mapping[str, Any],
    *,
    autoreset_mode: AutoresetMode | str,
    seed: int | Sequence[int] | None,
    ttl_s: int | None,
) -> Fields:
    """Returns the body that creates a vector environment."""
    wanted = creation(
        spec_id,
        kwargs,
        ttl_s,
        num_envs=check_count("num_envs", num_envs),
        autoreset_mode=_check_mode(autoreset_mode),
    )
    if seed is not None:
        if isinstance(seed, Sequence):
            wanted["seed"] = [check_seed(each) for each in seed]
        else:
            wanted["seed"] = check_seed(seed)
    return wanted


class RemoteVectorEnv(gymnasium.vector.VectorEnv[Any, Any, NDArray[Any]]):
    """`num_envs` environments on a server, stepped by one request.

    The lanes are independent: lane `i` of seed `s` behaves like a single environment of seed
    `s + i`.

    Args:
        spec_id: an id of the server's catalogue, such as `MemoryTask-v0`.
        num_envs: number of lanes.
        autoreset_mode: Gymnasium's, or its value: `NextStep`, `SameStep`, `Disabled`.
        seed: seed of the first reset without a seed; one for all lanes or one for each.

    The other arguments and the exceptions are those of `RemoteEnv`.
    """

    _remote: Remote | None = None
    __reduce__ = _settings.refuse_copy

    def __init__(
        self,
        spec_id: str,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        server: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        render_mode: str | None = None,
        seed: int | Sequence[int] | None = None,
        env_id: str | None = None,
        ttl_s: int | None = None,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        encoding: Encoding = "msgpack",
        ssl_context: ssl.SSLContext | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        _settings.check_render_mode(render_mode)
        self.render_mode = render_mode
        settings = Settings(
            server, token, token_file, timeout_s, retry or RetryPolicy(), encoding, ssl_context
        )
        wanted = vector_creation(
            spec_id,
            num_envs,
            _settings.join_kwargs(env_kwargs, kwargs),
            autoreset_mode=autoreset_mode,
            seed=seed,
            ttl_s=ttl_s,
        )
        self._remote, session = settings.remote("vector-envs", env_id)
        self._begin(session, self._remote.open(wanted, Vector))

    @classmethod
    def attach(
        cls,
        env_id: str,
        *,
        server: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        encoding: Encoding = "msgpack",
        ssl_context: ssl.SSLContext | None = None,
    ) -> RemoteVectorEnv:
        """Plays a vector environment that another client has created; `close()` does not close it.

        An evaluation token allows only this, with resets without seed and options.
        """
        env = cls.__new__(cls)
        env.render_mode = None
        settings = Settings(
            server, token, token_file, timeout_s, retry or RetryPolicy(), encoding, ssl_context
        )
        env._remote, session = settings.remote("vector-envs", env_id)
        env._begin(session, env._remote.attach(Vector))
        return env

    def _begin(self, session: Session, bodies: Vector) -> None:
        """Copies the server's description of the environment."""
        assert self._remote is not None
        self._bodies = bodies
        self._operate = self._remote.operate
        self._reset, self._step = session.reset, session.step
        self.num_envs = bodies.num_envs
        self.single_observation_space = bodies.single_observation_space
        self.single_action_space = bodies.single_action_space
        self.observation_space = bodies.observation_space
        self.action_space = bodies.action_space
        self.metadata = {
            "render_modes": _settings.RENDER_MODES,
            "render_fps": _settings.RENDER_FPS,
            "autoreset_mode": bodies.autoreset_mode,
        }

    @property
    def env_id(self) -> str:
        """Name of the vector environment on the server."""
        assert self._remote is not None
        return self._remote.session.env_id

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Arguments of the lanes, including defaults."""
        return dict(self._bodies.env_kwargs)

    def reset(
        self,
        *,
        seed: Seeds = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, Info]:
        """Begins episodes in all lanes, or in those of `options["reset_mask"]`.

        `seed`: lane `i` gets `seed + i`, or the `i`-th of a list. If that is None, or without a
        seed, a lane's random stream continues. Lanes outside the mask repeat their last
        observation.
        """
        bodies = self._bodies
        plan = bodies.reset_fields(seed, options)
        # Gymnasium's own generator takes one seed; the lanes' streams are on the server.
        super().reset(seed=plan[0]["seed"] if isinstance(plan[0].get("seed"), int) else None)
        return bodies.read_resets([self._operate(self._reset, fields) for fields in plan])

    def step(self, actions: Any) -> VectorStepResult:
        """Takes an action in every lane.

        Raises:
            NeedsReset: the episode of a lane has ended or never begun.
            InvalidAction: an action is not in the action space; no lane has been stepped.
        """
        bodies = self._bodies
        return bodies.read_step(self._operate(self._step, bodies.step_fields(actions)))

    def render(self) -> tuple[Any, ...] | None:
        """Returns a picture of each lane's current state, in the form of `render_mode`."""
        if self.render_mode is None:
            picture(self._remote, None)
            return None
        lanes = range(self.num_envs)
        return tuple(picture(self._remote, self.render_mode, lane) for lane in lanes)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the environments on the server. `close()` calls it once."""
        if self._remote is not None:
            self._remote.close()

    def __enter__(self) -> RemoteVectorEnv:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # At the end of the process even modules may be gone.
        with contextlib.suppress(Exception):
            if self._remote is not None:
                self._remote.abandon()
