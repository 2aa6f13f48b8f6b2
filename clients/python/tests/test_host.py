"""A host's answers are those of Gymnasium's own vectors, to the bit."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import gymnasium
import hosted_envs
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from host_process import hosting

from strategic_memory_envs._spaces import space_from
from strategic_memory_envs.host.batches import MAX_INFO_NAMES, Infos

MODES = ["NextStep", "SameStep", "Disabled"]
SPECS = [
    "CartPole-v1",
    "Pendulum-v1",
    "FrozenLake-v1",
    "Blackjack-v1",
    "Named-v0",
    "Bits-v0",
    "Picture-v0",
]
LANES = 5


def same(hosted: Any, ours: Any, rows: Any = slice(None)) -> None:
    """Checks that a value of a frame equals a batch, dtypes included."""
    if isinstance(ours, dict):
        assert hosted.keys() == ours.keys()
        for key, part in ours.items():
            same(hosted[key], part, rows)
    elif isinstance(ours, tuple):
        assert len(hosted) == len(ours)
        for one, other in zip(hosted, ours, strict=True):
            same(one, other, rows)
    else:
        assert hosted.dtype == ours.dtype
        assert hosted.shape == ours.shape
        assert hosted[rows].tobytes() == ours[rows].tobytes()


def same_infos(hosted: dict[str, Any] | None, ours: dict[str, Any]) -> None:
    """Checks infos; the final ones are not among those of the host."""
    final = {"final_obs", "_final_obs", "final_info", "_final_info"}
    same(hosted or {}, {name: value for name, value in ours.items() if name not in final})


def vector(spec: str, mode: str, **kwargs: Any) -> Any:
    return SyncVectorEnv([lambda: gymnasium.make(spec, **kwargs)] * LANES, autoreset_mode=mode)


def wire_action(action: Any) -> Any:
    """Actions as the server sends them."""
    return action.astype(np.int64) if action.dtype.kind in "iub" else action


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
def test_answers_are_those_of_a_sync_vector(spec: str, mode: str) -> None:
    steps, ends = 300, 0
    ours = vector(spec, mode)
    with hosting(spec) as host:
        created = host.create(spec, LANES, mode)
        assert space_from(created["observation_space"]) == ours.single_observation_space
        assert space_from(created["action_space"]) == ours.single_action_space
        seeds = [2**64 - 1 - i for i in range(LANES)]
        observations, infos = ours.reset(seed=seeds)
        answer = host.reset(list(seeds))
        same(answer["observations"], observations)
        same_infos(answer.get("infos"), infos)
        ours.action_space.seed(3)
        for number in range(steps):
            action = ours.action_space.sample()
            observations, rewards, terminations, truncations, infos = ours.step(action)
            answer = host.step(wire_action(action))
            ended = terminations | truncations
            ends += int(ended.sum())
            same(answer["observations"], observations)
            same(answer["rewards"], rewards)
            same(answer["terminations"], terminations)
            same(answer["truncations"], truncations)
            same_infos(answer.get("infos"), infos)
            if mode == "SameStep":
                assert ("final_observations" in answer) == ended.any()
                if ended.any():
                    same_infos(answer.get("final_infos"), infos["final_info"])
                    # Picture reuses its array, and Gymnasium keeps no copy of the last one.
                    if spec != "Picture-v0":
                        same_finals(answer["final_observations"], infos["final_obs"], ended)
            elif mode == "Disabled" and ended.any():
                seeds_now = [number if i % 2 else None for i in range(LANES)]
                observations, infos = ours.reset(seed=seeds_now, options={"reset_mask": ended})
                answer = host.reset(seeds_now, mask=ended.tolist())
                same(answer["observations"], observations)
                same_infos(answer.get("infos"), infos)
        assert ends > 3 or spec == "Pendulum-v1"
        host.call("close", "closed", env=1)
    ours.close()


def same_finals(hosted: Any, ours: Any, ended: Any) -> None:
    for i in np.flatnonzero(ended).tolist():
        element = ours[i]
        if isinstance(element, dict):
            for key, part in element.items():
                same_finals(hosted[key], {i: part}, [j == i for j in range(LANES)])
        elif isinstance(element, tuple):
            for batch, part in zip(hosted, element, strict=True):
                same_finals(batch, {i: part}, [j == i for j in range(LANES)])
        else:
            np.testing.assert_array_equal(hosted[i], element)


def test_a_picture_in_the_mode_same_step_keeps_its_last_state() -> None:
    with hosting("Picture-v0") as host:
        host.create("Picture-v0", 1, "SameStep", env=1)
        host.create("Picture-v0", 1, "Disabled", env=2)
        host.reset([5], env=1)
        host.reset([5], env=2)
        for _ in range(100):
            same_step, disabled = host.step([[0, 1]], env=1), host.step([[0, 1]], env=2)
            if "final_observations" in same_step:
                break
            same(same_step["observations"], disabled["observations"])
        same(same_step["final_observations"], disabled["observations"])
        assert (same_step["observations"] != disabled["observations"]).any()
        same(same_step["observations"], host.reset([None], env=2)["observations"])


@pytest.mark.filterwarnings("ignore")
def test_a_masked_reset_leaves_the_other_lanes_alone() -> None:
    ours = vector("CartPole-v1", "NextStep")
    mask = [True, False, True, False, False]
    with hosting("CartPole-v1") as host:
        host.create("CartPole-v1", LANES)
        ours.reset(seed=4)
        host.reset([4 + i for i in range(LANES)])
        ours.step(np.ones(LANES, np.int64))
        before = host.step(np.ones(LANES, np.int64))["observations"]
        seeds = [9, 1, None, 1, 1]
        observations, _ = ours.reset(seed=seeds, options={"reset_mask": np.array(mask)})
        answer = host.reset(list(seeds), mask=mask)["observations"]
        same(answer, observations)
        same(answer, before, [not one for one in mask])
        same(host.step([0] * LANES)["observations"], ours.step(np.zeros(LANES, np.int64))[0])
    ours.close()


def test_options_reach_the_environment() -> None:
    with hosting("Bits-v0") as host:
        host.create("Bits-v0", 2)
        assert host.reset([1, 2])["infos"]["options"].tolist() == [0, 0]
        assert host.reset([1, 2], options={"a": 1})["infos"]["options"].tolist() == [1, 1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", ["CartPole-v1", "FrozenLake-v1", "Named-v0", "Picture-v0"])
def test_a_state_continues_in_another_process(spec: str, mode: str) -> None:
    with hosting(spec) as one, hosting(spec) as other:
        assert one.specs[spec]["can_save"]
        space = space_from(one.create(spec, LANES, mode)["action_space"])
        other.create(spec, LANES, mode, env=7)
        space.seed(1)
        one.reset([1, 2, 3, 4, 5])

        def actions() -> Any:
            return wire_action(np.stack([space.sample() for _ in range(LANES)]))

        def reset_ended(answer: dict[str, Any]) -> list[bool] | None:
            ended: list[bool] = (answer["terminations"] | answer["truncations"]).tolist()
            return ended if mode == "Disabled" and any(ended) else None

        # Leaves at a step that ends an episode, if it can.
        for _ in range(40):
            answer = one.step(actions())
            if (mask := reset_ended(answer)) is not None:
                one.reset([None] * LANES, mask=mask)
        saved = one.call("save", "saved", env=1)["state"]
        other.call("restore", "restored", env=7, state=saved)
        # Rows outside of a mask are restored, too.
        mask = [True] + [False] * (LANES - 1)
        again = [host.reset([None] * LANES, env=n, mask=mask) for host, n in ((one, 1), (other, 7))]
        same(again[0]["observations"], _as_ours(again[1]["observations"]))
        for _ in range(60):
            action = actions()
            answer, restored = one.step(action, env=1), other.step(action, env=7)
            finals = [part.pop("final_observations", None) for part in (answer, restored)]
            same(answer, _as_ours(restored))
            if finals[0] is not None:
                # The rows of the other lanes are arbitrary.
                ended = answer["terminations"] | answer["truncations"]
                same(finals[0], _as_ours(finals[1]), ended)
            if (mask_now := reset_ended(answer)) is not None:
                one.reset([None] * LANES, mask=mask_now)
                other.reset([None] * LANES, env=7, mask=mask_now)


def _as_ours(value: Any) -> Any:
    """Lists of a frame as tuples, which `same` compares."""
    if isinstance(value, dict):
        return {key: _as_ours(part) for key, part in value.items()}
    return tuple(map(_as_ours, value)) if isinstance(value, list) else value


def test_frames_are_drawn_on_a_copy() -> None:
    with hosting("Bits-v0") as host:
        host.create("Bits-v0", 2)
        assert host.call("render", "rendered", env=1, lane=0) == {"frame": None}
        host.reset([1, 2])
        host.step(np.array([[1, 1, 0, 0], [1, 0, 0, 0]]))
        assert [host.call("render", "rendered", env=1, lane=i)["frame"].max() for i in (0, 1)] in (
            [2, 1],
            [0, 1],  # if the first lane's episode had ended
        )
        drawn = host.call("render", "rendered", env=1, lane=1)["frame"]
        assert (drawn.shape, drawn.dtype) == ((2, 4, 3), np.uint8)
        host.call("save", "saved", env=1)


@pytest.mark.skipif(find_spec("pygame") is not None, reason="pygame is installed")
def test_without_the_package_that_draws_there_is_no_frame() -> None:
    with hosting("CartPole-v1") as host:
        host.create("CartPole-v1", 1)
        host.reset([1])
        assert host.call("render", "rendered", env=1, lane=0) == {"frame": None}
        host.step([1])


def test_infos_that_a_frame_cannot_express_are_left_out() -> None:
    infos = Infos(2)
    infos.add(
        0,
        {
            "count": 1,
            "bit": np.True_,
            "_count": {"a": 1},
            "dtype": 1,
            3: 1,
            "n" * 999: 1,
            "large": 2**70,
        },
    )
    infos.add(1, {"count": 2, "bit": np.False_, "rows": np.zeros(9000), "text": "", "none": None})
    infos.add(1, {"rows": np.ones(2, np.float32), "half": np.float16(1), "inf": np.inf})
    infos.add(0, {"rows": np.ones(3, np.float32), "deep": {"text": "", "x": np.array([np.nan])}})
    assert {name: part.tolist() for name, part in infos.value.items()} == {
        "count": [1, 2],
        "_count": [True, True],
        "bit": [True, False],
        "_bit": [True, True],
        "rows": [[0.0, 0.0], [1.0, 1.0]],
        "_rows": [False, True],
    }
    many = Infos(1)
    many.add(0, {str(i): i for i in range(MAX_INFO_NAMES + 10)})
    assert len(many.value) == 2 * MAX_INFO_NAMES


def test_infos_are_not_too_long_for_the_server() -> None:
    infos = Infos(100)
    for lane in range(100):
        infos.add(lane, {f"{i}": np.full(1000, i + 1.0) for i in range(20)})
    sizes = [part.nbytes for part in infos.value.values()]
    assert 5 << 20 < sum(sizes) < 8 << 20
    # Names are left out whole: the others have all their rows.
    assert all(part.all() for part in infos.value.values())


def test_hello_describes_the_specs() -> None:
    with hosting(*(f"{name}-v0" for name in hosted_envs.PLAYABLE)) as host:
        assert host.hello["protocol"] == 1
        assert f"gymnasium {gymnasium.__version__}" in host.hello["name"]
        can = {id: (spec["can_save"], spec["is_deterministic"]) for id, spec in host.specs.items()}
        assert can["Named-v0"] == can["Bits-v0"] == can["Picture-v0"] == (True, True)
        assert can["Chance-v0"] == (False, False)
        named, troubled = host.specs["Named-v0"], host.specs["Troubled-v0"]
        assert named["description"] == (
            "A dictionary of everything. Hosted Gymnasium environment hosted_envs:Named."
        )
        assert [p["name"] for p in named["parameters"]] == ["size"]
        assert named["reward_range"] is None
        assert troubled["reward_range"] == [-1.0, 2.0]
        parameters = {p.pop("name"): p for p in troubled["parameters"]}
        assert all(
            p.pop("description") and p.pop("resettable") is False for p in parameters.values()
        )
        integers = {"minimum": -(2**53), "maximum": 2**53}
        assert parameters == {
            "limit": {"type": "integer", **integers, "default": 3},
            "rate": {
                "type": "number",
                "minimum": -1.7976931348623157e308,
                "maximum": 1.7976931348623157e308,
                "default": 0.5,
            },
            "sizes": {
                "type": "integers",
                **integers,
                "min_items": 0,
                "max_items": 256,
                "default": [1, 2],
            },
        }


def test_arguments_reach_the_environment_with_their_types() -> None:
    with hosting("Named-v0", "Troubled-v0") as host:
        created = host.create("Named-v0", 1, size=2)
        assert created["observation_space"]["spaces"]["b"]["shape"] == [2, 2]
        host.create("Troubled-v0", 1, env=2, limit=1, rate=2, sizes=[3])


def test_nothing_is_saved_where_it_is_not_wanted() -> None:
    with hosting("--no-save", "CartPole-v1") as host:
        assert not host.specs["CartPole-v1"]["can_save"]
        assert host.specs["CartPole-v1"]["is_deterministic"]
