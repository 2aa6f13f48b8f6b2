"""The commands `relay` and `check`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial
from pathlib import Path

from . import __version__, caller, frames, start
from .check import run_check
from .output import Output, own_output
from .settings import Refused


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="strategic-memory-cluster",
        description="Carries the calls of `--pool ray` to the machines of a Ray cluster.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    relay = commands.add_parser(
        "relay", help="carry calls between standard streams and a cluster; programs start it"
    )
    relay.add_argument("--program", type=Path, required=True, help="the workers' program")
    check = commands.add_parser(
        "check", help="say what a run would find: nodes, slots, CPU classes, versions, settings"
    )
    for command in (relay, check):
        start.add_options(command)
    args = parser.parse_args(arguments)
    return run_relay(args) if args.command == "relay" else run_check(args)


def run_relay(args: argparse.Namespace) -> int:
    """Carries calls until standard input ends."""
    output = Output(own_output())
    try:
        is_gone = partial(caller.is_gone, sys.stdin.fileno())
        _, cluster = start.connect(args, args.program, is_gone)
    except Refused as error:
        output.send("refused", reason=str(error))
        return 1
    except caller.Gone:
        return 1
    assert cluster.program is not None
    from .relay import Relay

    relay = Relay(cluster, output)
    output.send(
        "ready",
        protocol=frames.PROTOCOL,
        slots=cluster.slots,
        nodes=len(cluster.nodes),
        warnings=cluster.warnings,
        program=cluster.program.sha256,
    )
    try:
        asyncio.run(relay.serve(sys.stdin.buffer))
    except frames.Damaged as error:
        print(f"the relay received {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
