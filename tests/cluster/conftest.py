"""Shared by all modules: a folder for logs, which stay after a failure, and measured figures."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_LOGS = _ROOT / "target" / "test-cluster"
# The settings that the package recommends are those of the tests. Nodes never see it.
sys.path.insert(0, str(_ROOT / "clients" / "cluster" / "src"))

_figures: list[str] = []


def pytest_configure() -> None:
    """Removes the machines also when a signal ends the tests."""
    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, _interrupt)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="session")
def note() -> Callable[[str], None]:
    """Takes a measured figure, which is printed at the end."""
    return _figures.append


@pytest.fixture(scope="module")
def logs(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for a module's machines and runs. It stays if a test has failed."""
    folder = _LOGS / f"{request.module.__name__}-{os.getpid()}"
    folder.mkdir(parents=True)
    failed = request.session.testsfailed
    yield folder
    if request.session.testsfailed == failed:
        shutil.rmtree(folder)
    else:
        _figures.append(f"logs of machines and runs: {folder}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the figures."""
    if _figures:
        terminalreporter.section("figures")
        for figure in _figures:
            terminalreporter.write_line(figure)
