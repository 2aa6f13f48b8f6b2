"""Runs the environment server: `python -m strategic_memory_envs serve --listen 127.0.0.1:7878`."""

from __future__ import annotations

import os
import subprocess
import sys

from ._server import find_binary
from .errors import LocalServerError


def main() -> None:
    """Becomes the `env-server` program, with the arguments of this one."""
    try:
        binary = str(find_binary())
    except LocalServerError as error:
        sys.exit(f"error: {error}")
    if sys.platform == "win32":
        sys.exit(subprocess.call([binary, *sys.argv[1:]]))
    os.execv(binary, [binary, *sys.argv[1:]])


if __name__ == "__main__":
    main()
