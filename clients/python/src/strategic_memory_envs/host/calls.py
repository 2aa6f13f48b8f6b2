"""Answers the calls of the server."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from .._codec import Codec
from .catalogue import Hosted, describe, one_line, space_documents
from .frames import MAX_FRAME_BYTES, DamagedFrame
from .lanes import MODES, Env, Lanes

# The fields of each call.
_FIELDS: dict[str, set[str]] = {
    "create": {"env", "spec", "kwargs", "num_envs", "autoreset_mode"},
    "reset": {"env", "mask", "seeds", "options"},
    "step": {"env", "actions"},
    "render": {"env", "lane"},
    "save": {"env"},
    "restore": {"env", "state"},
    "close": {"env"},
}
_OPTIONAL = {"mask"}

Answer = tuple[str, dict[str, Any]]


class _Refused(Exception):
    """An argument is not accepted; `name` is its name where it is known."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.name = name


class Calls:
    """The vectors of a host, by the server's numbers."""

    def __init__(self, hosted: Iterable[Hosted]) -> None:
        self._hosted = {str(one.document["id"]): one for one in hosted}
        self._vectors: dict[int, Lanes] = {}
        self._dumps = Codec("msgpack").dumps
        self._answers: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "create": self._create,
            "reset": self._reset,
            "step": self._step,
            "render": self._render,
            "save": self._save,
            "restore": self._restore,
            "close": self._close,
        }

    def hello(self, name: str) -> bytes:
        """Returns the first frame."""
        specs = [one.document for one in self._hosted.values()]
        return self._dumps({"hello": {"protocol": 1, "name": name, "specs": specs}})

    def answer(self, kind: str, fields: dict[str, Any]) -> bytes:
        """Returns the frame that answers a call. An exception of an environment is one too.

        Raises:
            DamagedFrame: the protocol has no such call, or other fields.
        """
        _check(kind, fields)
        number = fields["env"]
        try:
            answer, result = self._answers[kind](fields)
            body = self._dumps({answer: result})
            if len(body) > MAX_FRAME_BYTES:
                raise ValueError(f"an answer of {len(body)} bytes does not fit into a frame")
            return body
        except DamagedFrame:
            raise
        except _Refused as error:
            refused: dict[str, Any] = {"reason": one_line(str(error))}
            if error.name is not None:
                refused["name"] = error.name
            return self._dumps({"refused": refused})
        except BaseException as error:  # environments raise whatever they like
            traceback.print_exception(error)
            self._forget(number)
            return self._dumps({"failed": {"reason": describe(error)}})

    def close(self) -> None:
        """Closes all vectors."""
        for number in list(self._vectors):
            self._forget(number)

    def _forget(self, number: int) -> None:
        lanes = self._vectors.pop(number, None)
        if lanes is not None:
            lanes.close()

    def _lanes(self, fields: dict[str, Any]) -> Lanes:
        lanes = self._vectors.get(fields["env"])
        if lanes is None:
            raise LookupError(f"there is no vector {fields['env']}")
        return lanes

    def _create(self, fields: dict[str, Any]) -> Answer:
        number, count, mode = fields["env"], fields["num_envs"], fields["autoreset_mode"]
        if number in self._vectors or type(count) is not int or count < 1 or mode not in MODES:
            raise DamagedFrame(f"create cannot have these fields: {fields!r}"[:500])
        hosted = self._hosted.get(fields["spec"])
        if hosted is None:
            known = ", ".join(self._hosted)
            raise _Refused(f"there is no spec {fields['spec']!r}; hosted are {known}", "spec")
        kwargs = fields["kwargs"]
        for name in kwargs:
            if name not in hosted.defaults:
                raise _Refused(f"{hosted.spec.id} has no argument {name!r}", name)
        documents: dict[str, Any] = {}

        def make() -> Env:
            env = _make(hosted, kwargs)
            if not documents:
                documents.update(_space_documents(env))
            return env

        renders_copies = bool(hosted.document["can_save"])
        self._vectors[number] = Lanes(make, count, mode, renders_copies=renders_copies)
        return "created", documents

    def _reset(self, fields: dict[str, Any]) -> Answer:
        lanes, mask, seeds = self._lanes(fields), fields.get("mask"), fields["seeds"]
        if len(seeds) != lanes.num_envs or (mask is not None and len(mask) != lanes.num_envs):
            raise DamagedFrame(f"reset has lists of another length than {lanes.num_envs}")
        return "observed", lanes.reset(mask, seeds, fields["options"])

    def _step(self, fields: dict[str, Any]) -> Answer:
        lanes = self._lanes(fields)
        try:
            actions = lanes.read_actions(fields["actions"])
        except ValueError as error:
            raise DamagedFrame(f"step: {error}") from error
        return "stepped", lanes.step(actions)

    def _render(self, fields: dict[str, Any]) -> Answer:
        lanes, lane = self._lanes(fields), fields["lane"]
        if type(lane) is not int or not 0 <= lane < lanes.num_envs:
            raise DamagedFrame(f"render: there is no lane {lane!r}")
        return "rendered", {"frame": lanes.render(lane)}

    def _save(self, fields: dict[str, Any]) -> Answer:
        return "saved", {"state": self._lanes(fields).save()}

    def _restore(self, fields: dict[str, Any]) -> Answer:
        self._lanes(fields).restore(fields["state"])
        return "restored", {}

    def _close(self, fields: dict[str, Any]) -> Answer:
        self._forget(fields["env"])
        return "closed", {}


def _check(kind: str, fields: dict[str, Any]) -> None:
    known = _FIELDS.get(kind)
    if known is None:
        raise DamagedFrame(f"there is no call {kind[:100]!r}")
    wrong = (fields.keys() - known) | (known - _OPTIONAL - fields.keys())
    if wrong:
        raise DamagedFrame(f"{kind} lacks or does not know the fields {sorted(wrong)}"[:500])
    if type(fields["env"]) is not int:
        raise DamagedFrame(f"{kind}: `env` is not a number: {fields['env']!r}"[:500])
    for name, expected in (("seeds", list), ("options", dict), ("kwargs", dict), ("state", bytes)):
        if name in fields and not isinstance(fields[name], expected):
            raise DamagedFrame(f"{kind}: `{name}` is not a {expected.__name__}")
    if not isinstance(fields.get("mask"), (list, type(None))):
        raise DamagedFrame(f"{kind}: `mask` is not a list")


def _space_documents(env: Env) -> dict[str, Any]:
    """Returns the spaces of the first lane, which arguments may have changed."""
    try:
        return space_documents(env)
    except ValueError as error:
        with contextlib.suppress(Exception, SystemExit):
            env.close()
        raise _Refused(f"with these arguments: {error}") from error


def _make(hosted: Hosted, kwargs: dict[str, Any]) -> Env:
    """Makes an environment; what its constructor says of its arguments is for the client."""
    try:
        return hosted.make(kwargs)
    except (TypeError, ValueError, AssertionError) as error:
        # Gymnasium appends all arguments to the message of a TypeError; the cause has the original.
        message = str(error.__cause__ or error) or type(error).__name__
        named = [name for name in kwargs if re.search(rf"\b{re.escape(name)}\b", message)]
        raise _Refused(message, named[0] if len(named) == 1 else None) from error
