"""Frames: calls and answers, each a MessagePack map with one key behind its length."""

from __future__ import annotations

import os
from typing import Any

import msgpack

MAX_FRAME_BYTES = 1 << 30
"""Longest frame that is read or written."""


class DamagedFrame(Exception):
    """The input is not what the protocol says. The host cannot continue."""


class Frames:
    """Reads frames from one file descriptor and writes them to another."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._input = open(input_fd, "rb", buffering=1 << 16)  # noqa: SIM115 (lives as long as we)
        self._output_fd = output_fd

    def read(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the kind and the fields of the next frame, or None at the end of the input.

        Raises:
            DamagedFrame: the input ends within a frame, or is not a frame.
        """
        header = self._input.read(4)
        if not header:
            return None
        length = int.from_bytes(header, "big")
        if len(header) < 4 or length > MAX_FRAME_BYTES:
            raise DamagedFrame(f"the length of a frame is {header.hex()}")
        body = self._input.read(length)
        if len(body) < length:
            raise DamagedFrame(f"the input ends after {len(body)} bytes of a frame of {length}")
        try:
            frame = msgpack.unpackb(body)
        except Exception as error:  # msgpack raises many kinds for the same reason
            raise DamagedFrame(f"a frame is not MessagePack: {error}") from error
        if not isinstance(frame, dict) or len(frame) != 1:
            raise DamagedFrame("a frame is not a map with one key")
        ((kind, fields),) = frame.items()
        if not isinstance(kind, str) or not isinstance(fields, dict):
            raise DamagedFrame("a frame is not a map of fields by its kind")
        return kind, fields

    def write(self, body: bytes) -> None:
        """Writes a frame, with its length and body in one piece.

        Raises:
            OSError: the server does not read any longer.
        """
        rest = memoryview(len(body).to_bytes(4, "big") + body)
        while rest:
            rest = rest[os.write(self._output_fd, rest) :]
