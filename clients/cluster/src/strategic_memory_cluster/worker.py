"""A worker's process on a node: starts it, gives it one call, passes on what it answers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import frames
from .scratch import Scratch

PATIENCE_S = 5.0
"""Time for a worker to end by itself after the end of its input, before it is killed."""

_TOLD_BYTES = 400

_PIPE_BYTES = 1 << 20
"""Size of the pipes to and from a worker: with Linux's 64 KiB, bodies pass in many small steps."""

Event = tuple[str, Any]
"""News of a call: `part` (is it a checkpoint, bytes), `done`, `failed`, `lost`, `stopped`."""


class WorkerLost(Exception):
    """The worker ended, or is not what it should be; with the reason."""


class Worker:
    """A worker that has said hello, in a process group of its own."""

    def __init__(self, program: Path, sha256: str) -> None:
        self._scratch = Scratch()
        folder = str(self._scratch.path)
        environment = {**os.environ, "TMPDIR": folder, "WORKER_SCRATCH": folder}
        self.sha256 = sha256
        self.held: str | None = None
        """The id of the share that it holds."""
        self._told = b""
        self._call: int | None = None
        self._stopped = threading.Event()
        self._input_lock = threading.Lock()
        try:
            self._child = _start([str(program), "worker"], environment, self._scratch.lock)
        except BaseException:
            self._scratch.remove()
            raise
        self._widen_pipes()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.cpu = self._greet(sha256)
        except BaseException:
            self.end()
            raise

    def hold(self, shared: str, body: bytes) -> None:
        """Gives it bytes that the next calls name by this id; it forgets others."""
        self._write(frames.encode("share", id=shared, body=body))
        self.held = shared

    def answer(self, call: dict[str, Any]) -> Iterator[Event]:
        """Gives a call to the worker; yields what it answers, at last how the call ended."""
        # Here, and not when the first event is asked for: from now on `stop` stops this call.
        with self._input_lock:
            self._call = call["id"]
        return self._answer(call)

    def _answer(self, call: dict[str, Any]) -> Iterator[Event]:
        try:
            self._write(frames.encode("call", **call))
            while (frame := self._read()) is not None:
                of, event = _event_of(*frame)
                if of != call["id"]:
                    continue
                if event[0] != "part":
                    with self._input_lock:
                        self._call = None
                yield event
                if event[0] != "part":
                    return
        except frames.Damaged as error:
            # It may still be at work.
            self._kill()
            yield ("lost", f"it sent {error}")
            return
        if self._stopped.is_set():
            yield ("stopped", None)
        else:
            yield ("lost", self._ending())

    def lives(self) -> bool:
        """Whether it can take a call."""
        return self._child.poll() is None and not self._stopped.is_set()

    def stop(self, call: int | None = None) -> None:
        """Ends the worker's input: it sends a last checkpoint, no answer, and ends.

        With the number of a call, only if it still has that call.
        """
        with self._input_lock, contextlib.suppress(OSError, ValueError):
            if call is not None and call != self._call:
                return
            self._stopped.set()
            assert self._child.stdin is not None
            self._child.stdin.close()

    def end(self) -> None:
        """Ends the process and all that it started, whatever it does."""
        self.stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(PATIENCE_S)
        self._kill()
        self._child.wait()
        self._listener.join(PATIENCE_S)
        for output in (self._child.stdout, self._child.stderr):
            if output is not None and not self._listener.is_alive():
                output.close()
        self._scratch.remove()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _widen_pipes(self) -> None:
        """Makes pipes large, unless this user has too many large ones: they are faster, no more."""
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _greet(self, sha256: str) -> str:
        """Checks the hello, and returns the class of the processor."""
        try:
            frame = self._read()
            if frame is None:
                raise WorkerLost(self._ending())
            kind, fields = frame
            if kind != "hello":
                raise frames.Damaged("a first frame that is not a hello")
            [protocol, _, program, cpu] = frames.fields_of(
                fields, protocol=int, version=str, program=str, cpu=str
            )
        except frames.Damaged as error:
            raise WorkerLost(f"it sent {error}") from error
        if (protocol, program) != (frames.PROTOCOL, sha256):
            raise WorkerLost(f"it is another program: {program}, protocol {protocol}")
        return str(cpu)

    def _write(self, frame: bytes) -> None:
        with self._input_lock, contextlib.suppress(OSError, ValueError):
            # If it has ended, its output says how.
            assert self._child.stdin is not None
            self._child.stdin.write(frame)
            self._child.stdin.flush()

    def _read(self) -> tuple[str, dict[str, Any]] | None:
        assert self._child.stdout is not None
        return frames.read(self._child.stdout)

    def _listen(self) -> None:
        """Keeps the last lines of the worker's standard error."""
        assert self._child.stderr is not None
        while chunk := os.read(self._child.stderr.fileno(), 1 << 12):
            self._told = (self._told + chunk)[-_TOLD_BYTES:]

    def _ending(self) -> str:
        """Says how the process ended, which has closed its output."""
        try:
            status = self._child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "the worker closed its output"
        self._listener.join(PATIENCE_S)
        how = f"signal: {-status}" if status < 0 else f"exit status: {status}"
        lines = self._told.decode(errors="replace").strip().splitlines()
        return f"the worker ended with {how}" + (f" ({lines[-1]})" if lines else "")


def _event_of(kind: str, fields: dict[str, Any]) -> tuple[int, Event]:
    """The number of the call that a worker's frame belongs to, and the event that it is."""
    if kind == "part":
        [of, is_checkpoint, body] = frames.fields_of(fields, id=int, is_checkpoint=bool, body=bytes)
        return of, ("part", (is_checkpoint, body))
    if kind == "done":
        [of, body] = frames.fields_of(fields, id=int, body=bytes)
        return of, ("done", body)
    if kind == "failed":
        [of, reason] = frames.fields_of(fields, id=int, reason=str)
        return of, ("failed", reason)
    raise frames.Damaged(f"a frame {kind!r}, which workers do not send")


def _start(command: list[str], environment: dict[str, str], lock: int) -> subprocess.Popen[bytes]:
    """Starts a process, which holds the lock too.

    Waits while another thread's child still has the file open for writing.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            if error.errno != errno.ETXTBSY or time.monotonic() > deadline:
                raise WorkerLost(f"its program cannot be started: {error}") from error
            time.sleep(0.05)
