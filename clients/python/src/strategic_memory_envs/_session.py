"""The requests of one environment on a server, and the number of its next operation.

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
        """The last operation, while it is unknown whether it was applied."""
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
                # Also without a body: a page in a browser cannot send these types to another site
                # without permission, so servers may require them for every change.
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
        """Returns the request for a picture of the environment, or of one lane."""
        query = "" if lane is None else f"?lane={lane}"
        return self._template("GET", f"{self._path}/render{query}", accept)

    def operation(self, template: Template, fields: dict[str, Any]) -> bytes:
        """Returns the request of the next operation."""
        return template.render(self.codec.dumps({"seq": self.seq, **fields}))

    def settle(self, reply: Reply) -> None:
        """Records the outcome of an operation in doubt whose reply is no longer needed.

        Raises:
            SeqConflict: another client has continued with the environment.
        """
        self.in_doubt = None
        try:
            self.accept(reply)
        except SeqConflict:
            raise
        except ServerProblem:
            return  # Refused: nothing has changed.

    def accept(self, reply: Reply) -> dict[str, Any]:
        """Returns the body of an operation's reply, and advances to the next number.

        Raises:
            ServerProblem: the operation was refused.
            ProtocolError: the reply is malformed.
        """
        body = self.body(reply)
        seq = body.get("seq")
        if type(seq) is not int:
            raise ProtocolError("the reply has no seq")
        self.seq = seq
        return body

    def body(self, reply: Reply) -> dict[str, Any]:
        """Returns the body of a successful reply.

        Raises:
            ServerProblem: the reply is an error.
            ProtocolError: the reply is malformed.
        """
        if reply.head.status >= 300:
            raise problem_of(reply)
        media_type = reply.head.media_type
        if media_type != self.codec.content_type:
            raise ProtocolError(f"the reply is {media_type or 'of no type'}")
        return self.codec.loads(reply.body)
