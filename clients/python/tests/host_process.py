"""Speaks with a host that runs as a process, frame by frame."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

TESTS = str(Path(__file__).parent)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "strategic_memory_envs.host", *arguments]


def run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs a host to its end."""
    return subprocess.run(
        command(*arguments), input=data, capture_output=True, timeout=60, check=False
    )


def last_line(process: subprocess.CompletedProcess[bytes]) -> str:
    return process.stderr.decode().splitlines()[-1]


def frame(kind: str, **fields: Any) -> bytes:
    body: bytes = msgpack.packb({kind: fields}, default=_pack)
    return len(body).to_bytes(4, "big") + body


def _pack(value: Any) -> Any:
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": value.tobytes()}


def unframe(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """The frames in the whole output of a host."""
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        assert len(data) >= end
        ((kind, fields),) = msgpack.unpackb(data[4:end], object_hook=_array).items()
        yield kind, fields
        data = data[end:]


def _array(value: dict[str, Any]) -> Any:
    if list(value) == ["dtype", "shape", "data"]:
        array: NDArray[Any] = np.frombuffer(value["data"], value["dtype"])
        return array.reshape(value["shape"])
    return value


class Host:
    """A host that has said hello."""

    def __init__(self, *arguments: str, stderr: Any = None) -> None:
        self.process = subprocess.Popen(
            command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        kind, self.hello = self.read()
        assert kind == "hello"
        self.specs = {spec["id"]: spec for spec in self.hello["specs"]}

    def read(self) -> tuple[str, dict[str, Any]]:
        header = self._output.read(4)
        assert len(header) == 4, "the host has ended"
        body = self._output.read(int.from_bytes(header, "big"))
        ((kind, fields),) = msgpack.unpackb(body, object_hook=_array).items()
        return str(kind), fields

    def ask(self, kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
        self._input.write(frame(kind, **fields))
        self._input.flush()
        return self.read()

    def call(self, kind: str, answer: str, **fields: Any) -> dict[str, Any]:
        """Asks, and checks the kind of the answer."""
        got, result = self.ask(kind, **fields)
        assert got == answer, result
        return result

    def create(
        self, spec: str, num_envs: int, mode: str = "NextStep", env: int = 1, **kwargs: Any
    ) -> dict[str, Any]:
        fields = {"spec": spec, "kwargs": kwargs, "num_envs": num_envs, "autoreset_mode": mode}
        return self.call("create", "created", env=env, **fields)

    def reset(self, seeds: list[int | None], env: int = 1, **fields: Any) -> dict[str, Any]:
        return self.call("reset", "observed", env=env, seeds=seeds, **{"options": {}, **fields})

    def step(self, actions: Any, env: int = 1) -> dict[str, Any]:
        return self.call("step", "stepped", env=env, actions=np.asarray(actions))

    def end(self) -> int:
        """Closes the input and returns the exit status."""
        self._input.close()
        status = self.process.wait(20)
        assert self._output.read() == b""
        self._output.close()
        return status


@contextmanager
def hosting(*arguments: str, stderr: Any = None) -> Iterator[Host]:
    """A host with the environments of the tests."""
    host = Host("--path", TESTS, "--module", "hosted_envs", *arguments, stderr=stderr)
    try:
        yield host
        assert host.end() == 0
    finally:
        if host.process.poll() is None:
            os.kill(host.process.pid, 9)
            host.process.wait()
            host._input.close()
            host._output.close()
