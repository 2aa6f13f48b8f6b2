"""Encodes and decodes bodies in both encodings of the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgpack
import numpy as np
from numpy.typing import NDArray

from .errors import ProtocolError

Encoding = Literal["msgpack", "json"]

WIRE_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        "bool",
        "uint8",
        "int8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
    )
}
"""Element types on the wire, little-endian."""

WIRE_NAMES = {
    np.dtype(name).newbyteorder(order): name for name in WIRE_DTYPES for order in ("<", ">")
}
"""Names on the wire of element types in either byte order."""


def _to_msgpack(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = WIRE_NAMES.get(value.dtype)
        if name is None:
            raise TypeError(f"an array of {value.dtype} cannot be sent: {value!r}"[:200])
        if value.ndim == 0:
            return value.item()
        data = value.astype(WIRE_DTYPES[name], copy=False).tobytes()
        return {"dtype": name, "shape": value.shape, "data": data}
    if isinstance(value, int):
        raise OverflowError  # As msgpack itself does for numbers that are too large.
    raise TypeError(f"{type(value).__name__} cannot be sent: {value!r}"[:200])


def _to_json(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent: {value!r}"[:200])


def check_finite(value: Any, place: str) -> None:
    """Checks that a value holds no number that a message cannot express (NaN, infinities).

    `place` is a JSON pointer (RFC 6901) to the value in the body.

    Raises:
        ValueError: there is such a number; the message names its place.
    """
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise ValueError(f"{float(value)} is not a finite number [at {place}]")
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "fc" and not np.isfinite(value).all():
            index = tuple(np.argwhere(~np.isfinite(value))[0].tolist())
            where = "".join(f"/{i}" for i in index)
            raise ValueError(f"{value[index]} is not a finite number [at {place}{where}]")
        if value.dtype.kind == "O":
            check_finite(value.tolist(), place)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            check_finite(entry, f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, (list, tuple)):
        for i, entry in enumerate(value):
            check_finite(entry, f"{place}/{i}")


class Codec:
    """One of the encodings."""

    __slots__ = ("_dumps", "_loads", "content_type")

    def __init__(self, encoding: Encoding = "msgpack") -> None:
        self._dumps: Callable[[Any], bytes]
        self._loads: Callable[[memoryview | bytes], Any]
        if encoding == "msgpack":
            self.content_type = "application/vnd.msgpack"
            self._dumps = msgpack.Packer(default=_to_msgpack).pack
            self._loads = msgpack.unpackb
        elif encoding == "json":
            self.content_type = "application/json"
            encoder = json.JSONEncoder(default=_to_json, separators=(",", ":"), allow_nan=False)
            self._dumps = lambda body: encoder.encode(body).encode()
            self._loads = lambda data: json.loads(bytes(data))
        else:
            raise ValueError(f"the encoding is 'msgpack' or 'json', not {encoding!r}")

    def dumps(self, body: dict[str, Any]) -> bytes:
        """Writes a body.

        Raises:
            ValueError: a number is too large or not finite.
            TypeError: a value is of a kind that cannot be sent.
        """
        try:
            return self._dumps(body)
        except OverflowError as error:
            raise ValueError("a number needs more than 64 bits") from error

    def loads(self, data: memoryview | bytes) -> dict[str, Any]:
        """Reads a body.

        Raises:
            ProtocolError: the data is not exactly one complete map.
        """
        try:
            body = self._loads(data)
        except Exception as error:  # msgpack raises many kinds for the same reason
            reason = f"the body of the reply cannot be read: {error}"
            raise ProtocolError(reason) from error
        if type(body) is not dict:
            raise ProtocolError("the body of the reply is not a map")
        return body


def array_from(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns a new array, writable and in native byte order, from either encoding."""
    if type(value) is dict:
        data = value["data"]
        received = np.ndarray(value["shape"], WIRE_DTYPES[value["dtype"]], data)
        if received.nbytes != len(data):
            raise ValueError(f"{len(data)} bytes for the shape {value['shape']}")
        return received.astype(dtype)
    return np.array(value, dtype)


def info_from(value: Any) -> Any:
    """Reads an entry of an info: arrays, numbers, tuples and dicts."""
    if isinstance(value, dict):
        if value.keys() == {"dtype", "shape", "data"} and isinstance(value["data"], bytes):
            return array_from(value, np.dtype(value["dtype"]))
        return {key: info_from(entry) for key, entry in value.items()}
    if isinstance(value, list):
        # JSON does not distinguish a tuple of numbers from an array, so both encodings use arrays.
        try:
            array = np.array(value)
        except ValueError:  # ragged
            array = np.empty(0, object)
        if array.size and array.dtype.kind in "biuf":
            return array
        return tuple(info_from(entry) for entry in value)
    return value
