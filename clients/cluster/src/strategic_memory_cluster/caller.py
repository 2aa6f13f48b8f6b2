"""Notices that the relay's caller is gone before the relay reads what it sends."""

from __future__ import annotations

import select


class Gone(Exception):
    """The caller is gone."""


def is_gone(stream: int) -> bool:
    """Whether the writer of a pipe has closed it, whatever is left to read."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))
