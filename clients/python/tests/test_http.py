"""The reader of replies, byte by byte."""

from __future__ import annotations

import pytest

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
