"""Translates Gymnasium's calls into bodies, and replies into Gymnasium's results. Without I/O.

Shared by the blocking and the asynchronous clients.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from ._codec import array_from, check_finite, info_from
from ._spaces import decoder, encoder, row, space_from
from .errors import ProtocolError

Info = dict[str, Any]
Fields = dict[str, Any]
Seeds = int | Sequence[int | None] | NDArray[np.integer[Any]] | None
StepResult = tuple[Any, float, bool, bool, Info]
VectorStepResult = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]

_FLOAT64 = np.dtype(np.float64)
_BOOL = np.dtype(np.bool_)
# Exceptions that reading a malformed reply raises.
_MISFITS = (KeyError, TypeError, ValueError, IndexError, AttributeError)


def _misfit(error: Exception) -> ProtocolError:
    return ProtocolError(f"the reply does not fit the environment: {type(error).__name__}: {error}")


def check_seed(seed: Any) -> int:
    """Checks a seed and returns it in the form used on the wire.

    Raises:
        ValueError: when it is not an integer from 0 to 2^64 - 1.
    """
    number = operator.index(seed)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"a seed is an integer from 0 to 2**64 - 1, not {number}")
    return number


def check_count(name: str, value: Any) -> int:
    """Checks an argument that counts something; the server knows its upper limit.

    Raises:
        TypeError: it is not an integer.
        ValueError: it is negative.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is an integer, not {value!r}") from None
    if number < 0:
        raise ValueError(f"{name} cannot be {number}")
    return number


def _check_options(options: Any) -> Fields:
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f'options is a dict such as {{"delay": 8}}, not {options!r}')
    check_finite(options, "/options")
    return dict(options or {})


def creation(spec_id: str, kwargs: Mapping[str, Any], ttl_s: int | None, **fields: Any) -> Fields:
    """The body that creates an environment."""
    check_finite(kwargs, "/kwargs")
    body: Fields = {"spec_id": spec_id, "kwargs": dict(kwargs), **fields}
    if ttl_s is not None:
        body["ttl_s"] = check_count("ttl_s", ttl_s)
    return body


class Single:
    """Bodies of one environment."""

    def __init__(self, description: Fields) -> None:
        """Reads the description that the server sent when the environment was created."""
        try:
            self.env_kwargs: dict[str, Any] = dict(description["kwargs"])
            self.observation_space = space_from(description["observation_space"])
            self.action_space = space_from(description["action_space"])
        except _MISFITS as error:
            raise _misfit(error) from error
        self._decode = decoder(self.observation_space)
        self._encode = encoder(self.action_space, place="/action")

    def reset_fields(self, seed: int | None, options: Mapping[str, Any] | None) -> Fields:
        """Returns the body of a reset, without its number."""
        fields: Fields = {}
        if seed is not None:
            fields["seed"] = check_seed(seed)
        if wanted := _check_options(options):
            fields["options"] = wanted
        return fields

    def step_fields(self, action: Any) -> Fields:
        """Returns the body of a step, without its number."""
        return {"action": self._encode(action)}

    def read_reset(self, reply: Fields) -> tuple[Any, Info]:
        """Reads the reply to a reset."""
        try:
            return self._decode(reply["observation"]), info_from(reply["info"])
        except _MISFITS as error:
            raise _misfit(error) from error

    def read_step(self, reply: Fields) -> StepResult:
        """Reads the reply to a step."""
        try:
            info = reply["info"]
            return (
                self._decode(reply["observation"]),
                float(reply["reward"]),
                reply["terminated"],
                reply["truncated"],
                info_from(info) if info else info,
            )
        except _MISFITS as error:
            raise _misfit(error) from error


class Vector:
    """Bodies of a vector environment."""

    def __init__(self, description: Fields) -> None:
        """Reads the description that the server sent when the environment was created."""
        try:
            self.env_kwargs: dict[str, Any] = dict(description["kwargs"])
            self.num_envs = operator.index(description["num_envs"])
            self.autoreset_mode = AutoresetMode(description["autoreset_mode"])
            self.single_observation_space = space_from(description["single_observation_space"])
            self.single_action_space = space_from(description["single_action_space"])
        except _MISFITS as error:
            raise _misfit(error) from error
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._decode = decoder(self.single_observation_space, self.num_envs)
        self._encode = encoder(self.single_action_space, self.num_envs, place="/actions")

    def reset_fields(self, seed: Seeds, options: Mapping[str, Any] | None) -> list[Fields]:
        """Returns the bodies of a reset, without their numbers.

        There are two if some lanes have a seed and others `None`: the first resets the lanes with
        a seed, the second the others.

        Raises:
            TypeError: the mask is not an array of bool.
            ValueError: the mask or the seeds do not fit the lanes.
        """
        rest = _check_options(options)
        mask = self._check_mask(rest.pop("reset_mask", None))
        if seed is None or not isinstance(seed, Sequence | np.ndarray):
            fields: Fields = {} if seed is None else {"seed": check_seed(seed)}
            return [self._with_options(fields, mask, rest)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} environments")
        is_seeded = np.array([each is not None for each in seed])
        seeds = [0 if each is None else check_seed(each) for each in seed]
        if is_seeded.all():
            return [self._with_options({"seed": seeds}, mask, rest)]
        wanted = np.ones(self.num_envs, np.bool_) if mask is None else mask
        parts = [({"seed": seeds}, wanted & is_seeded), ({}, wanted & ~is_seeded)]
        return [self._with_options(fields, part, rest) for fields, part in parts if part.any()]

    def _check_mask(self, mask: Any) -> NDArray[np.bool_] | None:
        if mask is None:
            return None
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError("options['reset_mask'] must be a NumPy array of bool")
        if mask.shape != (self.num_envs,):
            raise ValueError(
                f"options['reset_mask'] must have the shape ({self.num_envs},), not {mask.shape}"
            )
        if not mask.any():
            raise ValueError("options['reset_mask'] must choose at least one environment")
        return mask

    @staticmethod
    def _with_options(
        fields: Fields, mask: NDArray[np.bool_] | None, rest: Mapping[str, Any]
    ) -> Fields:
        options = dict(rest) if mask is None else {**rest, "reset_mask": mask}
        return {**fields, "options": options} if options else fields

    def step_fields(self, actions: Any) -> Fields:
        """Returns the body of a step, without its number."""
        return {"actions": self._encode(actions)}

    def read_resets(self, replies: Sequence[Fields]) -> tuple[Any, Info]:
        """Reads the replies to the bodies of a reset."""
        try:
            infos: Info = {}
            for reply in replies:
                _merge(infos, self._read_infos(reply["infos"]))
            return self._decode(replies[-1]["observations"]), infos
        except _MISFITS as error:
            raise _misfit(error) from error

    def read_step(self, reply: Fields) -> VectorStepResult:
        """Reads the reply to a step."""
        try:
            infos = reply["infos"]
            return (
                self._decode(reply["observations"]),
                self._per_lane(reply["rewards"], _FLOAT64),
                self._per_lane(reply["terminations"], _BOOL),
                self._per_lane(reply["truncations"], _BOOL),
                self._read_infos(infos) if infos else infos,
            )
        except _MISFITS as error:
            raise _misfit(error) from error

    def _per_lane(self, value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        array = array_from(value, dtype)
        if array.shape != (self.num_envs,):
            raise ValueError(f"the shape {array.shape} for {self.num_envs} lanes")
        return array

    def _read_infos(self, infos: Mapping[str, Any]) -> Info:
        """Reads Gymnasium's vector infos: `final_obs` has an observation or None for each lane."""
        read: Info = {}
        for key, value in infos.items():
            if key == "final_obs":
                batch = self._decode(value)
                final = np.full(self.num_envs, None, dtype=object)
                for lane in np.flatnonzero(self._per_lane(infos["_final_obs"], _BOOL)).tolist():
                    final[lane] = row(self.single_observation_space, batch, lane)
                read[key] = final
            else:
                read[key] = info_from(value)
        return read


def _merge(infos: Info, others: Info) -> None:
    """Adds infos of other lanes: rows that a mask of `others` selects replace those of `infos`."""
    for key, value in others.items():
        mask = others.get(f"_{key}")
        if key not in infos:
            infos[key] = value
        elif isinstance(value, dict):
            _merge(infos[key], value)
        elif key.startswith("_") and key[1:] in others:
            infos[key] = infos[key] | value
        elif mask is not None:
            infos[key][mask] = value[mask]
