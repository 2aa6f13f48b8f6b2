"""A single environment on a server, as a Gymnasium environment."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from . import _png, _settings
from ._bodies import Info, Single, StepResult, check_seed, creation
from ._codec import Encoding
from ._remote import Remote
from ._retry import RetryPolicy
from ._settings import Settings


class RemoteEnv(gymnasium.Env[Any, Any]):
    """An environment that lives on a server and is played over HTTP.

    Every step is applied exactly once: it carries a number, and is sent again if its reply is lost.
    The environment belongs to the process that made it; threads may share it and take turns.

    Args:
        spec_id: one of the server's catalogue, such as `MemoryTask-v0`.
        server: URL; without it `$STRATEGIC_MEMORY_SERVER`, else a server started by this process.
        token: bearer token; without it `$STRATEGIC_MEMORY_TOKEN`.
        token_file: a file that holds the token and nothing else, in place of `token`.
        render_mode: `ansi` (text), `rgb_array` (uint8 `[height, width, 3]`) or None.
        seed: seed of the first reset without a seed; drawn by the server if left out.
        env_id: the environment's name on the server; random if left out.
        ttl_s: lease in whole seconds; chosen by the server if left out.
        timeout_s: seconds of silence after which a request is sent again.
        retry: how long to keep trying after faults.
        encoding: `msgpack` or `json`, which is slower and readable.
        ssl_context: for `https`, if the default context does not fit.
        env_kwargs: arguments of the environment, like those given by name.
        kwargs: arguments of the environment, such as `delay=16`.

    Raises:
        ServerProblem: the server refuses, for example because of an argument.
        ServerUnreachable: the server does not answer.
        LocalServerError: there is no server, and none can be started.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": _settings.RENDER_MODES,
        "render_fps": _settings.RENDER_FPS,
    }

    _remote: Remote | None = None
    __reduce__ = _settings.refuse_copy

    def __init__(
        self,
        spec_id: str,
        *,
        server: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        render_mode: str | None = None,
        seed: int | None = None,
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
        wanted = creation(spec_id, _settings.join_kwargs(env_kwargs, kwargs), ttl_s)
        if seed is not None:
            wanted["seed"] = check_seed(seed)
        remote, session = settings.remote("envs", env_id)
        self._remote = remote
        self._bodies = remote.open(wanted, Single)
        self._operate = remote.operate
        self._reset, self._step = session.reset, session.step
        self.observation_space = self._bodies.observation_space
        self.action_space = self._bodies.action_space

    @property
    def env_id(self) -> str:
        """Name of the environment on the server."""
        assert self._remote is not None
        return self._remote.session.env_id

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment, including defaults."""
        return dict(self._bodies.env_kwargs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Info]:
        """Begins an episode.

        A seed restarts the environment's random stream; without a seed the stream continues.
        `options` may hold the spec's resettable parameters, for this episode.
        """
        super().reset(seed=seed)
        bodies = self._bodies
        return bodies.read_reset(self._operate(self._reset, bodies.reset_fields(seed, options)))

    def step(self, action: Any) -> StepResult:
        """Takes an action.

        Raises:
            NeedsReset: the episode has ended or never begun.
            InvalidAction: the action is not in the action space; the episode continues.
        """
        bodies = self._bodies
        return bodies.read_step(self._operate(self._step, bodies.step_fields(action)))

    def render(self) -> str | NDArray[np.uint8] | None:
        """Returns a picture of the current state, in the form of `render_mode`."""
        return picture(self._remote, self.render_mode)

    def close(self) -> None:
        """Closes the environment here and on the server. Closing again does nothing."""
        if self._remote is not None:
            self._remote.close()

    def __del__(self) -> None:
        # At the end of the process even modules may be gone.
        with contextlib.suppress(Exception):
            if self._remote is not None:
                self._remote.abandon()


def picture(
    remote: Remote | None, render_mode: str | None, lane: int | None = None
) -> str | NDArray[np.uint8] | None:
    """Returns a picture in the render mode, or None without a mode (after Gymnasium's warning)."""
    if remote is None or render_mode is None:
        gymnasium.logger.warn("render() needs a render_mode, given when the environment is made")
        return None
    data = remote.picture(_settings.PICTURES[render_mode], lane)
    return read_picture(data, render_mode)


def read_picture(data: bytes, render_mode: str) -> str | NDArray[np.uint8]:
    """Converts a fetched picture to Gymnasium's form."""
    return data.decode("utf-8", "replace") if render_mode == "ansi" else _png.decode(data)
