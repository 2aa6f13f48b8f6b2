from __future__ import annotations

import io

import msgpack
import pytest

from strategic_memory_cluster import frames
from strategic_memory_cluster.frames import Damaged

REST = {"checkpoint": None, "shared": None, "seat": None}


def test_a_frame_is_read_as_it_was_written() -> None:
    wire = frames.encode("call", id=7, name="job", body=b"\x01\x02", **REST)
    # The bytes that the Rust side expects.
    assert wire[:10] == bytes([0, 0, 0, 55, 0x81, 0xA4]) + b"call"
    stream = io.BytesIO(wire + frames.encode("stop", id=1 << 60))
    fields = {"id": 7, "name": "job", "body": b"\x01\x02", **REST}
    assert frames.read(stream) == ("call", fields)
    assert frames.read(stream) == ("stop", {"id": 1 << 60})
    assert frames.read(stream) is None


def test_every_cut_is_damage() -> None:
    wire = frames.encode("done", id=1, body=b"abc")
    for length in range(1, len(wire)):
        with pytest.raises(Damaged):
            frames.read(io.BytesIO(wire[:length]))


def test_a_length_beyond_the_limit_is_damage_before_anything_is_read() -> None:
    stream = io.BytesIO(b"\xff\xff\xff\xffrest")
    with pytest.raises(Damaged, match="the limit is"):
        frames.read(stream)
    assert stream.read() == b"rest"


@pytest.mark.parametrize(
    "value", [1, [], {}, {"a": 1, "b": {}}, {1: {}}, {"done": 1}, {"done": {}, "x": {}}]
)
def test_what_is_no_frame_is_damage(value: object) -> None:
    with pytest.raises(Damaged):
        frames.decode(msgpack.packb(value))


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x81", b"\x80\x00", b"\x91" * 100_000])
def test_other_bytes_are_damage(content: bytes) -> None:
    with pytest.raises(Damaged):
        frames.decode(content)


def test_fields_are_exactly_those_that_are_asked_for() -> None:
    assert frames.fields_of({"body": b"x", "id": 3}, id=int, body=bytes) == [3, b"x"]
    for wrong in ({"id": 3}, {"id": 3, "body": b"", "more": 1}, {"id": True, "body": b""}):
        with pytest.raises(Damaged):
            frames.fields_of(wrong, id=int, body=bytes)
    with pytest.raises(Damaged, match="field body"):
        frames.fields_of({"id": 3, "body": "text"}, id=int, body=bytes)
