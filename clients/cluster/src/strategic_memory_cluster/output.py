"""The caller's end of the relay. Nothing here imports Ray, whose variables are set first."""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

from . import frames


class Output:
    """Writes frames to the caller; forgets them once it is gone."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream

    def send(self, kind: str, **fields: Any) -> None:
        """Writes a frame. `Damaged` if it is too long."""
        frame = frames.encode(kind, **fields)
        if self._stream is None:
            return
        try:
            self._stream.write(frame)
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


def own_output() -> BinaryIO:
    """Returns standard output for frames alone.

    Ray prints pages about each lost machine, which the caller hears of in one line: they are
    dropped. Lines of its C++ code go to standard error.
    """
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    return own
