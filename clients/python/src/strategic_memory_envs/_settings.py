"""Arguments that all clients have in common."""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ._codec import Encoding
from ._http import Endpoint
from ._remote import Remote
from ._retry import RetryPolicy
from ._server import server_token, server_url
from ._session import Kind, Session

RENDER_MODES = ["ansi", "rgb_array"]
RENDER_FPS = 4
PICTURES = {"ansi": "text/plain", "rgb_array": "image/png"}
"""The media type of each render mode."""


def check_render_mode(render_mode: str | None) -> None:
    """Checks a render mode.

    Raises:
        ValueError: there is no such mode.
    """
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode is one of {RENDER_MODES} or None, not {render_mode!r}")


def refuse_copy(env: object) -> NoReturn:
    """Replaces `__reduce__`: two copies would take each other's turns in one environment.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        f"a {type(env).__name__} lives on a server and cannot be copied or pickled: make another "
        "one where it is needed, for instance by gymnasium.make(env.spec)"
    )


def join_kwargs(env_kwargs: Mapping[str, Any] | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Joins the arguments of the environment that were given in a dict and by name."""
    joined = dict(env_kwargs or {})
    for name, value in kwargs.items():
        if name in joined:
            raise TypeError(f"{name} is given twice: in env_kwargs and by itself")
        joined[name] = value
    return joined


@dataclass(frozen=True)
class Settings:
    """How to reach a server."""

    server: str | None
    token: str | None
    token_file: str | os.PathLike[str] | None
    timeout_s: float
    retry: RetryPolicy
    encoding: Encoding
    ssl_context: ssl.SSLContext | None

    def __post_init__(self) -> None:
        if not isinstance(self.retry, RetryPolicy):
            raise TypeError(f"retry is a RetryPolicy(give_up_after_s=…), not {self.retry!r}")
        if not isinstance(self.timeout_s, int | float):
            raise TypeError(f"timeout_s is a number of seconds, not {self.timeout_s!r}")
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"timeout_s is a finite number greater than 0, not {self.timeout_s}")

    def session(self, kind: Kind, env_id: str | None) -> tuple[Endpoint, Session]:
        """Returns a session for an environment on the server, which is started if there is none."""
        endpoint = Endpoint.parse(server_url(self.server))
        token = server_token(self.token, self.token_file)
        session = Session(endpoint, kind, env_id=env_id, token=token, encoding=self.encoding)
        return endpoint, session

    def remote(self, kind: Kind, env_id: str | None) -> tuple[Remote, Session]:
        """Returns a session with a blocking connection."""
        endpoint, session = self.session(kind, env_id)
        remote = Remote(
            endpoint,
            session,
            timeout_s=self.timeout_s,
            retry=self.retry,
            ssl_context=self.ssl_context,
        )
        return remote, session
