"""The commands `relay` and `check`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from . import __version__, frames, settings
from .output import Output, own_output
from .settings import Refused


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="strategic-memory-cluster",
        description="Carries the calls of `benchmark --pool ray` to the machines of a Ray cluster.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    relay = commands.add_parser(
        "relay", help="carry calls between standard streams and a cluster; the benchmark starts it"
    )
    relay.add_argument("--program", type=Path, required=True, help="the workers' program")
    check = commands.add_parser(
        "check", help="say what a run would find: nodes, slots, CPU classes, versions, settings"
    )
    for command in (relay, check):
        command.add_argument(
            "--pool-wait-s", type=float, default=60.0, help="wait so long for a free CPU"
        )
        command.add_argument(
            "--insecure", action="store_true", help="accept a cluster that anybody may use"
        )
    args = parser.parse_args(arguments)
    if args.command == "relay":
        return run_relay(args.program, args.pool_wait_s, args.insecure)
    from .check import run_check

    return run_check(args.pool_wait_s, args.insecure)


def run_relay(program: Path, wait_s: float, insecure: bool) -> int:
    """Carries calls until standard input ends."""
    output = Output(own_output())
    try:
        settings.check_installed()
        target = settings.find()
        settings.prepare(target)
        from .cluster import connect

        cluster = connect(target, program, wait_s, insecure)
    except (Refused, ImportError, OSError) as error:
        output.send("refused", reason=str(error))
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
