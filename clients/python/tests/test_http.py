"""Tests the reader of replies, byte by byte."""

from __future__ import annotations

import socket

import pytest
from stub import Listener, Proxy, Request, read_request

import strategic_memory_envs as sme
from strategic_memory_envs import _http
from strategic_memory_envs._http import Endpoint, Reply, ReplyReader, Template
from strategic_memory_envs.errors import ProtocolError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: a/b; x=1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3\r\nhel\r\n2;ext=1\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN
TO_THE_END = b"HTTP/1.0 200 OK\r\n\r\nhello"


def feed(reader: ReplyReader, data: bytes, size: int) -> Reply | None:
    reply = None
    while data:
        assert reply is None, "more bytes were wanted, but the reply was whole"
        room = reader.room()
        count = min(size, len(room), len(data))
        room[:count] = data[:count]
        reply, data = reader.fed(count), data[count:]
    return reply


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("data", [PLAIN, CHUNKED, INTERIM])
def test_replies_in_pieces_of_any_size(data: bytes, size: int) -> None:
    reader = ReplyReader()
    for _ in range(3):
        reply = feed(reader, data, size)
        assert reply is not None
        assert (reply.head.status, bytes(reply.body), reply.head.closes) == (200, b"hello", False)
        assert reader.is_empty


def test_a_reply_may_last_until_the_end() -> None:
    reader = ReplyReader()
    assert feed(reader, TO_THE_END, 3) is None
    reply = reader.eof()
    assert (bytes(reply.body), reply.head.closes) == (b"hello", True)


def test_large_replies_make_room() -> None:
    body = bytes(range(256)) * 4096
    reader = ReplyReader()
    reply = feed(reader, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body, 9999)
    assert reply is not None
    assert bytes(reply.body) == body
    assert feed(reader, PLAIN, 1000) is not None


@pytest.mark.parametrize("data", [b"", PLAIN[:20], PLAIN[:-1], CHUNKED[:-2]])
def test_an_early_end_is_a_lost_connection(data: bytes) -> None:
    reader = ReplyReader()
    feed(reader, data, 1000)
    with pytest.raises(ConnectionResetError):
        reader.eof()


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + b"x",
        CHUNKED + b"x",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nfolded: a\r\n b: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
    ],
)
def test_what_is_not_a_reply_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        feed(ReplyReader(), data, 100_000)


def test_204_has_no_body() -> None:
    reply = feed(ReplyReader(), b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", 1000)
    assert reply is not None
    assert bytes(reply.body) == b""


def test_urls() -> None:
    endpoint = Endpoint.parse("https://[::1]:8443/memory/")
    assert (endpoint.is_tls, endpoint.host, endpoint.port) == (True, "::1", 8443)
    assert str(endpoint) == "https://[::1]:8443/memory"
    template = Template("POST", "/v1/x", endpoint, token="t", accept="a/b", content_type="a/b")
    lines = template.render(b"body").split(b"\r\n")
    assert lines[0] == b"POST /memory/v1/x HTTP/1.1"
    assert b"Authorization: Bearer t" in lines
    assert b"Content-Length: 4" in lines
    assert lines[-2:] == [b"", b"body"]
    for url in (
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://x?q=1",
        "http://x y/",
    ):
        with pytest.raises(ValueError, match="URL"):
            Endpoint.parse(url)


def test_heads_are_kept_for_few_lengths_only() -> None:
    template = Template("POST", "/", Endpoint.parse("http://x"), token=None, accept="a/b")
    for length in range(1000):
        assert template.render(b"x" * length).endswith(b"%d\r\n\r\n" % length + b"x" * length)
    assert len(template._heads) <= 64


class Endless(Listener):
    """Answers every request with `head`, then repeats `rest` until the client disconnects."""

    def __init__(self, head: bytes, rest: bytes) -> None:
        self._head, self._rest = head, rest
        super().__init__()

    def serve(self, accepted: socket.socket) -> None:
        if read_request(accepted) is not None:
            accepted.sendall(self._head)
            while True:
                accepted.sendall(self._rest)


@pytest.fixture
def small_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "MAX_BODY_BYTES", 1 << 20)


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.msgpack\r\n"
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
ENDLESS = {
    "to the end": (OK + b"\r\n", bytes(1 << 16)),
    "chunked": (OK + b"transfer-encoding: chunked\r\n\r\n", CHUNK),
    "chunk head": (OK + b"transfer-encoding: chunked\r\n\r\n", b"0" * (1 << 16)),
    "headers": (OK, b"x: y\r\n" * 9999),
    "interim": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "as long as it says": (OK + b"content-length: 1048577\r\n\r\n", bytes(1 << 16)),
}


@pytest.mark.usefixtures("small_bound")
@pytest.mark.parametrize("which", ENDLESS)
def test_a_reply_without_end_is_given_up(which: str) -> None:
    with (
        Endless(*ENDLESS[which]) as listener,
        pytest.raises(sme.ProtocolError, match=r"longer than|without end"),
    ):
        sme.RemoteEnv("MemoryTask-v0", server=listener.url)


def test_every_change_says_what_it_sends(server: str) -> None:
    seen: list[tuple[str, str]] = []

    class Watching(Proxy):
        def _forward(self, request: Request) -> bytes:
            seen.append((request.method, request.headers["content-type"]))
            return super()._forward(request)

    with (
        Watching(server) as proxy,
        sme.RemoteEnv("MemoryTask-v0", server=proxy.url, delay=1) as env,
    ):
        env.reset()
        env.step(0)
        env.close()
    kind = "application/vnd.msgpack"
    assert seen == [("PUT", kind), ("POST", kind), ("POST", kind), ("DELETE", kind)]


def test_no_proxy_stands_between(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    once = sme.RetryPolicy(give_up_after_s=0.0)
    with sme.RemoteEnv("MemoryTask-v0", server=server, delay=1, retry=once) as env:
        env.reset()
