"""Registers the server's catalogue with Gymnasium."""

from __future__ import annotations

import json
import os
from typing import Any

import gymnasium

from ._connection import Connection
from ._http import Endpoint, Template
from ._known import KNOWN_SPECS
from ._remote import opening, send
from ._retry import RetryPolicy, problem_of
from ._server import server_token, server_url
from .errors import ProtocolError

_SINGLE = "strategic_memory_envs:RemoteEnv"
_VECTOR = "strategic_memory_envs:RemoteVectorEnv"
# Before ids that are taken, such as Gymnasium's own Pendulum-v1.
_NAMESPACE = "strategic-memory/"


def catalogue(
    server: str | None = None,
    *,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
) -> list[dict[str, Any]]:
    """Returns the specs that a server offers: ids, descriptions, parameters, spaces, thresholds.

    Raises:
        ServerUnreachable, ServerProblem, ProtocolError: the server cannot be asked.
    """
    endpoint = Endpoint.parse(server_url(server))
    template = Template(
        "GET",
        "/v1/specs",
        endpoint,
        token=server_token(token, token_file),
        accept="application/json",
    )
    connection = Connection(endpoint, 30.0, None)
    try:
        reply = send(connection, template.render(b""), template.name, opening(RetryPolicy()))
        if reply.head.status >= 300:
            raise problem_of(reply)
        specs = json.loads(bytes(reply.body))["specs"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"the catalogue cannot be read: {error}") from error
    finally:
        connection.drop()
    return list(specs)


def register_known() -> None:
    """Registers the specs that this version of the package knows, without asking a server."""
    for spec_id, reward_threshold in KNOWN_SPECS.items():
        _register(spec_id, reward_threshold, None)


def register_all(
    server: str | None = None,
    *,
    token: str | None = None,
    token_file: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Registers all specs of a server and returns their ids. Existing registrations stay.

    A spec whose id belongs to another environment, as Pendulum-v1 does to Gymnasium's, is
    registered as strategic-memory/Pendulum-v1. With `server`, environments with these ids are
    created on that server.

    Raises:
        ServerUnreachable, ServerProblem, ProtocolError: the server cannot be asked.
    """
    specs = catalogue(server, token=token, token_file=token_file)
    return [_register(str(spec["id"]), spec.get("solved_threshold"), server) for spec in specs]


def _register(spec_id: str, reward_threshold: float | None, server: str | None) -> str:
    taken = gymnasium.registry.get(spec_id)
    is_ours = taken is None or taken.entry_point == _SINGLE
    registered_id = spec_id if is_ours else _NAMESPACE + spec_id
    if registered_id in gymnasium.registry:
        return registered_id
    kwargs: dict[str, Any] = {"spec_id": spec_id}
    if server is not None:
        kwargs["server"] = server
    gymnasium.register(
        registered_id,
        entry_point=_SINGLE,
        vector_entry_point=_VECTOR,
        reward_threshold=reward_threshold,
        kwargs=kwargs,
    )
    return registered_id
