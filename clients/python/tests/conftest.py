"""Fixtures: a server of this process, and the option that runs heavy tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import strategic_memory_envs as sme


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--heavy",
        action="store_true",
        help="also train with other libraries (needs requirements-heavy.txt)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--heavy"):
        return
    for item in items:
        if "heavy" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="--heavy runs it"))


@pytest.fixture(scope="session")
def server() -> str:
    """URL of the server that the tests use."""
    return os.environ.get("STRATEGIC_MEMORY_SERVER") or sme.local_server().url


@pytest.fixture
def env(server: str) -> Iterator[sme.RemoteEnv]:
    with sme.RemoteEnv("MemoryTask-v0", server=server, delay=3, difficulty=1) as env:
        yield env
