"""Connects a command to its cluster. Ray reads variables when imported, so they are set before."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import settings
from .settings import Refused, Target

if TYPE_CHECKING:
    from .cluster import Cluster


def add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options that `connect` reads."""
    command.add_argument(
        "--pool-wait-s", type=float, default=60.0, help="wait so long for a free CPU"
    )
    command.add_argument(
        "--insecure", action="store_true", help="accept a cluster that anybody may use"
    )
    command.add_argument(
        "--cpu", metavar="CLASS", help="refuse a cluster with another class of CPU than this"
    )


def connect(
    args: argparse.Namespace, program: Path | None, is_gone: Callable[[], bool] = lambda: False
) -> tuple[Target, Cluster]:
    """Connects to the cluster that the environment names; `Refused` if a run would not work.

    `Gone` if `is_gone` says during the wait for a CPU that nobody wants the cluster any more.
    """
    try:
        settings.check_installed()
        target = settings.find()
        settings.prepare(target)
        from . import cluster

        wanted = cluster.Wanted(args.pool_wait_s, args.insecure, args.cpu, is_gone)
        return target, cluster.connect(target, program, wanted)
    except (ImportError, OSError) as error:
        raise Refused(str(error)) from error
