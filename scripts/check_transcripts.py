#!/usr/bin/env python3
"""Runs the programs and transcripts of Markdown documents and compares what they print.

    scripts/check_transcripts.py [--write] DOCUMENT…

A block ```console is a transcript: lines that begin with "$ " are commands (lines with "> " continue them), and the
other lines are their output. A block with `file=NAME` after its language is written to a file first. All commands of a
document run in one shell, in an empty folder, with `env-server` on the PATH and a server of their own at
http://127.0.0.1:7878. A free port takes the place of 7878; 7879 and so on are free ports too.

White space is ignored, and `…` matches anything. --write replaces output that differs with the output printed.
The server is $STRATEGIC_MEMORY_ENV_SERVER, or the one built in the repository.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = range(7878, 7884)
END = "\x01end\x01"
COMMAND_TIMEOUT_S = 60
WIDTH = 120


def free_ports() -> dict[int, int]:
    """Returns a free port for each port that documents name."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    ports = {port: each.getsockname()[1] for port, each in zip(PORTS, sockets)}
    for each in sockets:
        each.close()
    return ports


class Shell:
    """A shell, its folder, and its server at port 7878."""

    def __init__(self, binary: Path) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        tools = self.folder / ".tools"
        tools.mkdir()
        (tools / "env-server").symlink_to(binary)
        # As in a terminal, where curl prints no progress along with the body.
        (self.folder / ".curlrc").write_text("silent\nshow-error\n")
        self._ports = free_ports()
        environment = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CURL_HOME": str(self.folder),
            "ENV_SERVER_LOG": "error",
        }
        for name in ("STRATEGIC_MEMORY_SERVER", "STRATEGIC_MEMORY_TOKEN"):
            environment.pop(name, None)
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.run("env-server serve --listen 127.0.0.1:7878 >.server 2>&1 &")
        self.run("until grep -q listening .server; do kill -0 $! || break; sleep 0.05; done")

    def run(self, command: str) -> str:
        """Runs a command and returns its output, with the ports of the document."""
        shell = self._shell
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(f"{self._translated(command)}\nprintf '\\n{END}\\n'\n")
        shell.stdin.flush()
        signal.alarm(COMMAND_TIMEOUT_S)
        lines: list[str] = []
        while (line := shell.stdout.readline()) and line.strip() != END:
            lines.append(line)
        signal.alarm(0)
        printed = "".join(lines)
        for port, actual in self._ports.items():
            printed = printed.replace(f":{actual}", f":{port}")
            printed = printed.replace(f"port {actual}", f"port {port}")
        return printed.strip("\n")

    def write(self, name: str, text: str) -> None:
        """Writes a program of the document to a file."""
        (self.folder / name).write_text(self._translated(text))

    def _translated(self, text: str) -> str:
        return re.sub(r"(127\.0\.0\.1|localhost):(\d+)", self._translate, text)

    def _translate(self, match: re.Match[str]) -> str:
        port = int(match[2])
        return f"{match[1]}:{self._ports.get(port, port)}"

    def close(self) -> None:
        """Ends the shell and everything that it has started."""
        try:
            os.killpg(self._shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._shell.wait()
        self._folder.cleanup()


def commands(transcript: str) -> list[tuple[str, str]]:
    """Returns the commands of a transcript, each with its expected output."""
    found: list[tuple[list[str], list[str]]] = []
    for line in transcript.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0].append(line[2:])
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError(f"output before any command: {line}")
    return [("\n".join(command), "\n".join(output)) for command, output in found]


def is_same(expected: str, printed: str) -> bool:
    """Returns whether output is as expected, ignoring white space; `…` matches anything."""
    parts = ("".join(part.split()) for part in expected.split("…"))
    pattern = ".*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, "".join(printed.split()), re.DOTALL) is not None


def wrapped(printed: str) -> str:
    """Returns output in lines that fit, broken after commas."""
    lines = []
    for line in printed.splitlines():
        pieces = re.sub(r",(?=\S)", ",\0", line).replace(" ", "\1").replace("\0", " ")
        for piece in textwrap.wrap(pieces, WIDTH, break_long_words=False, break_on_hyphens=False) or [""]:
            lines.append(piece.replace(", ", ",").replace("\1", " "))
    return "\n".join(lines)


def check(document: Path, binary: Path, may_write: bool) -> int:
    """Runs a document; returns the number of commands whose output differs."""
    text = document.read_text()
    shell = Shell(binary)
    num_commands = num_different = 0
    try:
        for language, file, body in BLOCK.findall(text):
            if file:
                shell.write(file, body)
            if language != "console":
                continue
            transcript = ""
            for command, expected in commands(body):
                num_commands += 1
                printed = shell.run(command)
                is_good = is_same(expected, printed)
                if not is_good:
                    num_different += 1
                    print(f"{document}: $ {command}\nexpected:\n{expected}\nprinted:\n{printed}\n", file=sys.stderr)
                shown = expected if is_good else wrapped(printed)
                transcript += "$ " + command.replace("\n", "\n> ") + "\n" + (shown + "\n" if shown else "")
            if may_write:
                text = text.replace(f"```console\n{body}```", f"```console\n{transcript}```", 1)
    finally:
        shell.close()
    if may_write:
        document.write_text(text)
    if num_commands == 0:
        raise SystemExit(f"{document} has no transcript")
    print(f"{document}: {num_commands} commands, {num_different} differ")
    return num_different


def give_up(*_: object) -> None:
    raise TimeoutError(f"a command's output did not end within {COMMAND_TIMEOUT_S} s")


def main() -> None:
    signal.signal(signal.SIGALRM, give_up)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace output that differs with the output printed")
    parser.add_argument("documents", nargs="+", type=Path)
    arguments = parser.parse_args()
    built = REPOSITORY / "target" / "release" / "env-server"
    binary = Path(os.environ.get("STRATEGIC_MEMORY_ENV_SERVER") or built).resolve()
    for tool in (str(binary), "bash", "curl"):
        if shutil.which(tool) is None:
            sys.exit(f"missing: {tool}")
    num_different = sum(check(document, binary, arguments.write) for document in arguments.documents)
    sys.exit(1 if num_different else 0)


if __name__ == "__main__":
    main()
