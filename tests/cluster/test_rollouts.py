"""A training on three machines learns the bits of one process, whichever machine is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from machines import Machines
from ray_machines import RayMachines
from sweeps import signal_workers
from trainings import Training, learned, train_here

Note = Callable[[str], None]


@pytest.fixture(scope="module")
def alone(logs: Path) -> Any:
    """What one process learns."""
    found = learned(train_here(logs))
    measured, tensors = found
    assert len(measured) > 100
    assert any(name.startswith("adam/") for name in tensors)
    return found


@pytest.fixture(scope="module")
def cluster(logs: Path, alone: Any) -> Iterator[RayMachines]:
    """A cluster with three slots."""
    with Machines(logs) as machines:
        yield RayMachines(machines, nodes=3)


@pytest.fixture
def training(
    cluster: RayMachines, logs: Path, request: pytest.FixtureRequest
) -> Iterator[Training]:
    """A training of the test's name, which has begun."""
    cluster.repair()
    training = Training(cluster, logs, request.node.name.removeprefix("test_"))
    training.wait_for_updates(20)
    assert len(training.working()) == len(cluster.nodes)
    yield training
    training.end()


def test_undisturbed(training: Training, alone: Any, note: Note) -> None:
    took = training.wait_for_updates(50) / 50
    note(f"three slots, no loss: {took * 1e3:.0f} ms an update")
    training.finish()
    assert learned(training.run) == alone


def test_killed_worker(training: Training, alone: Any, note: Note) -> None:
    signal_workers(training.working()[0], signal.SIGKILL)
    note(f"worker killed, until the next update but one: {training.wait_for_updates(2):.1f} s")
    training.finish()
    assert learned(training.run) == alone


def test_power_off(training: Training, alone: Any, note: Note) -> None:
    """Two slots are left for three workers."""
    training.working()[0].power_off()
    took = training.wait_for_updates(2)
    note(f"power off, until the next update but one: {took:.1f} s (bar: 20 s)")
    training.finish()
    assert learned(training.run) == alone
