"""One environment's place on a server: its requests, and the number its next operation takes.

Without I/O, shared by the blocking and the asynchronous clients.
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Literal

from ._codec import Codec, Encoding
from ._http import Endpoint, Reply, Template
from ._retry import problem_of
from .errors import ProtocolError, SeqConflict, ServerProblem

Kind = Literal["envs", "vector-envs"]
_ENV_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Session:
    """Requests of one environment."""

    def __init__(
        self,
        endpoint: Endpoint,
        kind: Kind,
        *,
        env_id: str | None = None,
        token: str | None = None,
        encoding: Encoding = "msgpack",
    ) -> None:
        self.env_id = str(uuid.uuid4()) if env_id is None else env_id
        if not _ENV_ID.fullmatch(self.env_id):
            raise ValueError(
                f"the id {self.env_id!r} is not 1 to 64 of A-Z a-z 0-9 . _ - that begin with a "
                "letter or digit"
            )
        self.seq = 0
        self.in_doubt: bytes | None = None
        """The last operation, while nobody knows whether it was applied."""
        self.codec = Codec(encoding)
        path = f"/v1/{kind}/{self.env_id}"
        content_type = self.codec.content_type

        def template(method: str, target: str, accept: str) -> Template:
            return Template(
                method,
                target,
                endpoint,
                token=token,
                accept=accept,
                # Also without a body: a page in a browser cannot send one of these types to another
                # site without being asked for, so servers may insist on it for every change.
                content_type=None if method == "GET" else content_type,
            )

        self._template = template
        self._path = path
        self.put = template("PUT", path, content_type)
        self.get = template("GET", path, content_type)
        self.delete = template("DELETE", path, content_type)
        self.reset = template("POST", f"{path}/reset", content_type)
        self.step = template("POST", f"{path}/step", content_type)

    def picture(self, accept: str, lane: int | None = None) -> Template:
        """The request for a picture of the environment, or of one lane."""
        query = "" if lane is None else f"?lane={lane}"
        return self._template("GET", f"{self._path}/render{query}", accept)

    def operation(self, template: Template, fields: dict[str, Any]) -> bytes:
        """The request of the next operation."""
        return template.render(self.codec.dumps({"seq": self.seq, **fields}))

    def settle(self, reply: Reply) -> None:
        """Takes note of how an operation in doubt came out, when its reply is not wanted any more.

        Raises:
            SeqConflict: someone else has gone on with the environment.
        """
        self.in_doubt = None
        try:
            self.accept(reply)
        except SeqConflict:
            raise
        except ServerProblem:
            return  # Refused, so nothing has happened.

    def accept(self, reply: Reply) -> dict[str, Any]:
        """The body of an operation's reply; from now on the next number counts.

        Raises:
            ServerProblem: it was refused.
            ProtocolError: the reply is not understood.
        """
        body = self.body(reply)
        seq = body.get("seq")
        if type(seq) is not int:
            raise ProtocolError("the reply has no seq")
        self.seq = seq
        return body

    def body(self, reply: Reply) -> dict[str, Any]:
        """The body of a reply that is no error.

        Raises:
            ServerProblem: it is one.
            ProtocolError: it is not understood.
        """
        if reply.head.status >= 300:
            raise problem_of(reply)
        media_type = reply.head.media_type
        if media_type != self.codec.content_type:
            raise ProtocolError(f"the reply is {media_type or 'of no type'}")
        return self.codec.loads(reply.body)
