from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from strategic_memory_cluster import settings
from strategic_memory_cluster.check import row, table
from strategic_memory_cluster.cluster import (
    Node,
    explain,
    refuse_open,
    refuse_other_cpus,
    warnings_about,
)
from strategic_memory_cluster.settings import Refused, Target

FAR = Target("10.0.0.1:6379")


def node(name: str, cpu: str = "x", problem: str | None = None, **more: str) -> Node:
    found = {"settings": {**settings.RECOMMENDED, **more}, "cpu": cpu, "problem": problem}
    return Node(name, 2, {**found, "ray": "2.60.0", "python": "3.11.7"})


def test_equal_nodes_with_all_settings_are_not_worth_a_word() -> None:
    assert warnings_about([node("a"), node("b")], FAR) == []


def test_what_differs_or_lacks_is_said_with_the_nodes() -> None:
    other = node("b", cpu="y")
    assert other.found is not None
    del other.found["settings"]["RAY_health_check_period_ms"]
    lacking, classes = warnings_about([node("a"), other], FAR)
    assert "on b: export RAY_health_check_period_ms=1000" in lacking
    assert "x on a; y on b" in classes
    assert warnings_about([node("a"), other], Target(None)) == [classes]
    silent, broken = warnings_about([Node("a", 2, None), node("b", problem="no libc")], FAR)
    assert "a did not answer" in silent
    assert broken == "the node b cannot run workers: no libc"


def test_a_cluster_that_anybody_may_use_is_refused() -> None:
    closed, opened = node("a", RAY_AUTH_MODE="token"), node("b")
    refuse_open([closed], FAR, insecure=False)
    refuse_open([opened], FAR, insecure=True)
    refuse_open([opened], Target("127.0.0.1:6379"), insecure=False)
    with pytest.raises(Refused, match=r"the node b takes calls .* RAY_AUTH_MODE=token"):
        refuse_open([closed, opened], FAR, insecure=False)


def test_another_class_of_cpu_is_refused_where_one_is_named() -> None:
    idle = Node("c", 0, node("c", cpu="z").found)
    refuse_other_cpus([node("a"), idle, Node("d", 2, None)], "x")
    refuse_other_cpus([node("a"), node("b", cpu="y")], None)
    with pytest.raises(Refused, match=r"node b has a CPU of the class y, .* needs x, .* ray stop"):
        refuse_other_cpus([node("a"), node("b", cpu="y")], "x")


def test_errors_of_ray_are_said_with_the_line_that_fixes_them() -> None:
    mismatch = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.59.0\n    Python: 3.10.2\n"
        "This process on node 10.0.0.2 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    assert "pip install 'ray==2.59.0', in Python 3.10.2" in explain(mismatch, FAR)
    assert "~/.ray/auth_token" in explain("Unauthenticated: RPC error: InvalidAuthToken", FAR)
    assert "ray start --address=10.0.0.1:6379" in explain("no node_ip_address.json file", FAR)
    assert "odd" in explain("odd\nthing", FAR)


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        *[(here, True) for here in ("127.0.0.1:6379", "localhost:1", "[::1]:6379", "127.0.0.2")],
        *[(far, False) for far in ("10.0.0.1:6379", "localhost.example:1", "", "0.0.0.0:1")],
    ],
)
def test_loopback(address: str, is_here: bool) -> None:
    assert settings.is_loopback(address) is is_here


def test_the_cluster_is_the_variable_or_the_machine_or_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert settings.find() == Target(None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        assert settings.find() == Target(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert settings.find() == Target(address)
        monkeypatch.setenv("RAY_ADDRESS", "local")
        assert settings.find() == Target(None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(Refused, match=r"no cluster at .* ray start --head"):
        settings.find()
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(Refused, match="no Ray runs on this machine"):
        settings.find()
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    with pytest.raises(Refused, match="Ray Client"):
        settings.find()


def test_a_ray_of_its_own_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    settings.prepare(Target(None))
    assert "RAY_health_check_period_ms" not in environment
    assert environment["RAY_AUTH_MODE"] == "token"
    assert len(environment["RAY_AUTH_TOKEN"]) == 64
    environment.clear()
    environment["RAY_health_check_period_ms"] = "7"
    settings.prepare(FAR)
    assert "RAY_AUTH_TOKEN" not in environment
    assert environment["RAY_health_check_period_ms"] == "7"
    assert environment["RAY_health_check_timeout_ms"] == "3000"


def test_the_table_of_nodes_is_aligned() -> None:
    rows: list[Any] = [row(node("a", RAY_AUTH_MODE="token")), row(Node("long", 16, None))]
    assert table(rows) == [
        "node  slots  CPU class        Ray, Python     access  settings",
        "a     2      x                2.60.0, 3.11.7  token   5 of 5",
        "long  16     does not answer",
    ]
