"""Keeps the standard streams of a host for its frames, before any other module is imported.

`python -m strategic_memory_envs.host` imports this package first, and the package imports others.
The streams must be safe before that: a library that prints would damage the frames.
"""

from __future__ import annotations

import os
import signal
import sys

kept: tuple[int, int] | None = None
"""File descriptors of the real input and output, once they are kept aside."""


def keep_aside() -> tuple[int, int]:
    """Returns descriptors of the real standard input and output, which no other code knows.

    From then on, standard output is standard error, for C code and child processes too, and
    standard input is empty. SIGINT has no effect: the server ends a host by closing its input.
    """
    global kept
    if kept is None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        kept = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    return kept


# While a package is imported for `-m`, the name of the program is still "-m".
if sys.argv[:1] == ["-m"] and "strategic_memory_envs.host" in sys.orig_argv:
    keep_aside()
