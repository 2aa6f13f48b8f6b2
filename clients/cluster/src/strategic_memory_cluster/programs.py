"""The workers' program on a node: a file in a private directory, named by its SHA-256."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

KEPT = 4
"""Programs that a node keeps, the latest."""


class Untrusted(Exception):
    """The directory or the bytes of a program are not what they should be."""


def digest(program: bytes) -> str:
    """The SHA-256 of a program, in hexadecimal digits."""
    return hashlib.sha256(program).hexdigest()


def place(sha256: str, fetch: Callable[[], bytes], directory: Path | None = None) -> Path:
    """Returns the file of a program. Fetches and writes it if it is not there as it should be.

    Raises `Untrusted` if others may write the directory, or what was fetched is another program.
    """
    directory = private_directory() if directory is None else directory
    path = directory / sha256
    if _has_digest(path, sha256):
        os.utime(path)
        return path
    program = fetch()
    if digest(program) != sha256:
        raise Untrusted("the program arrived damaged")
    handle, unfinished = tempfile.mkstemp(dir=directory, prefix="partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(program)
        os.chmod(unfinished, 0o700)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    _forget_old(directory, path)
    return path


def private_directory() -> Path:
    """Returns this user's directory for programs; `Untrusted` if others may write it."""
    path = Path(tempfile.gettempdir()) / f"strategic-memory-cluster-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    is_private = found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700
    if not stat.S_ISDIR(found.st_mode) or not is_private:
        raise Untrusted(f"{path} is not a directory of this user alone; remove it")
    return path


def _has_digest(path: Path, sha256: str) -> bool:
    """Whether the file is this program. Checked before every start: disks fail, people edit."""
    try:
        return digest(path.read_bytes()) == sha256
    except OSError:
        return False


def _forget_old(directory: Path, newest: Path) -> None:
    """Removes all programs but the latest. One that runs lives on without its name."""

    def age(path: Path) -> float:
        try:
            return -path.stat().st_mtime
        except OSError:
            return 0.0

    others = [path for path in directory.iterdir() if path != newest and not path.is_dir()]
    for path in sorted(others, key=age)[KEPT - 1 :]:
        path.unlink(missing_ok=True)
