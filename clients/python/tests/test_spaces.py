"""Every kind of space, alone and in batches, against a stub that speaks the protocol."""

from __future__ import annotations

import re
from typing import Any

import msgpack
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from stub import Request, Stub, response

import strategic_memory_envs as sme
from strategic_memory_envs._codec import Codec, info_from
from strategic_memory_envs._spaces import decoder, space_from, space_to_document

F32 = np.float32
CASES: list[tuple[dict[str, Any], spaces.Space[Any]]] = [
    ({"type": "Discrete", "n": 3, "start": 0}, spaces.Discrete(3)),
    ({"type": "Discrete", "n": 3, "start": -1}, spaces.Discrete(3, start=-1)),
    (
        {"type": "Box", "shape": [3], "dtype": "float32", "low": 0.0, "high": 1.0},
        spaces.Box(0.0, 1.0, (3,), F32),
    ),
    (
        {"type": "Box", "shape": [], "dtype": "float32", "low": "-Infinity", "high": "Infinity"},
        spaces.Box(-np.inf, np.inf, (), F32),
    ),
    (
        {"type": "Box", "shape": [2], "dtype": "float64", "low": [0, "-Infinity"], "high": [1, 2]},
        spaces.Box(np.array([0.0, -np.inf]), np.array([1.0, 2.0]), dtype=np.float64),
    ),
    (
        {"type": "Box", "shape": [2, 3], "dtype": "uint8", "low": 0, "high": 255},
        spaces.Box(0, 255, (2, 3), np.uint8),
    ),
    (
        {"type": "Box", "shape": [2], "dtype": "int64", "low": -4.0, "high": 5.0},
        spaces.Box(-4, 5, (2,), np.int64),
    ),
    ({"type": "MultiDiscrete", "nvec": [3, 4]}, spaces.MultiDiscrete([3, 4])),
    ({"type": "MultiBinary", "n": 4}, spaces.MultiBinary(4)),
]
INNER = [document for document, _ in CASES]
CASES += [
    (
        {"type": "Tuple", "spaces": INNER[:3]},
        spaces.Tuple([space for _, space in CASES[:3]]),
    ),
    (
        {"type": "Dict", "spaces": {"b": INNER[8], "a": {"type": "Tuple", "spaces": INNER[:2]}}},
        spaces.Dict({"b": spaces.MultiBinary(4), "a": spaces.Tuple([CASES[0][1], CASES[1][1]])}),
    ),
]
IDS = [str(space)[:30] for _, space in CASES]


def on_the_wire(value: Any) -> Any:
    """Encodes like the server: little-endian arrays, scalars as numbers, tuples as lists."""
    if isinstance(value, dict):
        return {key: on_the_wire(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [on_the_wire(entry) for entry in value]
    if isinstance(value, np.ndarray) and value.ndim:
        # The server has no int8: it sends bits as int64.
        array = value.astype(np.int64) if value.dtype == np.int8 else value
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}
    return value if isinstance(value, int) else value.item()


def joined(space: spaces.Space[Any], elements: list[Any]) -> Any:
    empty: Any = create_empty_array(space, len(elements))
    return concatenate(space, elements, empty)


def packed(value: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(on_the_wire(value)))


def packed_info(info: dict[str, Any]) -> Any:
    return packed({key: np.float64(x) if isinstance(x, float) else x for key, x in info.items()})


def in_json(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, dict):
        return {key: in_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple):
        return [in_json(entry) for entry in value]
    return value.tolist()


@pytest.mark.parametrize(("document", "space"), CASES, ids=IDS)
def test_spaces_are_exactly_gymnasiums(document: dict[str, Any], space: spaces.Space[Any]) -> None:
    made = space_from(document)
    assert made == space
    assert repr(made) == repr(space)


@pytest.mark.parametrize(("document", "space"), CASES, ids=IDS)
def test_elements_and_batches_survive(document: dict[str, Any], space: spaces.Space[Any]) -> None:
    space.seed(4)
    elements = [space.sample() for _ in range(3)]
    batch = joined(space, elements)
    for write in (packed, in_json):
        for element in elements:
            decoded = decoder(space)(write(element))
            assert data_equivalence(decoded, element, exact=True)
            assert decoded in space
        decoded = decoder(space, 3)(write(batch))
        assert data_equivalence(decoded, batch, exact=True)
        assert decoded in batch_space(space, 3)


@pytest.mark.parametrize(("document", "space"), CASES, ids=IDS)
def test_whole_environments_of_every_space(
    document: dict[str, Any], space: spaces.Space[Any]
) -> None:
    """Observations, actions and, under `SameStep`, final observations."""
    space.seed(4)
    elements = [space.sample() for _ in range(2)]
    batch = joined(space, elements)
    wire = on_the_wire(batch)
    flags = on_the_wire(np.array([False, True]))
    rewards = on_the_wire(np.array([0.0, 1.0]))
    sent: list[Any] = []

    def respond(request: Request) -> bytes:
        if request.method == "PUT":
            return response(
                {
                    "kwargs": {},
                    "num_envs": 2,
                    "autoreset_mode": "SameStep",
                    "single_observation_space": document,
                    "single_action_space": document,
                    "seq": 0,
                }
            )
        if request.target.endswith("/reset"):
            return response({"observations": wire, "infos": {}, "seq": 1})
        if request.method == "DELETE":
            return response(b"", "204 No Content")
        sent.append(request.body["actions"])
        infos = {
            "final_obs": wire,
            "_final_obs": flags,
            "final_info": {"n": on_the_wire(np.array([0, 7])), "_n": flags},
            "_final_info": flags,
            "name": ["a", "b"],
        }
        return response(
            {
                "observations": wire,
                "rewards": rewards,
                "terminations": flags,
                "truncations": flags,
                "infos": infos,
                "seq": 2,
            }
        )

    with Stub(respond) as stub:
        envs = sme.RemoteVectorEnv("X-v0", 2, server=stub.url, autoreset_mode="SameStep")
        assert envs.single_observation_space == space
        observations, _ = envs.reset()
        assert data_equivalence(observations, batch, exact=True)
        _, _, terminations, _, infos = envs.step(batch)
        assert terminations.tolist() == [False, True]
        assert infos["final_obs"].dtype == object
        assert infos["final_obs"][0] is None
        assert data_equivalence(infos["final_obs"][1], elements[1], exact=True)
        assert infos["final_info"]["n"].tolist() == [0, 7]
        assert infos["name"] == ("a", "b")
        envs.close()
    decoded = decoder(space, 2)(sent[0])
    assert data_equivalence(decoded, batch, exact=True)


def test_a_batch_of_the_wrong_shape_is_noticed() -> None:
    box = spaces.Box(0, 1, (3,), F32)
    for wrong in (np.zeros((2, 4), F32), np.zeros(6, F32)):
        with pytest.raises(ValueError, match="shape"):
            decoder(box, 2)(on_the_wire(wrong))
    for size in (0, 20, 28):
        with pytest.raises((ValueError, TypeError), match=r"bytes|buffer"):
            decoder(box, 2)({"dtype": "float32", "shape": [2, 3], "data": bytes(size)})


def test_infos_are_the_same_in_both_encodings() -> None:
    info = {
        "distance": 2.5,
        "mask": np.array([True, False]),
        "map": np.arange(6).reshape(2, 3),
        "hand": ({"cards": np.array([1, 2])}, 3),
        "ragged": (np.array([1]), np.array([1, 2])),
        "nothing": (),
    }
    assert data_equivalence(info_from(packed_info(info)), info, exact=True)
    assert data_equivalence(info_from(in_json(info)), info, exact=True)


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_numpy_numbers_may_be_arguments(encoding: Any) -> None:
    codec = Codec(encoding)
    body = {"delay": np.int64(3), "flag": np.bool_(True), "x": np.float32(0.5)}
    assert codec.loads(codec.dumps(body)) == {"delay": 3, "flag": True, "x": 0.5}
    with pytest.raises(TypeError, match="cannot be sent"):
        codec.dumps({"x": object()})
    with pytest.raises(ValueError, match=r"64 bits|not JSON compliant"):
        codec.dumps({"x": 2**70 if encoding == "msgpack" else float("nan")})


@pytest.mark.parametrize(("document", "space"), CASES, ids=IDS)
def test_a_space_is_written_as_it_is_read(
    document: dict[str, Any], space: spaces.Space[Any]
) -> None:
    written = space_to_document(space, "observation_space")
    assert space_from(msgpack.unpackb(msgpack.packb(written))) == space
    assert written["type"] == document["type"]


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint64, np.int64, np.float64])
def test_bounds_of_every_type_are_written_as_they_are_read(dtype: Any) -> None:
    space: spaces.Box
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        space = spaces.Box(limits.min, limits.max, (2,), dtype)
    else:
        space = spaces.Box(np.array([0, 0], dtype), np.array([0, 1], dtype), dtype=dtype)
    assert space_from(space_to_document(space, "observation_space")) == space


@pytest.mark.parametrize(
    ("space", "is_action", "reason"),
    [
        (spaces.Text(3), False, "o: Text spaces cannot be hosted; Discrete, Box, Multi"),
        (spaces.Tuple([spaces.Discrete(2)]), True, "o: Tuple spaces cannot be hosted as actions"),
        (spaces.MultiDiscrete([2, 3], start=[0, 1]), False, "o: a MultiDiscrete space must start"),
        (spaces.MultiBinary([2, 3]), False, "o: a MultiBinary space needs one dimension"),
        (spaces.Box(0, 1, (1,) * 8), False, "o: a Box has at most 7 dimensions, not 8"),
        (spaces.Box(0, 1, (1,), np.float16), False, "o: a Box of float16 cannot be hosted"),
        (spaces.Dict({"dtype": spaces.Discrete(2)}), False, r"o['dtype']: a name in a Dict space"),
        (
            spaces.Dict({"a": spaces.Tuple([spaces.Discrete(2), spaces.Text(3)])}),
            False,
            "o['a'][1]: Text spaces cannot be hosted;",
        ),
    ],
)
def test_spaces_that_the_wire_lacks_are_named(
    space: spaces.Space[Any], is_action: bool, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}"):
        space_to_document(space, "o", is_action=is_action)
