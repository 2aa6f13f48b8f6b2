"""Machines on one machine, which can lose their network, their power, or a process.

Each has a network, process and mount namespace of its own, with its own shared memory and temporary
files. A further network namespace is the switch that joins them, so this machine's own network
stays as it is, and any number of runs can share it. Needs Linux, root, iproute2 and util-linux.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

PREFIX = "memory-test-"
"""Names of the namespaces: this, the process that made them, and the machine."""

TEMPORARY = Path("/tmp/ray")
"""A machine's folder for temporary files, Ray's among them: each machine has another one here."""

_INIT = """
mount --bind "$1" "$2" && mount -t tmpfs -o size=1g shm /dev/shm && echo ready || exit 1
sleep infinity & wait
"""
"""The first process of a machine, which waits for those that lose their parents."""


def missing() -> str | None:
    """Says why no machines can be made here; `None` if they can."""
    if sys.platform != "linux":
        return "it needs Linux: its machines are network namespaces"
    if os.geteuid() != 0:
        return "it needs root, to make network namespaces: sudo scripts/test-cluster"
    for tool, package in [
        ("ip", "iproute2"),
        ("unshare", "util-linux"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
    ]:
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    name = f"{PREFIX}{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "switch", "type", "bridge")
    except subprocess.CalledProcessError as error:
        return f"this kernel or container allows no network namespaces: {error.stderr.strip()}"
    finally:
        _ip("netns", "del", name, check=False)
    return None


class Machines:
    """Machines joined by a switch. Leaving the context ends them and removes all but their logs."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets a folder for each machine, with its logs."""
        self.folder = folder
        self._prefix = f"{PREFIX}{os.getpid()}-"
        self._switch = f"{self._prefix}switch"
        self._made: list[Machine] = []

    def __enter__(self) -> Machines:
        _remove_leftovers()
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for machine in self._made:
            machine.end()
        _ip("netns", "del", self._switch, check=False)

    def add(self, name: str) -> Machine:
        """Makes a machine and switches it on. Its name has at most 15 letters and digits."""
        number = len(self._made) + 1
        machine = Machine(name, number, f"{self._prefix}{name}", self._switch, self.folder / name)
        self._made.append(machine)
        machine.power_on()
        return machine


class Machine:
    """A machine, whose processes see no others."""

    def __init__(self, name: str, number: int, space: str, switch: str, folder: Path) -> None:
        self.name = name
        self.address = f"10.77.0.{number}"
        self._hardware_address = f"02:00:00:00:00:{number:02x}"
        self.folder = folder
        self.temporary = folder / "tmp"
        self._space = space
        self._switch = switch
        self._init: subprocess.Popen[str] | None = None

    def power_on(self) -> None:
        """Starts the machine, with a cable to the switch. Its folder stays as it is."""
        self.end()
        self.temporary.mkdir(parents=True, exist_ok=True)
        TEMPORARY.mkdir(exist_ok=True)
        # The same hardware address as ever, which the others remember.
        peer = ("peer", "name", "eth0", "address", self._hardware_address)
        _ip("netns", "add", self._space)
        cable = ("link", "add", self.name, "type", "veth", *peer)
        _ip("-n", self._switch, *cable, "netns", self._space)
        _ip("-n", self._switch, "link", "set", self.name, "master", "switch", "up")
        _ip("-n", self._space, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", self._space, "link", "set", device, "up")
        # All ends with this process, also when it is killed.
        command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self._space]
        command += ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += ["bash", "-c", _INIT, "init", str(self.temporary), str(TEMPORARY)]
        self._init = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "ready\n":
            raise RuntimeError(f"{self.name} did not start")

    def start(
        self,
        command: Sequence[str | Path],
        log: str,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a program, whose output goes to a file of the machine's folder.

        The process returned is outside; it ends with the program, and with its exit status.
        """
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [*self._enter(), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_environment(), **(env or {})},
                start_new_session=True,
            )

    def run(
        self,
        command: Sequence[str | Path],
        log: str,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120,
    ) -> None:
        """Runs a program to its end; raises with the end of its log if it fails."""
        process = self.start(command, log, env)
        status = process.wait(timeout_s)
        if status != 0:
            raise RuntimeError(
                f"{self.name}: {command} ended with {status}\n{self.log(log)[-4000:]}"
            )

    def log(self, name: str) -> str:
        """Returns what a program has printed."""
        return (self.folder / name).read_text(errors="replace")

    def processes(self, is_meant: Callable[[list[str]], bool]) -> list[int]:
        """Returns the ids, outside, of processes with such a command line; none if it is off."""
        if self._init is None:
            return []
        space = os.readlink(f"/proc/{self._init.pid}/ns/pid_for_children")
        found = []
        for entry in Path("/proc").iterdir():
            # Processes come and go.
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "ns" / "pid") == space:
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                    if is_meant(line.split("\0")[:-1]):
                        found.append(int(entry.name))
        return found

    def cut_cable(self) -> None:
        """Cuts the cable: what the machine sends and what others send to it is lost."""
        _ip("-n", self._switch, "link", "set", self.name, "down")

    def heal_cable(self) -> None:
        """Repairs the cable."""
        _ip("-n", self._switch, "link", "set", self.name, "up")

    def power_off(self) -> None:
        """Switches the machine off. The cable is cut first: others see silence, nothing closes."""
        self.cut_cable()
        self._kill()

    def end(self) -> None:
        """Ends the machine, if it is there."""
        self._kill()
        # Connections without an answer keep the namespace for minutes, and with it the cable.
        _ip("-n", self._switch, "link", "del", self.name, check=False)
        _ip("netns", "del", self._space, check=False)

    def _kill(self) -> None:
        """Kills all processes at once, and waits for their end."""
        if self._init is not None:
            # Its child, the first process of the machine, dies with it, and all others with that.
            self._init.kill()
            self._init.wait()
            assert self._init.stdout is not None
            self._init.stdout.close()
            self._init = None

    def _enter(self) -> list[str]:
        """Returns the start of a command line that runs in the machine."""
        assert self._init is not None
        spaces = f"/proc/{self._init.pid}/ns"
        enter = ["nsenter", f"--net={spaces}/net", f"--mount={spaces}/mnt"]
        return [*enter, f"--pid={spaces}/pid_for_children", "--"]


def _environment() -> dict[str, str]:
    """Returns the variables of a machine's programs: those here, except for Ray's settings."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**here, "TMPDIR": str(TEMPORARY)}


def _remove_leftovers() -> None:
    """Removes the namespaces of runs that were killed; their processes died with them."""
    for line in _ip("netns", "list").stdout.splitlines():
        found = re.match(rf"({PREFIX}(\d+)-\w+)", line)
        if found and not Path("/proc", found[2]).exists():
            _ip("netns", "del", found[1], check=False)


def _ip(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)
