"""Settings of Ray that decide how fast a lost machine is noticed, and how strangers are kept out.

Nothing here imports Ray, which reads its variables when it is imported.
"""

from __future__ import annotations

import importlib.metadata
import ipaddress
import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

RECOMMENDED = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "10000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
}
"""With these a machine without power is noticed in 20 s; by Ray's defaults it takes minutes."""

_INLINE_BYTES = "4000000"
"""Arguments and results up to this length go from process to process. Ray's default, 100 kB, sends
longer ones through its store: 400 kB took three times as long."""

_CONNECT_S = 5.0


class Refused(Exception):
    """A run would not work, for this reason; the message has the line that fixes it."""


@dataclass(frozen=True)
class Target:
    """The Ray to use."""

    address: str | None
    """Host and port of a cluster's head; `None` to start a Ray for this process."""

    @property
    def is_local(self) -> bool:
        """Whether other machines cannot reach it."""
        return self.address is None or is_loopback(self.address)


def find() -> Target:
    """Finds the cluster: RAY_ADDRESS, else this machine's running Ray, else a new Ray."""
    named = os.environ.get("RAY_ADDRESS", "").strip()
    if named.startswith("ray://"):
        raise Refused(
            f"RAY_ADDRESS={named} is a Ray Client, which cannot carry calls; "
            "on a machine of the cluster: export RAY_ADDRESS=HOST:6379"
        )
    if named and named not in ("auto", "local"):
        if not _answers(named):
            raise Refused(
                f"there is no cluster at RAY_ADDRESS={named}; start its head: "
                "ray start --head --port=6379, or use this machine alone: unset RAY_ADDRESS"
            )
        return Target(named)
    here = None if named == "local" else _started_here()
    if here is None and named == "auto":
        raise Refused(
            "RAY_ADDRESS=auto, and no Ray runs on this machine; start one: "
            "ray start --head, or let the run start its own: unset RAY_ADDRESS"
        )
    return Target(here)


def prepare(target: Target) -> None:
    """Sets this process's variables; to be called before Ray is imported.

    This process notices lost machines by its own settings. A Ray of its own inherits them; it has a
    token, so that other users of this machine cannot use it, and workers that are as nice as
    this process. Its only machine cannot be lost alone, so it keeps Ray's patient health checks.
    """
    is_own = target.address is None
    for name, value in RECOMMENDED.items():
        if not (is_own and name.startswith("RAY_health_check")):
            os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_max_direct_call_object_size", _INLINE_BYTES)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if is_own:
        os.environ.pop("RAY_ADDRESS", None)
        os.environ.setdefault("RAY_worker_niceness", "0")
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def missing(found: dict[str, str]) -> list[str]:
    """Returns the recommended settings that a node lacks, as assignments."""
    return [f"{name}={value}" for name, value in RECOMMENDED.items() if found.get(name) != value]


def is_loopback(address: str) -> bool:
    """Whether an address, with or without a port, leads to this machine alone."""
    host = _split(address)[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(address: str) -> tuple[str, int]:
    """Host and port of an address; Ray's usual port if it has none."""
    found = re.fullmatch(r"\[?([^\]]*?)\]?:(\d{1,5})", address)
    return (found[1], int(found[2])) if found else (address, 6379)


def _answers(address: str) -> bool:
    host, port = _split(address)
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            return True
    except (OSError, OverflowError, UnicodeError):
        return False


def _started_here() -> str | None:
    """Returns the address of a Ray that `ray start` has started on this machine."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    try:
        address = Path(folder, "ray", "ray_current_cluster").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return address if address and _answers(address) else None


def check_installed() -> None:
    """Refuses a Python without Ray, or with an untested version."""
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise Refused(
            "this Python has no Ray; install it, in a checkout of the project: "
            "pip install clients/cluster"
        ) from None
    if not version.startswith("2.60."):
        raise Refused(
            f"this Python has Ray {version}; install the one that was tested: "
            "pip install 'ray==2.60.*'"
        )
