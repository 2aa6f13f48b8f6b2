"""Temporary folders of workers. A folder whose users were killed is removed when the next is made.

Ray kills its processes together with their children, and machines lose power. So the processes that
use a folder hold a lock on it, which ends with them, and a new folder's maker removes those without
a lock. Where a file system has no such locks, folders are left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import tempfile
from pathlib import Path

from . import programs


class Scratch:
    """A temporary folder in this user's private directory."""

    def __init__(self, directory: Path | None = None) -> None:
        """Makes it; `OSError` or `Untrusted` if the directory cannot be used."""
        # Machines that share a file system need not see each other's locks.
        parent = (directory or programs.private_directory()) / f"scratch-{platform.node()}"
        parent.mkdir(mode=0o700, exist_ok=True)
        handle = _open(parent)
        try:
            # The lock keeps other makers from removing it before it has a lock of its own.
            if _locks(handle, fcntl.LOCK_EX):
                _remove_unused(parent)
            self.path = Path(tempfile.mkdtemp(dir=parent))
            self.lock = _open(self.path)
            """Descriptor of the lock. A process that inherits it holds the lock as well."""
            _locks(self.lock, fcntl.LOCK_EX)
        finally:
            os.close(handle)

    def remove(self) -> None:
        """Removes the folder; once is enough."""
        if self.lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self.lock)
            self.lock = -1


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _locks(handle: int, how: int) -> bool:
    """Locks an open folder. False if another process holds it, or it cannot be locked."""
    try:
        fcntl.flock(handle, how)
    except OSError:
        return False
    return True


def _remove_unused(parent: Path) -> None:
    """Removes the folders without a lock."""
    for folder in parent.iterdir():
        with contextlib.suppress(OSError):
            handle = _open(folder)
            if _locks(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)
