"""A host with wrong environments, arguments or frames."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from host_process import TESTS, command, frame, hosting, last_line, run, unframe

CREATE = {"spec": "CartPole-v1", "kwargs": {}, "num_envs": 1, "autoreset_mode": "NextStep"}
TESTED = ("--path", TESTS, "--module", "hosted_envs")


def test_prints_do_not_damage_frames(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with log.open("wb") as stderr, hosting("Printing-v0", stderr=stderr) as host:
        host.create("Printing-v0", 2)
        host.reset([1, 2])
        for _ in range(3):
            assert host.step(np.zeros((2, 4), np.int64))["rewards"].tolist() == [0.0, 0.0]
    printed = log.read_text()
    for origin in ("Python", "the descriptor", "C", "a child"):
        assert printed.count(f"from {origin}\n") >= 6


@pytest.mark.parametrize(
    ("action", "reasons"),
    [
        (1, ["KeyError", "a door without a key", "hosted_envs.py, line "]),
        (2, ["ValueError: an observation has the shape (1,) instead of (3,)"]),
        (3, ["SystemExit: enough"]),
    ],
)
def test_a_failure_ends_its_vector_alone(action: int, reasons: list[str]) -> None:
    with hosting("Troubled-v0") as host:
        host.create("Troubled-v0", 2, env=1)
        host.create("Troubled-v0", 2, env=2)
        host.reset([1, 2], env=1)
        host.reset([1, 2], env=2)
        answer = host.step([0, 0], env=1)
        assert answer["observations"].tolist() == [[0.0, 0.5, 1.0]] * 2
        assert "infos" not in answer
        failed = host.call("step", "failed", env=1, actions=np.array([0, action]))
        assert all(reason in failed["reason"] for reason in reasons), failed
        assert len(failed["reason"]) <= 500
        assert "no vector 1" in host.call("save", "failed", env=1)["reason"]
        host.step([0, 0], env=2)
        host.create("Troubled-v0", 1, env=1)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (1, "ValueError: a name with half a pair: ? (hosted_envs.py, line "),
        (2, "Panic: (without a message that can be read) (hosted_envs.py, line "),
    ],
)
def test_any_exception_has_a_reason(action: int, reason: str) -> None:
    with hosting("Odd-v0") as host:
        host.create("Odd-v0", 1)
        host.reset([1])
        failed = host.call("step", "failed", env=1, actions=np.array([action]))
        assert failed["reason"].startswith(reason)
        host.create("Odd-v0", 1)


def test_an_environment_that_cannot_be_drawn_plays_on() -> None:
    with hosting("Odd-v0") as host:
        host.create("Odd-v0", 2)
        host.reset([1, 2])
        assert host.call("render", "rendered", env=1, lane=1) == {"frame": None}
        assert host.step([0, 0])["observations"].shape == (2, 2, 0)


def test_arguments_that_lead_to_another_kind_of_space_are_refused() -> None:
    with hosting("Odd-v0") as host:
        fields = {**CREATE, "env": 1, "spec": "Odd-v0"}
        refused = host.call("create", "refused", **{**fields, "kwargs": {"is_worded": True}})
        assert refused["reason"].startswith(
            "with these arguments: observation_space: Text spaces cannot be hosted"
        )
        host.call("create", "created", **fields)


def test_infos_with_names_of_the_form_are_left_out() -> None:
    with hosting("Odd-v0") as host:
        host.create("Odd-v0", 1)
        host.reset([1])
        infos = host.step([0])["infos"]
        assert {name: part.tolist() for name, part in infos.items()} == {
            "mine": [6],
            "_mine": [True],
        }


def test_arguments_are_refused() -> None:
    with hosting("Troubled-v0") as host:
        fields = {**CREATE, "env": 1, "spec": "Troubled-v0"}
        refused = host.call("create", "refused", **{**fields, "kwargs": {"limit": -1, "rate": 1.0}})
        assert refused == {"reason": "limit must not be negative", "name": "limit"}
        refused = host.call("create", "refused", **{**fields, "kwargs": {"other": 1}})
        assert refused["name"] == "other"
        assert host.call("create", "refused", **{**fields, "spec": "No-v0"})["name"] == "spec"
        failed = host.call("create", "failed", **{**fields, "kwargs": {"limit": 99}})
        assert "RuntimeError: out of chairs" in failed["reason"]
        host.call("create", "created", **fields)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (
            "Worded-v0",
            "Worded-v0: observation_space['text']: Text spaces cannot be hosted; Discrete, Box, "
            "MultiDiscrete (one dimension), MultiBinary (one dimension), Tuple and Dict can",
        ),
        ("NamedActions-v0", "NamedActions-v0: action_space: Dict spaces cannot be hosted as actio"),
        ("Grid-v0", "Grid-v0: observation_space: a MultiDiscrete space needs one dimension"),
        ("Nothing-v0", "registered by modules: Named-v0, Bits-v0"),
        ("Nothing-v0", 'gymnasium.register("MyEnv-v0", entry_point="hosted_envs:MyEnv")'),
        ("no_such_module:Foo-v0", "`python -m pip install no_such_module`"),
        ("no_such_module:Foo-v0", "--path DIR"),
    ],
)
def test_a_spec_that_cannot_be_hosted_ends_the_host(spec: str, line: str) -> None:
    ended = run(*TESTED, spec)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert line in last_line(ended)
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", 'registers no environments; it needs a line like `gymnasium.register("MyEnv-v0"'),
        ("import not_installed", "needs the module 'not_installed', which is missing"),
        ("x = 1 / 0", "ZeroDivisionError: division by zero (mine.py, line 1: x = 1 / 0)"),
    ],
)
def test_a_module_that_cannot_be_used_ends_the_host(source: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source)
    ended = run("--path", str(tmp_path), "--module", "mine")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert line in last_line(ended)


def test_specs_come_from_modules_without_a_list(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import gymnasium\n"
        "print('hello from mine')\n"
        "gymnasium.register('Mine-v3', entry_point='gymnasium.envs.classic_control:PendulumEnv')\n"
    )
    ways = ("--module mine", "mine:Mine-v3", "mine:Mine-v3 --module mine", "mine:Mine")
    for arguments in map(str.split, ways):
        ended = run("--path", str(tmp_path), *arguments)
        ((kind, hello),) = unframe(ended.stdout)
        assert (kind, ended.returncode) == ("hello", 0)
        assert [spec["id"] for spec in hello["specs"]] == ["Mine-v3"]


def test_everything_that_can_be_made_is_hosted_without_arguments() -> None:
    ended = run()
    ((_, hello),) = unframe(ended.stdout)
    ids = {spec["id"] for spec in hello["specs"]}
    assert {"CartPole-v1", "Blackjack-v1", "Pendulum-v1"} <= ids
    assert "CartPole-v0" not in ids, "the newest version only"
    assert "MemoryTask-v0" not in ids, "no environments of the server itself"
    assert b"left out: GymV21Environment-v0 cannot be made" in ended.stderr


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\0\0", "the length of a frame"),
        (b"\xff\xff\xff\xff", "the length of a frame"),
        (b"\0\0\0\5abc", "the input ends after 3 bytes of a frame of 5"),
        (b"\0\0\0\1\xc1", "not MessagePack"),
        (b"\0\0\0\1\x80", "not a map with one key"),
        (frame("dance", env=1), "there is no call 'dance'"),
        (frame("save"), "save lacks or does not know the fields ['env']"),
        (frame("save", env=1, more=2), "fields ['more']"),
        (frame("create", env=1, **{**CREATE, "num_envs": 0}), "create cannot have these fields"),
        (
            frame("create", env=1, **CREATE) + frame("step", env=1, actions=np.zeros(2, np.int64)),
            "step: actions of shape [2] instead of [1]",
        ),
    ],
)
def test_a_damaged_frame_ends_the_host(data: bytes, line: str) -> None:
    ended = run("CartPole-v1", data=data)
    assert ended.returncode == 2
    assert line in last_line(ended)
    assert len(ended.stderr.splitlines()) == 1


def test_an_interrupt_has_no_effect() -> None:
    with hosting("CartPole-v1") as host:
        host.create("CartPole-v1", 1)
        host.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        host.reset([1])
        host.process.send_signal(signal.SIGINT)
        host.step([1])


def test_a_thread_of_an_environment_does_not_keep_the_host() -> None:
    reset = frame("reset", env=1, seeds=[1], options={})
    data = frame("create", env=1, **{**CREATE, "spec": "Lasting-v0"}) + reset
    ended = run(*TESTED, "Lasting-v0", data=data)
    assert ended.returncode == 3
    assert [kind for kind, _ in unframe(ended.stdout)] == ["hello", "created", "observed"]


def test_the_end_of_the_input_ends_the_host() -> None:
    data = frame("create", env=1, **CREATE)
    ended = run("CartPole-v1", data=data)
    assert ended.returncode == 0
    assert [kind for kind, _ in unframe(ended.stdout)] == ["hello", "created"]
    assert command()[1:] == ["-m", "strategic_memory_envs.host"]
