"""Reads Gymnasium's spaces from the wire, and converts their elements to bodies and back."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ._codec import WIRE_NAMES, array_from, check_finite
from .errors import ProtocolError

Decoder = Callable[[Any], Any]
Encoder = Callable[[Any], Any]


def space_from(document: dict[str, Any]) -> spaces.Space[Any]:
    """Returns the space that a document describes.

    Raises:
        ProtocolError: the kind of space is unknown, or a field is missing or wrong.
    """
    try:
        return _space_from(document)
    except (KeyError, TypeError, ValueError, AssertionError) as error:
        raise ProtocolError(f"the space {document!r} cannot be made: {error}"[:500]) from error


def _space_from(document: dict[str, Any]) -> spaces.Space[Any]:
    kind = document["type"]
    if kind == "Discrete":
        return spaces.Discrete(document["n"], start=document.get("start", 0))
    if kind == "Box":
        shape, dtype = tuple(document["shape"]), np.dtype(document["dtype"])
        low = _bound(document["low"], shape, dtype)
        high = _bound(document["high"], shape, dtype)
        return spaces.Box(low, high, shape, dtype=dtype.type)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(document["nvec"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(document["n"])
    if kind == "Tuple":
        return spaces.Tuple([_space_from(inner) for inner in document["spaces"]])
    if kind == "Dict":
        return spaces.Dict({key: _space_from(inner) for key, inner in document["spaces"].items()})
    raise ProtocolError(f"spaces of type {kind!r} are not known to this version of the package")


def _bound(bound: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Reads a bound: a number for all elements, or a list; NumPy reads the infinities' strings."""
    if isinstance(bound, list):
        numbers = np.array([float(number) for number in bound]).reshape(shape)
    else:
        numbers = np.full(shape, float(bound))
    if dtype.kind in "iub":
        # Integers have no infinity: unbounded means the limit of the type.
        limits = np.iinfo(dtype) if dtype.kind != "b" else None
        low, high = (limits.min, limits.max) if limits else (0, 1)
        is_low, is_high = numbers <= low, numbers >= high
        exact = np.where(is_low | is_high, 0.0, numbers).astype(dtype)
        exact[is_low], exact[is_high] = low, high
        return exact
    return numbers.astype(dtype)


# A batch has one dimension more, and an array on the wire at most 8.
_MAX_DIMS = 7
_ACTIONS = "Discrete, MultiDiscrete (one dimension), MultiBinary (one dimension) and Box can"
_OBSERVATIONS = (
    "Discrete, Box, MultiDiscrete (one dimension), MultiBinary (one dimension), Tuple and Dict can"
)


def space_to_document(
    space: spaces.Space[Any], place: str, *, is_action: bool = False
) -> dict[str, Any]:
    """Returns the document that describes a space: the inverse of `space_from`.

    `place` names the space for the message, as in "observation_space". Spaces of actions have no
    parts.

    Raises:
        ValueError: the wire cannot express the space; the message says which part of it, and why.
    """
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.Box):
        return _box_to_document(space, place)
    if isinstance(space, spaces.MultiDiscrete):
        if space.nvec.ndim != 1:
            raise ValueError(f"{place}: a MultiDiscrete space needs one dimension, not {space}")
        if np.any(space.start):
            raise ValueError(f"{place}: a MultiDiscrete space must start at 0, not {space.start}")
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist()}
    if isinstance(space, spaces.MultiBinary):
        if len(space.shape) != 1:
            raise ValueError(f"{place}: a MultiBinary space needs one dimension, not {space}")
        return {"type": "MultiBinary", "n": int(space.shape[0])}
    if isinstance(space, spaces.Tuple) and not is_action:
        parts = [space_to_document(inner, f"{place}[{i}]") for i, inner in enumerate(space.spaces)]
        return {"type": "Tuple", "spaces": parts}
    if isinstance(space, spaces.Dict) and not is_action:
        for key in space.spaces:
            if not isinstance(key, str) or key == "dtype":
                raise ValueError(
                    f"{place}[{key!r}]: a name in a Dict space is a string, and not 'dtype'"
                )
        named = {
            key: space_to_document(inner, f"{place}[{key!r}]")
            for key, inner in space.spaces.items()
        }
        return {"type": "Dict", "spaces": named}
    use, others = (" as actions", _ACTIONS) if is_action else ("", _OBSERVATIONS)
    raise ValueError(f"{place}: {type(space).__name__} spaces cannot be hosted{use}; {others}")


def _box_to_document(space: spaces.Box, place: str) -> dict[str, Any]:
    name = WIRE_NAMES.get(np.dtype(space.dtype))
    if name is None:
        known = ", ".join(dict.fromkeys(WIRE_NAMES.values()))
        raise ValueError(f"{place}: a Box of {space.dtype} cannot be hosted; those of {known} can")
    if len(space.shape) > _MAX_DIMS:
        raise ValueError(
            f"{place}: a Box has at most {_MAX_DIMS} dimensions, not {len(space.shape)}"
        )
    return {
        "type": "Box",
        "shape": list(space.shape),
        "dtype": name,
        "low": _bound_to_document(space.low, f"{place}.low"),
        "high": _bound_to_document(space.high, f"{place}.high"),
    }


def _bound_to_document(bound: NDArray[Any], place: str) -> Any:
    """Writes a bound: one number where all are equal, else a flat list; strings for infinities."""
    numbers = bound.astype(np.float64).ravel()
    if np.isnan(numbers).any():
        raise ValueError(f"{place}: NaN is no bound")
    if numbers.size == 0 or (numbers == numbers[0]).all():
        return _extended(float(numbers[0]) if numbers.size else 0.0)
    return [_extended(number) for number in numbers.tolist()]


def _extended(number: float) -> float | str:
    if np.isfinite(number):
        return number
    return "Infinity" if number > 0 else "-Infinity"


def decoder(space: spaces.Space[Any], num_envs: int | None = None) -> Decoder:
    """Returns a function that makes elements of the space, or batches of `num_envs`, from bodies.

    The results belong to the caller: nothing else refers to their memory.
    """
    if isinstance(space, spaces.Dict):
        named = {key: decoder(inner, num_envs) for key, inner in space.spaces.items()}
        return lambda value: {key: decode(value[key]) for key, decode in named.items()}
    if isinstance(space, spaces.Tuple):
        ordered = [decoder(inner, num_envs) for inner in space.spaces]

        def decode_tuple(value: Any) -> Any:
            if len(value) != len(ordered):
                raise ValueError(f"a tuple of {len(value)}, but {len(ordered)} are expected")
            return tuple(decode(entry) for decode, entry in zip(ordered, value, strict=True))

        return decode_tuple
    if isinstance(space, spaces.Discrete) and num_envs is None:
        return lambda value: np.int64(operator.index(value))
    if space.dtype is None or space.shape is None:
        raise ProtocolError(f"elements of {space} are not arrays")
    dtype: np.dtype[Any] = np.dtype(space.dtype)
    shape = space.shape if num_envs is None else (num_envs, *space.shape)

    def decode_array(value: Any) -> Any:
        array = array_from(value, dtype)
        if array.shape != shape:
            raise ValueError(f"an array of shape {array.shape}, but {shape} is expected")
        return array

    return decode_array


def encoder(space: spaces.Space[Any], num_envs: int | None = None, *, place: str = "") -> Encoder:
    """Returns a function that converts actions for a body. The server checks that they are valid.

    `place` is their place in the body, for the message about a number that is not finite.
    """
    if isinstance(space, spaces.Dict):
        named = {
            key: encoder(inner, num_envs, place=f"{place}/{key}")
            for key, inner in space.spaces.items()
        }
        return lambda action: {key: encode(action[key]) for key, encode in named.items()}
    if isinstance(space, spaces.Tuple):
        ordered = [
            encoder(inner, num_envs, place=f"{place}/{i}") for i, inner in enumerate(space.spaces)
        ]
        return lambda action: [encode(entry) for encode, entry in zip(ordered, action, strict=True)]

    def encode_array(action: Any) -> Any:
        array = np.asarray(action)
        if array.dtype.kind not in "iub":
            check_finite(array, place)
        return array

    def encode_number(action: Any) -> Any:
        try:
            return operator.index(action)
        except TypeError:
            return encode_array(action)

    is_number = isinstance(space, spaces.Discrete) and num_envs is None
    return encode_number if is_number else encode_array


def row(space: spaces.Space[Any], batch: Any, index: int) -> Any:
    """Returns one element of a decoded batch."""
    if isinstance(space, spaces.Dict):
        return {key: row(inner, batch[key], index) for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(row(inner, part, index) for inner, part in zip(space, batch, strict=True))
    # An element without dimensions is an array too, except for Discrete, where it is a number.
    is_number = isinstance(space, spaces.Discrete)
    return batch[index] if is_number else np.asarray(batch[index])
