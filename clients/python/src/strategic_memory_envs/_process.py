"""Keeps track of forks: sockets opened before a fork belong to the parent."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Owner(Protocol):
    def drop(self) -> None: ...


generation = 0
"""Number of forks between the process that imported this package and this one."""

_sockets: weakref.WeakSet[_Owner] = weakref.WeakSet()


def drop_in_child(owner: _Owner) -> None:
    """Makes a forked child close its copy of the owner's socket."""
    _sockets.add(owner)


def _after_fork_in_child() -> None:
    global generation
    generation += 1
    for owner in list(_sockets):
        owner.drop()
    _sockets.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
