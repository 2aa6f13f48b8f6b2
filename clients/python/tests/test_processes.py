"""Servers that end with their process; environments in threads and forked children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from memory_task import MemoryTask

import strategic_memory_envs as sme

STARTS_A_SERVER = """
import os, signal, sys, time
import strategic_memory_envs as sme
# Programs that a shell starts in the background ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
env = sme.RemoteEnv("MemoryTask-v0", server=None)
env.reset()
print(sme.local_server().pid, flush=True)
mode = sys.argv[1]
if mode == "sleep":
    time.sleep(600)
if mode == "crash":
    os._exit(3)
if mode == "raise":
    raise SystemExit("so it ends")
if mode == "leave-in-fork":
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    env.step(0)
    print("still there", flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


def start(mode: str) -> tuple[subprocess.Popen[str], int]:
    environment = {k: v for k, v in os.environ.items() if k != "STRATEGIC_MEMORY_SERVER"}
    program = subprocess.Popen(
        [sys.executable, "-c", STARTS_A_SERVER, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert program.stdout is not None
    return program, int(program.stdout.readline())


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@needs_proc
@pytest.mark.parametrize("mode", ["fall-off-the-end", "crash", "raise"])
def test_the_server_ends_with_its_process(mode: str) -> None:
    program, pid = start(mode)
    with program:
        program.wait(30)
    assert ends(pid)


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_when_its_process_is_killed(how: signal.Signals) -> None:
    program, pid = start("sleep")
    with program:
        assert is_alive(pid)
        program.send_signal(how)
        program.wait(30)
    assert ends(pid)


@needs_proc
def test_a_forked_child_leaves_the_server_and_the_environment_alone() -> None:
    program, pid = start("leave-in-fork")
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "still there\n"
        program.wait(30)
        assert program.returncode == 0
    assert ends(pid)


def in_fork(function: Any) -> int:
    """Calls it in a forked child and returns the exit status: 0 if it returned True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if function() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_does_not_touch_the_parents_environment(server: str) -> None:
    env = sme.RemoteEnv("MemoryTask-v0", server=server, delay=4, difficulty=1)
    local = MemoryTask(4, 1)
    assert data_equivalence(env.reset(seed=2), local.reset(seed=2))

    def child() -> bool:
        assert env._remote is not None
        if env._remote._connection.is_open:
            return False
        try:
            env.step(0)
        except sme.StrategicMemoryError as error:
            env.close()
            with sme.RemoteEnv("MemoryTask-v0", server=server) as own:
                own.reset()
                own.step(0)
            return "belongs to the parent" in str(error)
        return False

    assert in_fork(child) == 0
    for action in (0, 1, 1, 0):
        assert data_equivalence(env.step(action), local.step(np.int64(action)))
    env.close()


def test_threads_with_environments_of_their_own(server: str) -> None:
    failures: list[BaseException] = []

    def play(seed: int) -> None:
        try:
            local = MemoryTask(5, 1)
            with sme.RemoteEnv("MemoryTask-v0", server=server, delay=5, difficulty=1) as env:
                for episode in range(20):
                    first = env.reset(seed=seed + episode)
                    assert data_equivalence(first, local.reset(seed=seed + episode))
                    for action in (0, 1, 0, 1, 1):
                        assert data_equivalence(env.step(action), local.step(np.int64(action)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=play, args=(100 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_threads_sharing_one_environment_take_turns(server: str) -> None:
    with sme.RemoteEnv("MemoryTask-v0", server=server, delay=100_000) as env:
        env.reset()
        threads = [
            threading.Thread(target=lambda: [env.step(0) for _ in range(100)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert env._remote is not None
        assert env._remote.session.seq == 401


def test_forgotten_environments_are_closed_on_the_server(server: str) -> None:
    env = sme.RemoteEnv("MemoryTask-v0", server=server, env_id="forgotten")
    env.reset()
    del env
    # The id belongs to a closed environment, and the answer says so.
    with pytest.raises(sme.EnvGone):
        sme.RemoteEnv("MemoryTask-v0", server=server, env_id="forgotten")


def test_a_missing_program_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRATEGIC_MEMORY_ENV_SERVER", str(tmp_path / "nothing"))
    with pytest.raises(sme.LocalServerError, match="not a program"):
        sme.find_binary()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    with pytest.raises(sme.LocalServerError, match="ended with status 7"):
        sme.LocalServer(broken)


def test_nobody_waits_for_a_server_that_died() -> None:
    server = sme.LocalServer()
    env = sme.RemoteEnv("MemoryTask-v0", server=server.url, delay=9)
    env.reset()
    os.kill(server.pid, signal.SIGKILL)
    server._child.wait()
    # Otherwise the client would keep trying for a minute.
    for call in (lambda: env.step(0), lambda: env.step(0), env.reset):
        with pytest.raises(sme.ServerUnreachable, match=r"has ended by signal 9.*make new ones"):
            call()

    async def play() -> None:
        async with sme.AsyncRemoteEnv("MemoryTask-v0", server=server.url):
            pass

    with pytest.raises(sme.ServerUnreachable, match="has ended by signal 9"):
        asyncio.run(play())
    env.close()
    server.stop()


def test_a_server_that_died_is_replaced() -> None:
    import strategic_memory_envs._server as module

    first = sme.LocalServer()
    os.kill(first.pid, signal.SIGKILL)
    first._child.wait()
    assert not first.is_running
    kept, module._shared = module._shared, first
    try:
        second = sme.local_server()
        assert second.url != first.url or second.pid != first.pid
        with sme.RemoteEnv("MemoryTask-v0", server=second.url) as env:
            env.reset()
        second.stop()
    finally:
        module._shared = kept
    first.stop()


def test_settings_of_another_server_are_not_for_the_embedded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import strategic_memory_envs._server as module

    tokens = tmp_path / "tokens.toml"
    tokens.write_text('[me]\ntoken = "0123456789abcdefghij"\n', "utf-8")
    tokens.chmod(0o600)
    monkeypatch.setenv("ENV_SERVER_TOKEN_FILE", str(tokens))
    monkeypatch.setenv("ENV_SERVER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ENV_SERVER_MAX_ENVS", "no number")
    monkeypatch.setattr(module, "_shared", None)
    server = sme.local_server()
    try:
        with sme.RemoteEnv("MemoryTask-v0", server=server.url, delay=1) as env:
            env.reset()
    finally:
        server.stop()
    assert not (tmp_path / "data").exists()


def test_a_token_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "0123456789abcdefghij"
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[me]\ntoken = "{token}"\n', "utf-8")
    tokens.chmod(0o600)
    mine = tmp_path / "token"
    mine.write_text(f"{token}\n", "utf-8")
    monkeypatch.setenv("ENV_SERVER_TOKEN_FILE", str(tokens))
    monkeypatch.delenv("STRATEGIC_MEMORY_TOKEN", raising=False)
    with sme.LocalServer() as server:
        with pytest.raises(sme.AccessDenied):
            sme.catalogue(server.url)
        assert sme.catalogue(server.url, token_file=mine)
        for kind in (sme.RemoteEnv, sme.RemoteVectorEnv):
            kind("MemoryTask-v0", server=server.url, token_file=mine).close()

        async def play() -> None:
            async with sme.AsyncRemoteEnv("MemoryTask-v0", server=server.url, token_file=mine):
                pass

        asyncio.run(play())
        with pytest.raises(TypeError, match="both given"):
            sme.RemoteEnv("MemoryTask-v0", server=server.url, token=token, token_file=mine)
        for text in ("", " \n", "two words", "x" * 5000):
            mine.write_text(text, "utf-8")
            with pytest.raises(ValueError, match="does not hold a token"):
                sme.catalogue(server.url, token_file=mine)
