"""Finds an environment server, or starts a server that ends with this process."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

from . import _process
from .errors import LocalServerError, ServerUnreachable

SERVER_VARIABLE = "STRATEGIC_MEMORY_SERVER"
"""URL of the server to play on."""
BINARY_VARIABLE = "STRATEGIC_MEMORY_ENV_SERVER"
"""Path of the `env-server` program to start."""
TOKEN_VARIABLE = "STRATEGIC_MEMORY_TOKEN"
"""Bearer token for the server."""

_SETTINGS_PREFIX = "ENV_SERVER_"
"""Prefix of the variables that configure every server that is started with them."""
_LOGGING = frozenset(("ENV_SERVER_LOG", "ENV_SERVER_LOG_FORMAT"))

_NAME = "env-server.exe" if sys.platform == "win32" else "env-server"
_MAX_TOKEN_BYTES = 4 << 10
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0

# A shell starts a watcher and then becomes the server. The watcher reads from this process, and
# ends the server when this process has ended in any way.
_WATCHED = (
    "exec 3<&0; "
    '(while read -r _; do :; done <&3; kill "$$" 2>/dev/null) >/dev/null & '
    'exec "$@" </dev/null 3<&-'
)


def find_binary() -> Path:
    """Returns the `env-server` program: named by the environment variable, part of the wheel, on
    PATH, or built in the repository that contains this package.

    Raises:
        LocalServerError: there is none.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise LocalServerError(f"{BINARY_VARIABLE} is {named!r}, which is not a program")
        return Path(named)
    for candidate in _candidates():
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise LocalServerError(
        f"no environment server: set {SERVER_VARIABLE} to the URL of one that runs, or "
        f"{BINARY_VARIABLE} to the env-server program, or put env-server on PATH, or build it with "
        "`cargo build --release -p env-server`"
    )


def _candidates() -> Iterator[Path]:
    here = Path(__file__).resolve().parent
    yield here / "_bin" / _NAME
    on_path = shutil.which(_NAME)
    if on_path:
        yield Path(on_path)
    for parent in here.parents:
        if (parent / "env-server" / "Cargo.toml").is_file():
            for profile in ("release", "debug"):
                yield parent / "target" / profile / _NAME


def _without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables, except server settings other than those for logging.

    They are meant for another server on this machine: its tokens would lock this process out, and
    its data directory is in use.
    """
    return {
        name: value
        for name, value in variables.items()
        if name in _LOGGING or not name.upper().startswith(_SETTINGS_PREFIX)
    }


class LocalServer:
    """A server that this process has started on a free port of the loopback interface.

    `ENV_SERVER_…` variables configure it like any other server; without `inherits_settings` (as in
    `local_server()`) only those for logging do.
    """

    def __init__(self, binary: Path | None = None, *, inherits_settings: bool = True) -> None:
        binary = binary or find_binary()
        command = [str(binary), "serve", "--listen", "127.0.0.1:0"]
        is_watched = sys.platform != "win32"
        if is_watched:
            command = ["/bin/sh", "-c", _WATCHED, "env-server", *command]
        variables = os.environ if inherits_settings else _without_settings(os.environ)
        self._generation = _process.generation
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if is_watched else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env={"ENV_SERVER_LOG": "warn", **variables},
                # In a session of its own, out of reach of Ctrl-C, which is meant for this process.
                start_new_session=is_watched,
            )
        except OSError as error:
            raise LocalServerError(f"{binary} cannot be started: {error}") from error
        try:
            self.url = self._read_url(binary)
        except BaseException:
            self.stop()
            raise
        _started[self.url] = self

    def _read_url(self, binary: Path) -> str:
        """Waits for the line that names the address it listens on."""
        stdout = self._child.stdout
        assert stdout is not None
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(stdout.readline()), daemon=True)
        reader.start()
        reader.join(_START_TIMEOUT_S)
        line = lines[0].decode("utf-8", "replace").strip() if lines else ""
        prefix = "listening on "
        if not line.startswith(prefix):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(0.5)
            status = self._child.poll()
            said = f"said {line!r}" if line else "said nothing"
            how = f"ended with status {status}" if status is not None else said
            raise LocalServerError(f"{binary} did not start: it {how}")
        return line[len(prefix) :]

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether the server is running, as far as this process knows."""
        # A forked child is not the server's parent and cannot ask.
        return self._generation != _process.generation or self._child.poll() is None

    def check_running(self) -> None:
        """Checks that the server is running, while waiting for its answer.

        Raises:
            ServerUnreachable: the server has ended, and its environments with it.
        """
        if self.is_running:
            return
        status = self._child.returncode
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        raise ServerUnreachable(
            f"the server that this process had started at {self.url} has ended {how}, and its "
            "environments with it: make new ones, for which another server is started"
        )

    def stop(self) -> None:
        """Ends the server. Calling it again, or in a forked child, does nothing."""
        if self._generation != _process.generation:
            return
        child = self._child
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child.stdin is not None:
            # End the watcher first: once the server's process id is free, it must not be signalled.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.stdin.close()
        if child.stdout is not None:
            child.stdout.close()


_lock = threading.Lock()
_shared: LocalServer | None = None
_started: weakref.WeakValueDictionary[str, LocalServer] = weakref.WeakValueDictionary()
"""By URL."""


def local_server() -> LocalServer:
    """Returns the server of this process, which the first call starts and the process ends.

    Processes forked from this one use it too, as long as this one lives; spawned processes start
    their own, unless the environment variable names a server.

    Raises:
        LocalServerError: no server program was found, or it does not start.
    """
    global _shared
    with _lock:
        if _shared is None or not _shared.is_running:
            _shared = LocalServer(inherits_settings=False)
            atexit.register(_shared.stop)
        return _shared


def check_running(url: str) -> None:
    """Checks, while waiting for an answer, that a server started by this process is running.

    Raises:
        ServerUnreachable: it has ended.
    """
    server = _started.get(url)
    if server is not None:
        server.check_running()


def server_url(server: str | None) -> str:
    """Returns the given URL, else that of the environment variable, else that of a local server."""
    return server or os.environ.get(SERVER_VARIABLE) or local_server().url


def server_token(token: str | None, token_file: str | os.PathLike[str] | None) -> str | None:
    """Returns the given token, or the token in the file, else that of the environment variable.

    Raises:
        TypeError: both a token and a file are given.
        OSError: the file cannot be read.
        ValueError: there is no token in it.
    """
    if token_file is None:
        return token or os.environ.get(TOKEN_VARIABLE) or None
    if token is not None:
        raise TypeError("token and token_file are both given")
    with Path(token_file).open("rb") as file:
        content = file.read(_MAX_TOKEN_BYTES + 1)
    read = content.decode("utf-8", "replace").strip()
    if not read or len(content) > _MAX_TOKEN_BYTES or len(read.split()) > 1:
        raise ValueError(f"{os.fspath(token_file)} does not hold a token and nothing else")
    return read


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    # A thread may have held the lock at the fork, and does not exist in the child.
    os.register_at_fork(after_in_child=_renew_lock)
