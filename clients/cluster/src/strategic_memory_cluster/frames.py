"""Frames: messages on the relay's and the workers' standard streams; docs/cluster.md defines them.

A frame is its length in bytes, 32 bits in network byte order, and so many bytes of MessagePack: a
map with one key, the kind of the frame, whose value is a map of its fields.
"""

from __future__ import annotations

from typing import IO, Any

import msgpack

PROTOCOL = 2
"""Version of the frames."""

MAX_FRAME_BYTES = 1 << 30
"""Largest length of a frame."""

_CHUNK = 1 << 20


class Damaged(Exception):
    """Bytes that are not a frame."""


def encode(kind: str, **fields: Any) -> bytes:
    """Returns the bytes of a frame with its length; `Damaged` if it is too long."""
    body: bytes = msgpack.packb({kind: fields})
    if len(body) > MAX_FRAME_BYTES:
        raise Damaged(f"a frame of {len(body)} bytes; the limit is {MAX_FRAME_BYTES}")
    return len(body).to_bytes(4, "big") + body


def read(stream: IO[bytes]) -> tuple[str, dict[str, Any]] | None:
    """Reads a frame: its kind and fields, `None` at the end; `Damaged` if it is not one.

    A length reserves no memory; bytes that arrive do.
    """
    head = _take(stream, 4)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < 4:
        raise Damaged("the end of the input inside a frame")
    if length > MAX_FRAME_BYTES:
        raise Damaged(f"a frame of {length} bytes; the limit is {MAX_FRAME_BYTES}")
    body = _take(stream, length)
    if len(body) < length:
        raise Damaged("the end of the input inside a frame")
    return decode(body)


def decode(body: bytes | bytearray) -> tuple[str, dict[str, Any]]:
    """Decodes the bytes of a frame, without its length."""
    try:
        frame = msgpack.unpackb(
            body, max_bin_len=MAX_FRAME_BYTES, max_str_len=MAX_FRAME_BYTES, max_map_len=32
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise Damaged(f"bytes that are not a frame: {error}") from error
    if not isinstance(frame, dict) or len(frame) != 1:
        raise Damaged("bytes that are not a frame: not a map with one key")
    [(kind, fields)] = frame.items()
    if not isinstance(kind, str) or not isinstance(fields, dict):
        raise Damaged("bytes that are not a frame: not a kind with fields")
    return kind, fields


def fields_of(frame: dict[str, Any], **types: type | tuple[type, ...]) -> list[Any]:
    """Returns the values of exactly these fields, in this order; `Damaged` for other ones."""
    if frame.keys() != types.keys():
        raise Damaged(f"a frame with the fields {sorted(map(str, frame))}, not {sorted(types)}")
    for name, wanted in types.items():
        value = frame[name]
        is_number = wanted is int and isinstance(value, bool)
        if not isinstance(value, wanted) or is_number:
            raise Damaged(f"a frame whose field {name} is a {type(value).__name__}")
    return [frame[name] for name in types]


def _take(stream: IO[bytes], length: int) -> bytearray:
    """Reads so many bytes, fewer at the end of the input."""
    taken = bytearray()
    while len(taken) < length:
        chunk = stream.read(min(_CHUNK, length - len(taken)))
        if not chunk:
            break
        taken += chunk
    return taken
