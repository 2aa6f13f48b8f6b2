"""The command line: `python -m strategic_memory_envs.host [--module M]... [SPEC ...]`."""

from __future__ import annotations

from .. import _streams

# Before the imports below, in case that this package was imported in another way than by `-m`.
_INPUT, _OUTPUT = _streams.keep_aside()

import argparse  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402

import gymnasium  # noqa: E402

from .. import __version__  # noqa: E402
from .calls import Calls  # noqa: E402
from .catalogue import CannotHost, Hosted, find, hosted, import_module, newest  # noqa: E402
from .frames import DamagedFrame, Frames  # noqa: E402

_CLOSING_S = 5.0
"""Longest time that environments take to close at the end."""


def main() -> int:
    """Hosts environments until the input ends. Returns the exit status."""
    arguments = _arguments()
    sys.path[:0] = [os.path.abspath(path) for path in arguments.path]
    try:
        specs = _specs(arguments)
    except CannotHost as error:
        print(f"error: {error}", file=sys.stderr)
        _end_soon()
        return 1
    calls = Calls(specs)
    frames = Frames(_INPUT, _OUTPUT)
    versions = f"gymnasium {gymnasium.__version__}, Python {platform.python_version()}"
    try:
        frames.write(calls.hello(f"strategic-memory-envs {__version__} ({versions})"))
        while (call := frames.read()) is not None:
            frames.write(calls.answer(*call))
    except DamagedFrame as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # The server has gone, as at the end of the input.
        pass
    finally:
        _end_soon()
        calls.close()
    return 0


def _end_soon() -> None:
    """Ends the process in a while, if an environment's `close` or one of its threads does not."""
    watch = threading.Timer(_CLOSING_S, os._exit, (3,))
    watch.daemon = True
    watch.start()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m strategic_memory_envs.host",
        description="Hosts Gymnasium environments for `env-server serve --host`, which starts this "
        "program. Without SPEC: what the modules register; without modules: all of Gymnasium's.",
    )
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="an id, or MODULE:ID")
    parser.add_argument(
        "--module", action="append", default=[], help="imports a module that registers specs"
    )
    parser.add_argument(
        "--path", action="append", default=[], metavar="DIR", help="a folder with modules"
    )
    parser.add_argument(
        "--no-save", action="store_true", help="environments are not saved, even where they can be"
    )
    return parser.parse_intermixed_args()


def _specs(arguments: argparse.Namespace) -> list[Hosted]:
    """Returns the specs that the command line asks for.

    Raises:
        CannotHost: one of them cannot be hosted, or none is left.
    """
    can_save = not arguments.no_save
    registered = [id for module in arguments.module for id in import_module(module)]
    names = list(arguments.specs) or registered
    if names:
        found = {spec.id: spec for spec in (find(n, arguments.module, registered) for n in names)}
        return [hosted(spec, can_save=can_save) for spec in found.values()]
    specs = []
    for spec in newest():
        try:
            specs.append(hosted(spec, can_save=can_save))
        except CannotHost as error:
            print(f"left out: {error}", file=sys.stderr)
    if not specs:
        raise CannotHost("no environment of Gymnasium's registry can be made")
    return specs


if __name__ == "__main__":
    sys.exit(main())
