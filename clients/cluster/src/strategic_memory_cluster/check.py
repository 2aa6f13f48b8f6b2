"""`strategic-memory-cluster check`: says what a run would find."""

from __future__ import annotations

import argparse
import platform
import sys
from typing import Any

from . import settings, start
from .settings import Refused


def run_check(args: argparse.Namespace) -> int:
    """Prints what a run would find; returns 1 if it would be refused."""
    try:
        target, cluster = start.connect(args, None)
    except Refused as error:
        print(f"a run would be refused: {error}", file=sys.stderr)
        return 1
    print(f"cluster  {target.address or 'a Ray of its own, on this machine'}")
    print(f"here     Python {platform.python_version()}")
    print(f"nodes    {len(cluster.nodes)}")
    print(f"slots    {cluster.slots}")
    for line in table([row(node) for node in cluster.nodes]):
        print(line)
    for warning in cluster.warnings:
        print(f"warning: {warning}")
    return 0


def row(node: Any) -> list[str]:
    """A node's line of the table."""
    found = node.found
    if found is None:
        return [node.name, str(node.slots), "does not answer", "", "", ""]
    mode = found["settings"].get("RAY_AUTH_MODE", "none")
    lacking = len(settings.missing(found["settings"]))
    told = f"{len(settings.RECOMMENDED) - lacking} of {len(settings.RECOMMENDED)}"
    return [
        node.name,
        str(node.slots),
        found["cpu"],
        f"{found['ray']}, {found['python']}",
        mode,
        told,
    ]


def table(rows: list[list[str]]) -> list[str]:
    """Lines with aligned columns under their names."""
    rows = [["node", "slots", "CPU class", "Ray, Python", "access", "settings"], *rows]
    widths = [max(len(one[column]) for one in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(one, widths, strict=True)).rstrip()
        for one in rows
    ]
