"""Gymnasium's contract, tested by its own checkers and against its own vector environment."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from memory_task import MemoryTask

import strategic_memory_envs as sme

NAME = "strategic_memory_envs:MemoryTask-v0"


def test_ten_lines_of_the_quick_start() -> None:
    env = gym.make(NAME, delay=16)
    observation, info = env.reset(seed=7)
    assert observation.dtype == np.float32
    assert info == {}
    rewards = []
    is_over = False
    while not is_over:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        rewards.append(reward)
        is_over = terminated or truncated
    env.close()
    assert len(rewards) == 16
    assert abs(float(rewards[-1])) == 1.0


def test_gymnasiums_checker_has_no_word_to_say(server: str) -> None:
    env = gym.make(NAME, delay=4, difficulty=1, server=server)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Pictures are checked in test_render.py.
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize("spec", ["Pendulum-v1", "NoisyPositionOnlyPendulum-v0"])
def test_the_checker_accepts_real_actions(server: str, spec: str, encoding: Any) -> None:
    env = sme.RemoteEnv(spec, server=server, encoding=encoding)
    assert env.action_space == gym.spaces.Box(-2.0, 2.0, (1,), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Its word on any space of actions that is not from -1 to 1, Gymnasium's pendulum's too.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")
        check_env(env, skip_render_check=True)
    env.close()


def test_real_actions_are_the_same_in_both_encodings_and_stay_in_their_bounds(server: str) -> None:
    torques = np.linspace(-2.0, 2.0, 12, dtype=np.float32).reshape(4, 3, 1)
    played = []
    for encoding in ("msgpack", "json"):
        with sme.RemoteVectorEnv("Pendulum-v1", 3, server=server, encoding=encoding) as envs:
            envs.reset(seed=3)
            played.append([envs.step(row)[0] for row in torques])
            with pytest.raises(sme.InvalidAction) as caught:
                envs.step(np.array([[0.0], [2.5], [0.0]], np.float32))
            assert caught.value.errors == [
                {"pointer": "/actions/1/0", "detail": "2.5 is not in [-2, 2]"}
            ]
            with pytest.raises((sme.ServerProblem, ValueError)):
                envs.step(np.full((3, 1), np.nan, np.float32))
    packed, text = played
    assert data_equivalence(packed, text, exact=True)


@pytest.mark.parametrize("difficulty", [0, 1])
@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_it_equals_the_task_in_process(server: str, difficulty: int, encoding: Any) -> None:
    remote = sme.RemoteEnv(
        "MemoryTask-v0", server=server, encoding=encoding, delay=5, difficulty=difficulty
    )
    for seed in (0, 7, 2**64 - 1 - 5):
        # Gymnasium's own generator takes such seeds too.
        check_environments_match(remote, MemoryTask(5, difficulty), 60, seed=seed)
    remote.close()


def test_unseeded_resets_go_on_with_the_stream(server: str) -> None:
    remote = sme.RemoteEnv("MemoryTask-v0", server=server, seed=11, delay=2, difficulty=1)
    local = MemoryTask(2, 1, seed=11)
    for _ in range(20):
        assert data_equivalence(remote.reset(), local.reset())
        assert data_equivalence(remote.step(1), local.step(np.int64(1)))
    remote.close()


def test_options_reach_the_server(env: sme.RemoteEnv) -> None:
    env.reset(options={"delay": 1})
    assert env.step(0)[2] is True
    env.reset()
    assert env.step(0)[2] is False
    with pytest.raises(sme.InvalidArguments) as caught:
        env.reset(options={"difficulty": 0})
    assert caught.value.errors[0]["pointer"] == "/options/difficulty"


def trace(envs: Any, mode: AutoresetMode, steps: int) -> list[Any]:
    """Returns all results; under `Disabled`, ended lanes are reset by mask."""
    actions = np.random.default_rng(3)
    returned = [envs.reset(seed=5)]
    for i in range(steps):
        returned.append(envs.step(actions.integers(0, 2, envs.num_envs)))
        is_over = returned[-1][2] | returned[-1][3]
        if mode is AutoresetMode.DISABLED and is_over.any():
            returned.append(envs.reset(options={"reset_mask": is_over.copy()}))
        if i == steps // 2:
            mask = np.arange(envs.num_envs) % 2 == 0
            returned.append(envs.reset(seed=99, options={"reset_mask": mask}))
        if i == steps * 3 // 4:
            returned.append(envs.reset(seed=[4 * lane for lane in range(envs.num_envs)]))
    return copy.deepcopy(returned)


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_traces_equal_gymnasiums(server: str, mode: AutoresetMode, encoding: Any) -> None:
    remote = gym.make_vec(
        NAME,
        num_envs=5,
        delay=4,
        difficulty=1,
        autoreset_mode=mode,
        server=server,
        encoding=encoding,
    )
    local = SyncVectorEnv([lambda: MemoryTask(4, 1)] * 5, autoreset_mode=mode)
    assert remote.metadata["autoreset_mode"] is mode
    assert remote.observation_space == local.observation_space
    assert remote.action_space == local.action_space
    # Masks reset single lanes, so lanes end at different steps from the middle on.
    theirs, ours = trace(local, mode, 40), trace(remote, mode, 40)
    assert len(ours) == len(theirs)
    for mine, their in zip(ours, theirs, strict=True):
        assert data_equivalence(mine, their, exact=True)
    if mode is AutoresetMode.SAME_STEP:
        masks = [r[4]["_final_obs"].sum() for r in ours if len(r) == 5 and "final_obs" in r[4]]
        assert min(masks) < 5 <= max(masks)
    remote.close()


def test_options_of_a_vector_reset_last_until_the_next_one(server: str) -> None:
    """Where the protocol differs from SyncVectorEnv, whose autoresets drop the options."""
    with sme.RemoteVectorEnv(
        "MemoryTask-v0", 2, server=server, delay=3, autoreset_mode="SameStep"
    ) as envs:
        envs.reset(options={"delay": 1})
        for _ in range(3):
            assert envs.step(np.array([0, 0]))[2].all()
        envs.reset()
        assert not envs.step(np.array([0, 0]))[2].any()


def test_seeds_for_some_lanes_only(server: str) -> None:
    remote = sme.RemoteVectorEnv("MemoryTask-v0", 4, server=server, delay=2, difficulty=1)
    local = SyncVectorEnv([lambda: MemoryTask(2, 1)] * 4)
    seeds = [1, None, 2, None]
    given = np.array([4, 5, 4, 5])
    assert data_equivalence(remote.reset(seed=given), local.reset(seed=given.tolist()))
    for envs in (remote, local):
        envs.reset(seed=3)
    assert data_equivalence(remote.reset(seed=seeds), local.reset(seed=seeds))
    mask = np.array([True, True, False, False])
    mine = remote.reset(seed=seeds, options={"reset_mask": mask})
    their = local.reset(seed=seeds, options={"reset_mask": mask})
    assert data_equivalence(mine, their)
    for _ in range(6):
        actions = np.array([0, 1, 1, 0])
        assert data_equivalence(remote.step(actions), local.step(actions))
    remote.close()


def test_masks_are_checked_as_gymnasium_does(server: str) -> None:
    with sme.RemoteVectorEnv("MemoryTask-v0", 2, server=server) as envs:
        envs.reset()
        for mask, kind in [
            ([True, False], TypeError),
            (np.array([1, 0]), TypeError),
            (np.array([True]), ValueError),
            (np.array([False, False]), ValueError),
        ]:
            with pytest.raises(kind):
                envs.reset(options={"reset_mask": mask})
        with pytest.raises(ValueError, match="3 seeds for 2"):
            envs.reset(seed=[1, 2, 3])
        assert envs.step(np.array([0, 1]))[1].tolist() == [0.0, 0.0]


def test_disabled_lanes_wait_for_their_reset(server: str) -> None:
    with sme.RemoteVectorEnv(
        "MemoryTask-v0", 2, server=server, delay=1, autoreset_mode="Disabled"
    ) as envs:
        envs.reset()
        envs.step(np.array([0, 0]))
        with pytest.raises(sme.NeedsReset, match="lane 0"):
            envs.step(np.array([0, 0]))


def test_what_is_returned_is_the_callers_own(server: str) -> None:
    with sme.RemoteVectorEnv("MemoryTask-v0", 3, server=server, autoreset_mode="SameStep") as envs:
        first, _ = envs.reset(seed=1)
        kept = first.copy()
        first_step = envs.step(np.zeros(3, np.int64))
        first_step[0][:] = 9.0
        assert (first == kept).all()
        for array in (first, *first_step[:4]):
            assert array.flags.writeable
            assert array.flags.owndata


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("own_server", [False, True])
@pytest.mark.parametrize("context", [None, "fork", "spawn"])
def test_gymnasiums_own_vectorization_works_too(
    server: str, context: str | None, own_server: bool
) -> None:
    """In this process, in forked ones and in spawned ones, which start their own servers."""
    envs = gym.make_vec(
        NAME,
        num_envs=2,
        vectorization_mode="sync" if context is None else "async",
        vector_kwargs={} if context is None else {"context": context},
        delay=3,
        server=None if own_server else server,
    )
    local = SyncVectorEnv([lambda: MemoryTask(3)] * 2)
    assert data_equivalence(envs.reset(seed=1), local.reset(seed=1))
    for _ in range(8):
        actions = np.array([0, 1])
        assert data_equivalence(envs.step(actions), local.step(actions))
    envs.close()


def test_specs_survive_pickling_and_make_the_same_again(server: str) -> None:
    env = gym.make(NAME, delay=2, server=server)
    assert env.spec is not None
    again = gym.make(pickle.loads(pickle.dumps(env.spec)))
    assert data_equivalence(env.reset(seed=3), again.reset(seed=3))
    assert env.spec.reward_threshold == 0.95
    env.close()
    again.close()


def test_closing_is_idempotent_and_final(server: str) -> None:
    env = sme.RemoteEnv("MemoryTask-v0", server=server)
    env.reset()
    env.close()
    env.close()
    with pytest.raises(gym.error.ClosedEnvironmentError):
        env.step(0)
    envs = sme.RemoteVectorEnv("MemoryTask-v0", 2, server=server)
    envs.close()
    envs.close()
    with pytest.raises(gym.error.ClosedEnvironmentError):
        envs.reset()


def test_the_known_specs_are_those_of_the_server(server: str) -> None:
    from strategic_memory_envs._known import KNOWN_SPECS

    offered = {spec["id"]: spec["solved_threshold"] for spec in sme.catalogue(server)}
    assert offered == KNOWN_SPECS, "run: python -m strategic_memory_envs.update_known"


# With one bit, bsuite's query is always the first bit.
@pytest.mark.filterwarnings("ignore:.*maximum and minimum values are equal:UserWarning")
# Of torques from -2 to 2, and of velocities and counts without bounds, as in Gymnasium's own tasks.
@pytest.mark.filterwarnings("ignore:.*symmetric and normalized space:UserWarning")
@pytest.mark.filterwarnings("ignore:.*(minimum|maximum) value is.*infinity:UserWarning")
def test_everything_offered_can_be_registered_and_played(server: str) -> None:
    ids = sme.register_all(server)
    # Gymnasium's own stay its own.
    assert {"strategic-memory/Pendulum-v1", "strategic-memory/CartPole-v1"} <= set(ids)
    assert str(gym.spec("Pendulum-v1").entry_point).startswith("gymnasium.")
    for spec_id in ids:
        env = gym.make(spec_id, server=server)
        check_env(env.unwrapped, skip_render_check=True)
        env.close()
        for mode in AutoresetMode:
            envs = gym.make_vec(spec_id, num_envs=3, server=server, autoreset_mode=mode)
            observations, _ = envs.reset(seed=1)
            assert observations in envs.observation_space
            envs.action_space.seed(1)
            observations, *_ = envs.step(envs.action_space.sample())
            assert observations in envs.observation_space
            envs.close()


def test_a_vector_fits_where_rllib_makes_its_own(server: str) -> None:
    """RLlib registers the creator and adds `num_envs` to its configuration."""

    def create(config: dict[str, Any]) -> Any:
        return sme.RemoteVectorEnv("MemoryTask-v0", **config)

    config: dict[str, Any] = {"delay": 2, "difficulty": 1, "server": server, "seed": 3}
    made: Any = lambda num_envs: create(config | {"num_envs": num_envs})  # noqa: E731
    gym.register("rllib-single-agent-env-v0", vector_entry_point=made)
    try:
        mode = gym.VectorizeMode("vector_entry_point")
        vector = gym.make_vec("rllib-single-agent-env-v0", num_envs=4, vectorization_mode=mode)
        envs = gym.wrappers.vector.DictInfoToList(vector)
        assert isinstance(envs.unwrapped, sme.RemoteVectorEnv)
        assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        observations, infos = envs.reset()
        assert (observations.shape, infos) == ((4, 3), [{}] * 4)
        ends = [envs.step(np.zeros(4, np.int64))[2].all() for _ in range(6)]
        assert ends == [False, True, False, False, True, False]
        envs.close()
    finally:
        del gym.registry["rllib-single-agent-env-v0"]


def test_a_vector_fits_where_cleanrl_counts_episodes(server: str) -> None:
    for mode in ("SameStep", "NextStep"):
        vector = gym.make_vec(NAME, num_envs=3, delay=2, server=server, autoreset_mode=mode)
        envs = gym.wrappers.vector.RecordEpisodeStatistics(vector)
        envs.reset(seed=1)
        lengths: list[int] = []
        for _ in range(12):
            *_, infos = envs.step(np.zeros(3, np.int64))
            if "episode" in infos:
                lengths += infos["episode"]["l"][infos["_episode"]].tolist()
        assert lengths == [2] * (18 if mode == "SameStep" else 12)
        envs.close()
