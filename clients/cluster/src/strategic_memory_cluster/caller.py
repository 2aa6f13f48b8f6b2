"""Notices that the relay's caller is gone before the relay reads what it sends."""

from __future__ import annotations

import contextlib
import select
import signal
import threading
from collections.abc import Iterator
from typing import Any

_LOOK_S = 0.5
"""Time between two looks."""


class Gone(BaseException):
    """The caller is gone. No `Exception`: nothing that handles errors of Ray shall handle it."""


@contextlib.contextmanager
def watched(stream: int) -> Iterator[None]:
    """Raises `Gone` in this thread, the main one, once the writer of a pipe has closed it.

    A wait for a free CPU may take a day, and a user who presses Ctrl-C does not wait so long.
    """
    over = threading.Event()
    waiting = threading.get_ident()

    def raise_gone(*_: Any) -> None:
        if not over.is_set():
            raise Gone

    def watch() -> None:
        poll = select.poll()
        poll.register(stream, 0)
        # Again and again: an exception may be lost inside a callback of Ray.
        while not over.wait(_LOOK_S):
            if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0)):
                signal.pthread_kill(waiting, signal.SIGUSR1)

    earlier = signal.signal(signal.SIGUSR1, raise_gone)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR1, earlier)
