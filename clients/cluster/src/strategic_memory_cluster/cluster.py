"""A connection to a Ray cluster: what it has, and what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from . import nodes, programs, settings
from .caller import Gone
from .nodes import Program
from .settings import Refused, Target

_LOOK_S = 60.0
"""Time for a node to say what it is like. Its first process and our program take seconds."""

_CALLER_S = 0.5
"""Time between two looks for the caller."""

_SAID_BYTES = 100_000


@dataclass
class Node:
    """A node that lives."""

    name: str
    """Its address."""
    slots: int
    """Calls that it takes at once: its CPUs."""
    found: dict[str, Any] | None
    """What `nodes.look` found; nothing if it did not answer."""


@dataclass
class Cluster:
    """A cluster that a run can use."""

    nodes: list[Node]
    warnings: list[str] = field(default_factory=list)
    program: Program | None = None

    @property
    def slots(self) -> int:
        """Calls at once."""
        return sum(node.slots for node in self.nodes)


@dataclass(frozen=True)
class Wanted:
    """Conditions of a run on its cluster."""

    wait_s: float
    """Time for a CPU to become free."""
    insecure: bool
    """Whether anybody may use it."""
    cpu: str | None
    """The class of all CPUs; nothing if they may differ."""
    is_gone: Callable[[], bool] = lambda: False
    """Whether nobody wants the cluster any more."""


def connect(target: Target, program: Path | None, wanted: Wanted) -> Cluster:
    """Connects, and looks at every node; `Refused` if a run would not work, `Gone` by `is_gone`."""
    if not (target.is_local or wanted.insecure or os.environ.get("RAY_AUTH_MODE") == "token"):
        raise Refused(_open_door(f"the cluster at {target.address}"))
    import strategic_memory_cluster

    _init(target)
    cloudpickle.register_pickle_by_value(strategic_memory_cluster)
    shipped = None
    if program is not None:
        content = program.read_bytes()
        shipped = Program(programs.digest(content), [ray.put(content)], wanted.cpu)
    # First, so that all nodes start their process of Ray at once; the wait needs one, too.
    looked = _look(shipped, {})
    _wait_for_slot(wanted)
    looked = _look(shipped, looked)
    found = sorted(looked.values(), key=lambda node: node.name)
    refuse_open(found, target, wanted.insecure)
    refuse_other_cpus(found, wanted.cpu)
    usable = [node for node in found if node.found and not node.found["problem"]]
    if not sum(node.slots for node in usable):
        reasons = "; ".join(_problem(node) for node in found if node.slots) or "none has a CPU"
        raise Refused(
            f"no node can run workers ({reasons}); look at each: strategic-memory-cluster check"
        )
    return Cluster(found, warnings_about(found, target), shipped)


def refuse_open(found: Iterable[Node], target: Target, insecure: bool) -> None:
    """Refuses a cluster that strangers could use."""
    if insecure or target.is_local:
        return
    for node in found:
        if node.found and node.found["settings"].get("RAY_AUTH_MODE") != "token":
            raise Refused(_open_door(f"the node {node.name}"))


def refuse_other_cpus(found: Iterable[Node], wanted: str | None) -> None:
    """Refuses a cluster with a CPU that might compute other bits."""
    for node in found:
        if wanted is not None and node.slots and node.found and node.found["cpu"] != wanted:
            raise Refused(
                f"the node {node.name} has a CPU of the class {node.found['cpu']}, and the run "
                f"needs {wanted}, for others may compute other bits; take the node out of the "
                "cluster (on it: ray stop), or train without --pool"
            )


def warnings_about(found: list[Node], target: Target) -> list[str]:
    """Returns what people should know about a cluster's nodes."""
    warnings = [_problem(node) for node in found if _problem(node)]
    lacking: dict[tuple[str, ...], list[str]] = {}
    classes: dict[str, list[str]] = {}
    for node in found:
        if node.found:
            lacking.setdefault(tuple(settings.missing(node.found["settings"])), []).append(
                node.name
            )
            if node.slots:
                classes.setdefault(node.found["cpu"], []).append(node.name)
    lacking.pop((), None)
    if lacking and target.address is not None:
        names = ", ".join(sorted(name for some in lacking.values() for name in some))
        lines = " ".join(sorted({one for missing in lacking for one in missing}))
        warnings.append(
            f"a machine that loses power may be noticed minutes later: before `ray start` on "
            f"{names}: export {lines}"
        )
    if len(classes) > 1:
        told = "; ".join(f"{name} on {', '.join(on)}" for name, on in sorted(classes.items()))
        warnings.append(f"the classes of CPUs differ, and so may the last bits of results: {told}")
    return warnings


def _problem(node: Node) -> str:
    if node.found is None:
        return f"the node {node.name} did not answer within {_LOOK_S:.0f} s"
    problem = node.found["problem"]
    return f"the node {node.name} cannot run workers: {problem}" if problem else ""


def _open_door(what: str) -> str:
    return (
        f"{what} takes calls from anybody who can reach it; before `ray start` on every node, and "
        "here: export RAY_AUTH_MODE=token (`ray get-auth-token --generate` makes the token), or "
        "trust the network: --insecure"
    )


def _init(target: Target) -> None:
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if target.address is None:
        options |= {"address": "local", "include_dashboard": False}
    else:
        options |= {"address": target.address}
    with tempfile.TemporaryFile() as said:
        try:
            with _standard_error_in(said):
                ray.init(**options)
        except Exception as error:  # Ray raises a different one for each cause
            said.seek(0)
            text = said.read(_SAID_BYTES).decode(errors="replace")
            raise Refused(explain(f"{error}\n{text}", target)) from error


@contextlib.contextmanager
def _standard_error_in(file: IO[bytes]) -> Iterator[None]:
    """Lets Ray's own code write its many lines on standard error to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def explain(error: str, target: Target) -> str:
    """Says in one sentence why Ray did not connect, with the line that fixes it."""
    at = f"the cluster at {target.address}"
    versions = re.findall(r"(Ray|Python): (\S+)", error)
    if "ersion mismatch" in error and len(versions) >= 4:
        theirs = dict(versions[:2])
        ours = f"Ray {versions[2][1]} with Python {platform.python_version()}"
        return (
            f"{at} has Ray {theirs.get('Ray')} with Python {theirs.get('Python')}, and here is "
            f"{ours}; use the same: pip install 'ray=={theirs.get('Ray')}', in Python "
            f"{theirs.get('Python')}"
        )
    if "Unauthenticated" in error or "AuthToken" in error or "uthentication token" in error:
        return (
            f"{at} wants another token; copy ~/.ray/auth_token of its head here, and: "
            "export RAY_AUTH_MODE=token"
        )
    if "node_ip_address" in error or "one of the Raylet addresses" in error:
        return (
            f"this machine is no node of {at}; join it: "
            f"ray start --address={target.address} --num-cpus=0"
        )
    first = " ".join(error.strip().split("\n")[0].split())[:300]
    if target.address is None:
        return f"Ray does not start on this machine ({first}); try it: ray start --head"
    return f"{at} does not answer as Ray ({first}); look at it: ray status"


def elsewhere(avoided: set[str]) -> dict[str, Any]:
    """Returns Ray's options that keep a task or an actor off the nodes with these ids."""
    nodes_there = ", ".join(sorted(avoided))
    return {"label_selector": {"ray.io/node-id": f"!in({nodes_there})"}} if avoided else {}


def _wait_for_slot(wanted: Wanted) -> None:
    """Takes a slot for a moment. Waiting for it also lets an autoscaler add a node.

    The wait may take a day, and a user who presses Ctrl-C does not wait so long.
    """
    taken = ray.remote(num_cpus=1, max_retries=3)(nodes.nothing).remote()
    deadline = time.monotonic() + wanted.wait_s
    while True:
        left = deadline - time.monotonic()
        ready, _ = ray.wait([taken], timeout=max(0.0, min(left, _CALLER_S)))
        if ready:
            return
        if wanted.is_gone():
            raise Gone
        if left <= 0:
            ray.cancel(taken, force=True)
            raise Refused(
                f"no CPU of the cluster was free within {wanted.wait_s:g} s; add a node "
                "(ray start --address=HOST:6379), or wait longer: --pool-wait-s 600"
            )


def _look(program: Program | None, known: Mapping[str, Node]) -> dict[str, Node]:
    """Looks at all nodes that are not known, at once; returns all that live, by id."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    asked = {}
    for node_id in [node["NodeID"] for node in alive if node["NodeID"] not in known]:
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": there}
        asked[node_id] = ray.remote(**options)(nodes.look).remote(program)
    deadline = time.monotonic() + _LOOK_S
    found = {}
    for node in alive:
        node_id = node["NodeID"]
        if node_id not in asked:
            found[node_id] = known[node_id]
            continue
        slots = int(node["Resources"].get("CPU", 0))
        try:
            said = ray.get(asked[node_id], timeout=max(0.0, deadline - time.monotonic()))
        except ray.exceptions.RayError:
            said = None
        found[node_id] = Node(node["NodeManagerAddress"], slots, said)
    return found
