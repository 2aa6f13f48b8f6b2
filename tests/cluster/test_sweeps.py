"""A sweep on three machines has the records of one machine, whichever of them is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from machines import Machines
from ray_machines import RayMachines
from sweeps import JOBS, Sweep, records, run_here, signal_workers, wait_for

CUT_S = 90.0

Note = Callable[[str], None]


@pytest.fixture(scope="module")
def alone(logs: Path) -> list[Any]:
    """The records of one machine, one job at a time."""
    run_here(logs, "alone", "--jobs", "1")
    found = records(logs / "alone")
    assert len(found) == len({record["configuration_hash"] for record in found}) == JOBS
    return found


@pytest.fixture(scope="module")
def workers(logs: Path, alone: list[Any]) -> float:
    """Seconds of a run in as many worker processes on this machine."""
    took = run_here(logs, "workers", "--workers", "3")
    assert records(logs / "workers") == alone
    return took


@pytest.fixture(scope="module")
def cluster(logs: Path, alone: list[Any], workers: float) -> Iterator[RayMachines]:
    """A cluster with three slots. Runs that need all cores have ended before."""
    with Machines(logs) as machines:
        yield RayMachines(machines, nodes=3)


@pytest.fixture
def sweep(cluster: RayMachines, logs: Path, request: pytest.FixtureRequest) -> Iterator[Sweep]:
    """A sweep of the test's name."""
    cluster.repair()
    sweep = Sweep(cluster, logs, request.node.name.removeprefix("test_"))
    yield sweep
    sweep.end()


def test_undisturbed(sweep: Sweep, alone: list[Any], workers: float, note: Note) -> None:
    took = sweep.finish()
    sweep.check(alone)
    sweep.check_undisturbed()
    bar = 3.0 + 0.05 * JOBS
    note(
        f"{JOBS} jobs in three slots: {took:.1f} s on the cluster, {workers:.1f} s with "
        f"--workers 3: {took - workers:+.1f} s (bar: {bar:+.1f} s)"
    )


def test_power_off(sweep: Sweep, alone: list[Any], note: Note) -> None:
    session = sweep.session()
    session.node.power_off()
    off = time.monotonic()
    sweep.resumed(session)
    note(f"power off, until the job runs elsewhere: {time.monotonic() - off:.1f} s (bar: 20 s)")
    sweep.finish()
    sweep.check(alone)
    sweep.check_lost(session, "node died")


def test_cable_cut_and_healed(sweep: Sweep, alone: list[Any], note: Note) -> None:
    """The node that is cut off keeps working. Another worker pauses, so that the sweep lasts."""
    session = sweep.session()
    session.node.cut_cable()
    cut = time.monotonic()
    goes_on = sweep.resumed(session)
    note(f"cable cut, until the job runs elsewhere: {time.monotonic() - cut:.1f} s (bar: 20 s)")
    signal_workers(goes_on, signal.SIGSTOP)
    time.sleep(max(0.0, cut + CUT_S - time.monotonic()))
    assert sweep.is_running()
    session.node.heal_cable()
    # Time for it to send what it has.
    time.sleep(5.0)
    signal_workers(goes_on, signal.SIGCONT)
    sweep.finish()
    sweep.check(alone)
    sweep.check_lost(session, "node died")


def test_killed_worker(sweep: Sweep, alone: list[Any], note: Note) -> None:
    session = sweep.session()
    signal_workers(session.node, signal.SIGKILL)
    killed = time.monotonic()
    title = "lost its worker"
    wait_for("news of the loss", lambda: title in sweep.log)
    note(f"worker killed, until the caller knows: {time.monotonic() - killed:.1f} s")
    sweep.finish()
    sweep.check(alone)
    sweep.check_lost(session, "signal: 9")
