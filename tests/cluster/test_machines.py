"""The machines are what the other tests take them for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machines import PREFIX, Machine, Machines

LISTEN = textwrap.dedent("""
    import socket, time
    listener = socket.create_server(("0.0.0.0", 7000))
    print("listening", flush=True)
    connection, _ = listener.accept()
    while True:
        connection.sendall(b".")
        time.sleep(0.05)
""")

HEAR = textwrap.dedent("""
    import socket, sys
    connection = socket.create_connection((sys.argv[1], 7000))
    while received := connection.recv(100):
        print("heard", flush=True)
    print("closed", flush=True)
""")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """A machine that talks to another one."""
    with Machines(tmp_path) as machines:
        speaker, listener = machines.add("speaker"), machines.add("listener")
        speaker.start([sys.executable, "-c", LISTEN], "out")
        until(lambda: "listening" in speaker.log("out"))
        listener.start([sys.executable, "-c", HEAR, speaker.address], "out")
        until(lambda: "heard" in listener.log("out"))
        yield speaker, listener


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def hears(listener: Machine, seconds: float) -> bool:
    """Whether something arrives within this time."""
    before = listener.log("out")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if len(listener.log("out")) > len(before):
            return True
        time.sleep(0.02)
    return False


def test_a_cut_cable_is_silent_and_heals(pair: tuple[Machine, Machine]) -> None:
    speaker, listener = pair
    speaker.cut_cable()
    hears(listener, 0.5)
    assert not hears(listener, 1.5)
    assert "closed" not in listener.log("out")
    speaker.heal_cable()
    assert hears(listener, 20.0)


def test_power_off_closes_no_connection(pair: tuple[Machine, Machine]) -> None:
    speaker, listener = pair
    [process] = speaker.processes(lambda words: LISTEN in words)
    speaker.power_off()
    until(lambda: not Path(f"/proc/{process}").exists())
    hears(listener, 0.5)
    assert not hears(listener, 1.5)
    assert "closed" not in listener.log("out")


def test_a_killed_process_closes_its_connections(pair: tuple[Machine, Machine]) -> None:
    speaker, listener = pair
    [process] = speaker.processes(lambda words: LISTEN in words)
    os.kill(process, signal.SIGKILL)
    until(lambda: "closed" in listener.log("out"))


def test_a_machine_comes_back_without_its_processes(pair: tuple[Machine, Machine]) -> None:
    speaker, listener = pair
    speaker.power_off()
    speaker.power_on()
    assert speaker.processes(lambda words: LISTEN in words) == []
    speaker.start([sys.executable, "-c", LISTEN], "again")
    until(lambda: "listening" in speaker.log("again"))
    listener.start([sys.executable, "-c", HEAR, speaker.address], "again")
    until(lambda: "heard" in listener.log("again"))


RUN = """
import pathlib, sys, time
from machines import Machines
with Machines(pathlib.Path(sys.argv[1])) as machines:
    machine = machines.add("one")
    machine.start(["sleep", "1000"], "out")
    while not (found := machine.processes(lambda words: words == ["sleep", "1000"])):
        time.sleep(0.02)
    print(*found, flush=True)
    time.sleep(1000)
"""


def test_a_killed_run_leaves_no_process_and_the_next_removes_its_names(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    assert run.stdout is not None
    sleeper = Path("/proc", run.stdout.readline().strip())
    assert sleeper.exists()
    run.kill()
    run.wait()
    run.stdout.close()
    until(lambda: not sleeper.exists())
    left = f"{PREFIX}{run.pid}-"
    assert left in names()
    with Machines(tmp_path):
        assert left not in names()
    assert f"{PREFIX}{os.getpid()}-" not in names()


def names() -> str:
    """The network namespaces that have names."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return listing.stdout
