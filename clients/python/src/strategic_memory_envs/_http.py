"""HTTP/1.1 without I/O: renders requests to bytes and reads replies from bytes.

This is only as much of HTTP as talking to one server over a kept connection needs. To save time,
heads of requests are formatted once for each length of body, and the head of a reply that has been
seen before is not parsed again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from .errors import ProtocolError

MAX_HEAD_BYTES = 64 << 10
"""Largest head of a reply."""
MAX_BODY_BYTES = 256 << 20
"""Largest body of a reply: many times the largest reply of a vector environment."""
MAX_INTERIM_REPLIES = 16
"""Most interim replies (1xx) before the final one."""
_BUFFER_BYTES = 64 << 10
_MAX_CACHED_HEADS = 64
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Endpoint:
    """The address of a server."""

    is_tls: bool
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Reads `http://host:port` or `https://…`, with an optional path in front of `/v1`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not a server's URL, such as http://127.0.0.1:7878")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("a server's URL has no user, query or fragment; give the token apart")
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        if re.search(r"[^\x21-\x7e]", parts.path + parts.hostname):
            raise ValueError(f"{url!r} has characters that a URL cannot have")
        return cls(is_tls, parts.hostname, port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """Host and port in the form of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.is_tls else 'http'}://{self.authority}{self.prefix}"


class Template:
    """Everything of a request except the body and its length."""

    __slots__ = ("_heads", "_start", "name")

    def __init__(
        self,
        method: str,
        target: str,
        endpoint: Endpoint,
        *,
        token: str | None,
        accept: str,
        content_type: str | None = None,
    ) -> None:
        lines = [
            f"{method} {endpoint.prefix}{target} HTTP/1.1",
            f"Host: {endpoint.authority}",
            f"Accept: {accept}",
        ]
        if token is not None:
            if not _TOKEN.fullmatch(token):
                raise ValueError("the token has characters that a header cannot have")
            lines.append(f"Authorization: Bearer {token}")
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
        self.name = f"{method} {endpoint}{target}"
        self._start = "\r\n".join(lines).encode("ascii")
        self._heads: dict[int, bytes] = {}

    def render(self, body: bytes) -> bytes:
        """Returns the request with this body."""
        head = self._heads.get(len(body))
        if head is None:
            if len(self._heads) >= _MAX_CACHED_HEADS:
                self._heads.clear()
            head = self._start + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._heads[len(body)] = head
        return head + body


class Head(NamedTuple):
    """Status and headers of a reply, and what they imply for its body."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    length: int | None
    """Bytes of the body; `None` if only its end determines the length."""
    is_chunked: bool
    closes: bool
    """Whether the connection cannot be used again."""
    media_type: str
    """Content type without parameters, in lower case."""


class Reply(NamedTuple):
    """A complete reply. The body is part of the reader's buffer: use it before the next request."""

    head: Head
    body: memoryview | bytes


def parse_head(data: bytes) -> Head:
    """Parses the head of a reply, without the empty line that ends it.

    Raises:
        ProtocolError: the data is not the head of an HTTP/1.1 reply.
    """
    try:
        status_line, *lines = data.decode("latin-1").split("\r\n")
        version, status_text = status_line[:8], status_line[9:12]
        if not version.startswith("HTTP/1.") or status_line[8:9] != " ":
            raise ValueError(status_line)
        if not (status_text.isdigit() and len(status_text) == 3):
            raise ValueError(status_line)
        headers: dict[str, str] = {}
        for line in lines:
            name, separator, value = line.partition(":")
            if not separator or not name or name != name.strip():
                raise ValueError(line)
            name, value = name.lower(), value.strip()
            if name == "content-length" and headers.get(name, value) != value:
                raise ValueError(line)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    except ValueError as error:
        raise ProtocolError(f"the reply is not HTTP/1.1: {str(error)[:80]!r}") from error
    status = int(status_text)
    is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    length: int | None = None
    if status < 200 or status in (204, 304):
        length, is_chunked = 0, False
    elif not is_chunked and "content-length" in headers:
        text = headers["content-length"].split(",")[0]
        if not (text.isascii() and text.isdigit()):
            raise ProtocolError(f"the reply has the length {text[:80]!r}")
        length = int(text)
    connection = headers.get("connection", "").lower()
    closes = "close" in connection or (version == "HTTP/1.0" and "keep-alive" not in connection)
    media_type = headers.get("content-type", "").split(";")[0].strip().lower()
    closes = closes or (length is None and not is_chunked)
    return Head(status, headers, length, is_chunked, closes, media_type)


class ReplyReader:
    """Reads one reply after another from received bytes.

    The caller writes received bytes into `room()` and calls `fed(n)`, until it returns a reply.
    """

    __slots__ = (
        "_body_start",
        "_buffer",
        "_chunk_start",
        "_chunks",
        "_end",
        "_head",
        "_known",
        "_num_interim",
        "_view",
    )

    def __init__(self) -> None:
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._known: dict[bytes, Head] = {}
        self.clear()

    def clear(self) -> None:
        """Discards the reply read so far."""
        self._end = 0
        self._head: Head | None = None
        self._body_start = 0
        self._chunk_start = 0
        self._chunks: list[bytes] = []
        self._num_interim = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a reply has arrived yet."""
        return self._end == 0 and self._head is None

    def room(self) -> memoryview:
        """Returns the place for the next bytes; never empty."""
        if self._end == len(self._view):
            self._grow(2 * self._end)
        return self._view[self._end :] if self._end else self._view

    def _grow(self, size: int) -> None:
        # Not in place: bodies that were handed out may still refer to the old one.
        larger = bytearray(size)
        larger[: self._end] = self._view[: self._end]
        self._buffer, self._view = larger, memoryview(larger)

    def fed(self, count: int) -> Reply | None:
        """Reads `count` new bytes in `room()`; returns the reply once it is complete.

        Raises:
            ProtocolError: the reply is not HTTP, too large, or followed by unrequested bytes.
        """
        self._end += count
        while True:
            head = self._head
            if head is None:
                head = self._read_head()
                if head is None:
                    return None
            if head.is_chunked:
                return self._read_chunks(head)
            if head.length is None:
                self._check_size(self._end - self._body_start)
                return None
            end = self._body_start + head.length
            if self._end < end:
                if end > len(self._view):
                    self._check_size(head.length)
                    self._grow(end)
                return None
            if head.status < 200:
                # An interim reply: the final one follows.
                rest = bytes(self._view[end : self._end])
                num_interim = self._num_interim + 1
                if num_interim > MAX_INTERIM_REPLIES:
                    raise ProtocolError("interim replies (1xx) without end")
                self.clear()
                self._num_interim = num_interim
                self._view[: len(rest)] = rest
                self._end = len(rest)
                continue
            return self._finish(head, self._view[self._body_start : end], end)

    def eof(self) -> Reply:
        """Returns the reply if it ends with the connection, which the other side has closed.

        Raises:
            ConnectionResetError: the reply is incomplete.
        """
        head = self._head
        if head is None or head.is_chunked or head.length is not None:
            raise ConnectionResetError("the connection ended before the reply did")
        return self._finish(head, self._view[self._body_start : self._end], self._end)

    def _read_head(self) -> Head | None:
        length = self._buffer.find(b"\r\n\r\n", 0, self._end)
        if length < 0:
            if self._end > MAX_HEAD_BYTES:
                raise ProtocolError(f"the head of the reply is longer than {MAX_HEAD_BYTES} bytes")
            return None
        data = self._view[:length].tobytes()
        head = self._known.get(data)
        if head is None:
            head = parse_head(data)
            if len(self._known) >= _MAX_CACHED_HEADS:
                self._known.clear()
            self._known[data] = head
        self._head = head
        self._body_start = self._chunk_start = length + 4
        return head

    def _read_chunks(self, head: Head) -> Reply | None:
        buffer = self._buffer
        while True:
            self._check_size(self._end)
            line_end = buffer.find(b"\r\n", self._chunk_start, self._end)
            if line_end < 0:
                return None
            text = bytes(self._view[self._chunk_start : line_end]).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", text):
                raise ProtocolError(f"the reply has a chunk of size {text[:20]!r}")
            size = int(text, 16)
            if size == 0:
                # Trailers, if any, end with an empty line.
                end = buffer.find(b"\r\n\r\n", line_end, self._end)
                if end < 0:
                    return None
                return self._finish(head, b"".join(self._chunks), end + 4)
            start, end = line_end + 2, line_end + 2 + size
            self._check_size(end)
            if self._end < end + 2:
                return None
            self._chunks.append(bytes(self._view[start:end]))
            self._chunk_start = end + 2

    def _finish(self, head: Head, body: memoryview | bytes, end: int) -> Reply:
        if end != self._end:
            raise ProtocolError("something follows the reply")
        self._end = 0
        self._head = None
        self._chunks = []
        self._num_interim = 0
        return Reply(head, body)

    @staticmethod
    def _check_size(size: int) -> None:
        if size > MAX_BODY_BYTES:
            raise ProtocolError(f"the reply is longer than {MAX_BODY_BYTES} bytes")
