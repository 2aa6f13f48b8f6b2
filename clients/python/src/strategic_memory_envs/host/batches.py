"""Batches: the rows of several lanes as arrays, which are made once and filled at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from .._codec import WIRE_DTYPES, WIRE_NAMES

MAX_INFO_BYTES = 64 << 10
"""Longest array in the info of one lane; longer ones are left out."""
MAX_INFO_NAMES = 256
"""Most names in the infos of a step, nested ones included; others are left out."""
_MAX_INFOS_BYTES = 6 << 20
_MAX_INFOS_BYTES_PER_LANE = 48
"""Longest arrays of all infos of a step, so that the server does not find its answer too long."""
_MAX_INFO_DEPTH = 4
_MAX_INFO_NAME = 256


class Leaf:
    """A batch of arrays of one shape."""

    __slots__ = ("_flat", "_shape", "_shapes", "value")

    def __init__(self, space: spaces.Space[Any], num_envs: int) -> None:
        if space.shape is None:
            raise TypeError(f"elements of {space} are not arrays")
        self._shape = tuple(space.shape)
        self._shapes = [self._shape] * num_envs
        self.value: Any = np.zeros((num_envs, *self._shape), np.dtype(space.dtype))
        # Concatenating into a view without the dimension of the lanes is the fastest way to stack.
        merged = (num_envs * self._shape[0], *self._shape[1:]) if self._shape else ()
        self._flat = self.value.reshape(merged) if self._shape else None

    def fill(self, rows: Sequence[Any]) -> None:
        """Sets all rows, as `np.stack` does, but without broadcasting."""
        if self._flat is None:
            array = np.array(rows)
            if array.shape != self.value.shape:
                raise self._misshapen(rows)
            np.copyto(self.value, array, casting="same_kind")
            return
        try:
            shapes = [row.shape for row in rows]
        except AttributeError:  # lists, for example
            rows = [np.asarray(row) for row in rows]
            shapes = [row.shape for row in rows]
        if shapes != self._shapes:
            raise self._misshapen(rows)
        np.concatenate(rows, out=self._flat, casting="same_kind")

    def put(self, index: int, row: Any) -> None:
        """Sets one row."""
        array = np.asarray(row)
        if array.shape != self._shape:
            raise self._misshapen([row])
        # `...` keeps the row a view even where it is one number.
        np.copyto(self.value[index, ...], array, casting="same_kind")

    def copy_from(self, value: Any) -> None:
        """Sets all rows to those of the `value` of a batch of the same space."""
        if value.shape != self.value.shape or value.dtype != self.value.dtype:
            raise ValueError(f"a batch of {value.dtype} {value.shape} of another space")
        np.copyto(self.value, value)

    def _misshapen(self, rows: Sequence[Any]) -> ValueError:
        shapes = [np.shape(row) for row in rows]
        wrong = next((shape for shape in shapes if shape != self._shape), shapes)
        return ValueError(f"an observation has the shape {wrong} instead of {self._shape}")


class Parts:
    """A batch of a `Tuple` or `Dict` space: a batch for each of its parts."""

    __slots__ = ("_count", "_parts", "value")

    def __init__(self, space: spaces.Space[Any], num_envs: int) -> None:
        if isinstance(space, spaces.Dict):
            named = {key: batch_of(inner, num_envs) for key, inner in space.spaces.items()}
            self._parts: list[tuple[Any, Batch]] = list(named.items())
            self._count = None
            self.value: Any = {key: batch.value for key, batch in named.items()}
        else:
            assert isinstance(space, spaces.Tuple)
            ordered = [batch_of(inner, num_envs) for inner in space.spaces]
            self._parts = list(enumerate(ordered))
            self._count = len(ordered)
            self.value = [batch.value for batch in ordered]

    def fill(self, rows: Sequence[Any]) -> None:
        """Sets all rows."""
        self._check(rows)
        for key, batch in self._parts:
            batch.fill([row[key] for row in rows])

    def put(self, index: int, row: Any) -> None:
        """Sets one row."""
        self._check([row])
        for key, batch in self._parts:
            batch.put(index, row[key])

    def copy_from(self, value: Any) -> None:
        """Sets all rows to those of the `value` of a batch of the same space."""
        for key, batch in self._parts:
            batch.copy_from(value[key])

    def _check(self, rows: Sequence[Any]) -> None:
        if self._count is not None:
            for row in rows:
                if len(row) != self._count:
                    raise ValueError(
                        f"an observation is a tuple of {len(row)} parts instead of {self._count}"
                    )


Batch = Leaf | Parts


def batch_of(space: spaces.Space[Any], num_envs: int) -> Batch:
    """Returns a batch of zeros. Its `value` stays the same object, and is ready for a frame."""
    if isinstance(space, (spaces.Tuple, spaces.Dict)):
        return Parts(space, num_envs)
    return Leaf(space, num_envs)


class Actions:
    """Reads batches of actions from frames."""

    __slots__ = ("_dtype", "_shape")

    def __init__(self, space: spaces.Space[Any], num_envs: int) -> None:
        self._dtype: np.dtype[Any] = np.dtype(space.dtype)
        self._shape = [num_envs, *(space.shape or ())]

    def read(self, value: Any) -> NDArray[Any]:
        """Returns a new, writable array with the dtype of the space. Its rows are the actions.

        Raises:
            ValueError: the value is not an array of the right shape.
        """
        try:
            if value["shape"] != self._shape:
                raise ValueError(f"actions of shape {value['shape']} instead of {self._shape}")
            array = np.frombuffer(value["data"], WIRE_DTYPES[value["dtype"]])
            return array.reshape(self._shape).astype(self._dtype)
        except (KeyError, TypeError) as error:
            raise ValueError(f"actions are not an array: {error!r}") from error


class Infos:
    """Gathers the infos of lanes in the form of Gymnasium's vectors.

    Each name has an array with a row for each lane, and `_name` says which of them are meant. As
    in Gymnasium, the first value of a name decides the dtype. Values that a frame cannot express
    are left out: strings, objects, numbers that are not finite, and arrays that are too long. So
    are names that the form itself needs: those with `_` in front, and `dtype`.
    """

    def __init__(self, num_envs: int) -> None:
        self._num_envs = num_envs
        self._names_left = MAX_INFO_NAMES
        self._bytes_left = _MAX_INFOS_BYTES + _MAX_INFOS_BYTES_PER_LANE * num_envs
        self.value: dict[str, Any] = {}

    def add(self, index: int, info: dict[Any, Any]) -> None:
        """Adds the info of a lane."""
        self._add(self.value, index, info, _MAX_INFO_DEPTH)

    def _add(
        self, infos: dict[str, Any], index: int, info: dict[Any, Any], depth_left: int
    ) -> None:
        for name, value in info.items():
            if not _is_info_name(name):
                continue
            if isinstance(value, dict):
                inner = infos.get(name, {})
                if not depth_left or not isinstance(inner, dict) or not self._has_room(infos, name):
                    continue
                self._add(inner, index, value, depth_left - 1)
                if not inner:
                    continue
                infos[name] = inner
            else:
                dtype = _dtype_of(value)
                if dtype is None or not self._has_room(infos, name):
                    continue
                array = infos.get(name)
                if array is None:
                    array = self._zeros(np.shape(value), dtype)
                    if array is None:
                        continue
                elif isinstance(array, dict) or array.shape[1:] != np.shape(value):
                    continue
                try:
                    array[index] = value
                except (OverflowError, TypeError, ValueError):
                    continue
                infos[name] = array
            mask = infos.get(f"_{name}")
            if mask is None:
                mask = infos[f"_{name}"] = np.zeros(self._num_envs, np.bool_)
                self._names_left -= 1
                self._bytes_left -= self._num_envs
            mask[index] = True

    def _zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """Rows for a new name; None where they would be too long."""
        num_bytes = self._num_envs * math.prod(shape) * dtype.itemsize
        if num_bytes > self._bytes_left - self._num_envs:
            return None
        self._bytes_left -= num_bytes
        return np.zeros((self._num_envs, *shape), dtype)

    def _has_room(self, infos: dict[str, Any], name: str) -> bool:
        is_left = self._names_left > 0 and self._bytes_left >= self._num_envs
        return is_left or name in infos


def _is_info_name(name: Any) -> bool:
    # `_` is in front of the names of masks, and a map with an entry `dtype` would be an array.
    if not isinstance(name, str) or name.startswith("_") or name == "dtype":
        return False
    return len(name) <= _MAX_INFO_NAME and (name.isascii() or _is_unicode(name))


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can express a text: it has no lone halves of pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _dtype_of(value: Any) -> np.dtype[Any] | None:
    """The dtype of an array for a value of an info; None for a value that is left out."""
    kind = type(value)
    if kind is float:
        return np.dtype(float) if math.isfinite(value) else None
    if kind is bool or kind is int:
        return np.dtype(kind)
    if not isinstance(value, (np.generic, np.ndarray)) or value.nbytes > MAX_INFO_BYTES:
        return None
    dtype = value.dtype
    if dtype not in WIRE_NAMES or value.ndim >= 8:
        return None
    return dtype if dtype.kind != "f" or np.isfinite(value).all() else None
