"""The specs of a host: which environments it plays, with which arguments, and what they can."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import os
import pickle
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.utils.env_checker import data_equivalence

from .._spaces import space_to_document
from .lanes import Env

TRIAL_S = 2.0
"""Longest time of a trial of a spec. Slow environments are judged by what was seen until then."""
_DETERMINISM_STEPS = 20
_SAVE_STEPS = 10

# Bounds of arguments. The host knows only their type.
_INTEGERS = {"minimum": -(2**53), "maximum": 2**53}
_NUMBERS = {"minimum": -sys.float_info.max, "maximum": sys.float_info.max}
_MAX_ITEMS = 256
# `gymnasium.make` keeps these for itself, and the host decides on rendering.
_RESERVED = {"id", "max_episode_steps", "disable_env_checker", "render_mode"}
_ID = re.compile(r"[A-Za-z0-9._/-]{1,96}")


class CannotHost(Exception):
    """A reason not to start, in one line for people."""


@dataclass(frozen=True)
class Hosted:
    """A spec, and how its environments are made."""

    spec: EnvSpec
    defaults: Mapping[str, Any]
    """Arguments and their defaults, whose types the values get."""
    render_mode: str | None
    document: Mapping[str, Any]
    """The spec on the wire."""

    def make(self, kwargs: Mapping[str, Any]) -> Env:
        """Makes an environment. The server checks its answers, so Gymnasium need not."""
        typed = {name: type(self.defaults[name])(value) for name, value in kwargs.items()}
        return _make(self.spec, typed, self.render_mode)


def describe(error: BaseException) -> str:
    """Returns the type, the message and the last place of an exception, in one short line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = ""
    if frames:
        last = frames[-1]
        place = f"({os.path.basename(last.filename)}, line {last.lineno}: {last.line})"
    try:
        message = str(error)
    except Exception:
        message = "(without a message that can be read)"
    place = one_line(place, 200)
    space = " " if place else ""
    return one_line(f"{type(error).__name__}: {message}", 499 - len(place)) + space + place


def one_line(text: str, limit: int = 500) -> str:
    """Returns a text without line breaks, cut to a length, which UTF-8 can express."""
    return " ".join(text.split())[:limit].encode("utf-8", "replace").decode()


def import_module(name: str) -> list[str]:
    """Imports a module and returns the ids that it registers.

    Raises:
        CannotHost: there is no such module, it cannot be imported, or it registers nothing.
    """
    before = dict(gymnasium.registry)
    is_new = name not in sys.modules
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CannotHost(_missing_module(name, error)) from error
    except (Exception, SystemExit) as error:
        raise CannotHost(f"the module {name!r} cannot be imported: {describe(error)}") from error
    registered = [id for id, spec in gymnasium.registry.items() if before.get(id) is not spec]
    if is_new and not registered:
        raise CannotHost(f"the module {name!r} registers no environments; {_how_to_register(name)}")
    return registered


def _missing_module(name: str, error: ModuleNotFoundError) -> str:
    missing = error.name or name
    install = f"`python -m pip install {missing.partition('.')[0]}` installs it if it is a package"
    if missing == name or name.startswith(f"{missing}."):
        return f"there is no module {missing!r}: {install}, and --path DIR names a folder with it"
    return f"the module {name!r} needs the module {missing!r}, which is missing: {install}"


def _how_to_register(module: str) -> str:
    line = f'gymnasium.register("MyEnv-v0", entry_point="{module}:MyEnv")'
    return f"it needs a line like `{line}`"


def find(name: str, modules: Sequence[str], registered: Sequence[str]) -> EnvSpec:
    """Returns the spec with this id, or `module:id`.

    Raises:
        CannotHost: there is none. The message lists what the modules registered.
    """
    module, _, id = name.rpartition(":")
    if module:
        registered = [*registered, *import_module(module)]
    versions = [
        spec
        for spec in gymnasium.registry.values()
        if id in (spec.id, spec.id.removesuffix(f"-v{spec.version}"))
    ]
    if versions:  # without a version, Gymnasium makes the newest
        return max(versions, key=lambda spec: spec.version or 0)
    try:
        return gymnasium.spec(id)
    except (Exception, SystemExit) as error:
        have = ", ".join(registered) or "nothing"
        owner = module or (modules[-1] if modules else "my_module")
        raise CannotHost(
            f"{name}: {one_line(str(error), 300)} (registered by modules: {have}; "
            f"for another one, {_how_to_register(owner)}, and --module imports it)"
        ) from error


def newest() -> list[EnvSpec]:
    """Returns the newest version of everything in Gymnasium's registry.

    This package's own specs are left out: the server that starts the host has them.
    """
    best: dict[tuple[str | None, str], EnvSpec] = {}
    for spec in gymnasium.registry.values():
        if str(spec.entry_point).startswith("strategic_memory_envs:"):
            continue
        key = (spec.namespace, spec.name)
        if key not in best or (best[key].version or 0) < (spec.version or 0):
            best[key] = spec
    return list(best.values())


def hosted(spec: EnvSpec, *, can_save: bool) -> Hosted:
    """Examines a spec: makes environments, tries what they can, and describes them.

    Raises:
        CannotHost: no environment can be made with the default arguments, or the wire does not
            have one of its spaces.
    """
    if not _ID.fullmatch(spec.id):
        raise CannotHost(f"{spec.id}: an id has 1 to 96 ASCII letters, digits and . _ - /")
    try:
        defaults = _defaults(spec)
        render_mode, env = _first_env(spec)
    except (Exception, SystemExit) as error:
        raise CannotHost(f"{spec.id} cannot be made: {describe(error)}") from error
    with _closing(env):
        try:
            documents = space_documents(env)
        except ValueError as error:
            raise CannotHost(one_line(f"{spec.id}: {error}")) from error
        is_deterministic = not spec.nondeterministic and _trial(
            spec, lambda: _is_deterministic(spec, render_mode)
        )
        saves = can_save and _trial(spec, lambda: _can_save(env))
        document = {
            "id": spec.id,
            "description": _description(env),
            "parameters": [_parameter(*item) for item in defaults.items()],
            **documents,
            "reward_range": _reward_range(env),
            "can_save": saves,
            "is_deterministic": is_deterministic,
        }
    return Hosted(spec, defaults, render_mode, document)


def space_documents(env: Env) -> dict[str, Any]:
    """Returns the two spaces of an environment, as fields of a frame.

    Raises:
        ValueError: the wire does not have one of them; the message names the space and its part.
    """
    return {
        "observation_space": space_to_document(env.observation_space, "observation_space"),
        "action_space": space_to_document(env.action_space, "action_space", is_action=True),
    }


def _make(spec: EnvSpec, kwargs: Mapping[str, Any], render_mode: str | None) -> Env:
    extra: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    return gymnasium.make(spec, disable_env_checker=True, **extra, **kwargs)


def _first_env(spec: EnvSpec) -> tuple[str | None, Env]:
    """Makes an environment with pictures, or else one without."""
    env = _make(spec, {}, None)
    if "rgb_array" in (env.metadata.get("render_modes") or ()):
        with contextlib.suppress(Exception, SystemExit):
            drawn = _make(spec, {}, "rgb_array")
            env.close()
            return "rgb_array", drawn
    return None, env


@contextlib.contextmanager
def _closing(*envs: Env) -> Iterator[None]:
    try:
        yield
    finally:
        for env in envs:
            with contextlib.suppress(Exception, SystemExit):
                env.close()


def _defaults(spec: EnvSpec) -> dict[str, Any]:
    """Returns the arguments that become parameters, with defaults of Python's own types."""
    entry = spec.entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    found: dict[str, Any] = {}
    if callable(creator):
        with contextlib.suppress(TypeError, ValueError):  # functions of C have no signature
            for name, argument in inspect.signature(creator).parameters.items():
                if argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
                    found[name] = argument.default
    found.update(spec.kwargs)
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in found.items()
        if name not in _RESERVED
    }
    return {name: value for name, value in plain.items() if _parameter(name, value)}


def _parameter(name: str, default: Any) -> dict[str, Any] | None:
    """Returns the parameter of an argument; None where its type is not one of parameters."""
    domain: dict[str, Any]
    if type(default) is bool:
        domain = {"type": "boolean"}
    elif type(default) is int and abs(default) <= 2**53:
        domain = {"type": "integer", **_INTEGERS}
    elif type(default) is float and math.isfinite(default):
        domain = {"type": "number", **_NUMBERS}
    elif (
        type(default) in (list, tuple)
        and len(default) <= _MAX_ITEMS
        and all(type(item) is int and abs(item) <= 2**53 for item in default)
    ):
        domain = {"type": "integers", **_INTEGERS, "min_items": 0, "max_items": _MAX_ITEMS}
        default = list(default)
    else:
        return None
    description = f"Argument `{name}` of the environment."
    return {
        "name": name,
        "description": description,
        **domain,
        "default": default,
        "resettable": False,
    }


def _description(env: Env) -> str:
    """Returns the first sentence about the environment's class, and where the class is from."""
    kind = type(env.unwrapped)
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(kind.__doc__ or ""))
    # Gymnasium's begin with a heading.
    text = next((text for text in paragraphs if text and not text.startswith("#")), "")
    text = re.split(r"(?<=[.!?])\s", one_line(text, 800))[0]
    origin = f"Hosted Gymnasium environment {kind.__module__}:{kind.__qualname__}."
    return f"{text} {origin}".strip()


def _reward_range(env: Env) -> list[float] | None:
    try:
        low, high = map(float, getattr(env.unwrapped, "reward_range"))  # noqa: B009 (not in Env)
    except (AttributeError, TypeError, ValueError):
        return None
    return [low, high] if math.isfinite(low) and math.isfinite(high) and low <= high else None


def _trial(spec: EnvSpec, passes: Callable[[], bool]) -> bool:
    """Runs a trial. An environment that fails in it, with whatever exception, has not passed."""
    try:
        return passes()
    except BaseException as error:
        print(f"{spec.id}: a trial failed: {describe(error)}", file=sys.stderr)
        return False


def _is_deterministic(spec: EnvSpec, render_mode: str | None) -> bool:
    one, other = _make(spec, {}, render_mode), _make(spec, {}, render_mode)
    with _closing(one, other):
        if not data_equivalence(one.reset(seed=7)[0], other.reset(seed=7)[0], exact=True):
            return False
        return _continue_alike(one, other, _DETERMINISM_STEPS)


def _can_save(env: Env) -> bool:
    """Whether a pickled copy, made in the middle of an episode, continues as the original does."""
    env.reset(seed=8)
    env.action_space.seed(8)
    for _ in range(3):
        if _is_over(env.step(env.action_space.sample())):
            env.reset()
    try:
        copy = pickle.loads(pickle.dumps(env, pickle.HIGHEST_PROTOCOL))
    except Exception:  # objects raise all kinds to say that they cannot be pickled
        return False
    with _closing(copy):
        if not _continue_alike(env, copy, _SAVE_STEPS):
            return False
        if not data_equivalence(env.reset()[0], copy.reset()[0], exact=True):
            return False
        return _continue_alike(env, copy, _SAVE_STEPS)


def _is_over(step: tuple[Any, Any, Any, Any, Any]) -> bool:
    return bool(step[2] or step[3])


def _continue_alike(one: Env, other: Env, count: int) -> bool:
    """Whether two environments answer random actions alike, resets without a seed included."""
    deadline = time.monotonic() + TRIAL_S
    one.action_space.seed(9)
    for _ in range(count):
        action = one.action_space.sample()
        step, step2 = one.step(action), other.step(action)
        if not data_equivalence(step[0], step2[0], exact=True) or step[1:4] != step2[1:4]:
            return False
        if _is_over(step) and not data_equivalence(one.reset()[0], other.reset()[0], exact=True):
            return False
        if time.monotonic() > deadline:
            break
    return True
