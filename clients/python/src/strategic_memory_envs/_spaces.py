"""Reads Gymnasium's spaces from the wire, and converts their elements to bodies and back."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from ._codec import array_from, check_finite
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
